"""darkpy detector train, and rerun: what they print, leave and refuse."""

import json
import re
import shutil

import numpy as np
import pytest

from darkpy import Network, write_weights
from darkpy.cli import main
from darkpy.cli import train as command
from darkpy.train import loop, record
from tests.tiny import CFG, write_training

FILES = ("tiny.data", "tiny.cfg")
# What parsers of darknet's logs look for, and a line of one of its logs.
LINE = re.compile(
    r" (\d+): (\d+\.\d{5,6}), (\d+\.\d{5,6}) avg loss, (\d+\.\d{6}) rate, "
    r"(\d+\.\d{6}|\d+\.\d{3}) seconds, (\d+) images, (\d+\.\d{1,6}) hours left"
)
LOGGED = (
    " 9002: 0.211667, 0.60730 avg loss, 0.001000 rate, 3.868 seconds, 576128 images, 1.2 hours left"
)
LEFT = ("chart.png", "manifest.json", "metrics.csv", "state.npz", "tiny.cfg", "tiny.data")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Write the files of a training once."""
    return write_training(tmp_path_factory.mktemp("written"))


@pytest.fixture
def folder(written, tmp_path, monkeypatch):
    """Go to a copy of these files, whose path has blanks and what is not ASCII."""
    here = tmp_path / "schöne Bilder 학습"
    shutil.copytree(written, here)
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def darkpy(capsys):
    """Run the command line; return exit status, stdout and stderr."""

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.fixture
def train(darkpy):
    """Run darkpy detector train; by default without evaluations."""
    return lambda *words: darkpy("detector", "train", *words)


def lines(out):
    """Return the iteration lines."""
    return [line for line in out.splitlines() if LINE.fullmatch(line)]


def losses(out):
    """Return loss and average loss of each iteration, as they are printed."""
    return [LINE.fullmatch(line).group(2, 3) for line in lines(out)]


def test_stdout_is_darknets(folder, train):
    code, out, err = train(*FILES)
    assert code == 0, err
    assert LINE.fullmatch(LOGGED)
    head, *rest = out.splitlines()
    assert head == "Learning Rate: 0.001, Momentum: 0.9, Decay: 0.0001"
    assert rest[::2] == [""] * 3 and rest[1::2] == lines(out)
    found = [LINE.fullmatch(line).groups() for line in lines(out)]
    assert [one[0] for one in found] == ["1", "2", "3"]
    assert [one[5] for one in found] == ["4", "8", "12"]
    assert [one[3] for one in found] == ["0.001000", "0.000100", "0.000100"]
    assert not re.search(r"[\a\x1b\r]", out + err)


def test_what_a_training_leaves(folder, train):
    _, _, err = train(*FILES)
    weights = {path.name for path in (folder / "backup").glob("*.weights")}
    assert weights == {f"tiny_{mark}.weights" for mark in ("best", "last", "final")}
    assert {"chart.png", "chart_tiny.png"} < {path.name for path in (folder / "backup").iterdir()}
    run = folder / "backup" / "runs" / "tiny-1"
    assert set(LEFT) < {path.name for path in run.iterdir()}
    assert json.loads((run / "manifest.json").read_text("utf-8"))["argv"] == [
        "detector",
        "train",
        *FILES,
    ]
    assert "run: " in err and "chart: " in err
    sentences = (run / "verdict.txt").read_text("utf-8").splitlines()
    assert sentences and all(err.count(sentence) == 1 for sentence in sentences)


def test_map_prints_darknets_table_after_the_iteration(folder, train):
    _, out, err = train(*FILES, "-map", "-iou_thresh", ".4")
    assert out.count("(next mAP calculation at 3 iterations) ") == 3
    table = out.index(" calculation mAP (mean average precision)...")
    assert table > out.index(lines(out)[-1])
    assert " mean average precision (mAP@0.40) = " in out[table:]
    assert "iteration 3: validation loss " in err


def test_darknets_flags_may_stand_anywhere(folder, train):
    words = ("-dont_show", "-map", "-mAP_epochs", "2", FILES[0], "-thresh", ".3", "-clear")
    more = ("-iou_thresh", ".4", FILES[1], "-chart", "chart.png", "-show_imgs", "-gpus", "-1")
    code, out, err = train(*words, *more, "tiny.weights", "-i", "-1", "-mjpeg_port", "-1")
    assert code == 0, err
    assert len(lines(out)) == 3
    assert list((folder / "backup" / "runs" / "tiny-1" / "augmented").iterdir())


def test_weights_are_begun_from(folder, train):
    drawn = train(*FILES, "--no-map")[1]
    assert losses(train(*FILES, "tiny.weights", "-clear", "--no-map")[1]) != losses(drawn)
    code, _, err = train(*FILES, "tiny.weights")
    assert code == 2
    assert "the weights have 1600 iterations behind them" in err and "-clear" in err


def test_letter_box_is_honoured(folder, train):
    plain = losses(train(*FILES, "--no-map")[1])
    boxed = losses(train(*FILES, "--no-map", "-letter_box")[1])
    assert boxed != plain
    assert losses(train(*FILES, "--no-map", "--set", "net.letter_box=1")[1]) == boxed


@pytest.mark.parametrize("words", [("--seed", "7"), ("--sampling", "darknet")])
def test_what_is_drawn_differs(folder, train, words):
    assert losses(train(*FILES, "--no-map", *words)[1]) != losses(train(*FILES, "--no-map")[1])


def test_progress_in_a_pipe(folder, train, monkeypatch):
    monkeypatch.setattr(command, "STEP", 0.0)
    _, out, err = train(*FILES, "--no-map")
    assert re.findall(r"train: (\d) of 3, \d+ min left", err) == ["1", "2", "3"]
    assert "train:" not in out


def test_progress_on_a_terminal(folder, train, monkeypatch):
    import sys

    (folder / "0.png").write_text("no picture")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    _, out, err = train(*FILES, "--no-map")
    assert re.search(r"\r +\rwarning: 0\.png: is not a picture", err)  # above the bar, not in it
    assert re.search(r"\d/3 \[.*loss \d+\.\d{3}\]", err)
    assert len(lines(out)) == 3
    assert not re.search(r"[\a\x1b]", out + err)


def test_files_from_windows(folder, train):
    (folder / "lists").mkdir()
    (folder / "lists" / "train.list").write_bytes(b"..\\0.png\r\n..\\1.png\r\n")
    (folder / "tiny.data").write_bytes(
        b"\xef\xbb\xbfclasses = 2\r\ntrain = lists\\train.list\r\nnames = .\\tiny.names\r\n"
        b"backup = my backup\\weights\r\n"
    )
    text = (folder / "tiny.cfg").read_text()
    (folder / "tiny.cfg").write_bytes(text.replace("\n", "\r\n").encode())
    code, _, err = train(*FILES)
    assert code == 0, err
    assert (folder / "my backup" / "weights" / "tiny_final.weights").is_file()


def test_a_picture_that_is_none_is_left_out(folder, train):
    (folder / "0.png").write_text("no picture")
    (folder / "train.list").write_text("0.png\n1.png\nnot there.png\n")
    code, out, err = train(*FILES)
    assert code == 0
    assert "not there.png: no such file; 1 of 3 pictures cannot be used" in err
    assert "0.png: is not a picture" in err
    assert len(lines(out)) == 3


def test_an_earlier_trainings_weights_are_kept(folder, train):
    train(*FILES, "--no-map")
    first = (folder / "backup" / "tiny_final.weights").read_bytes()
    train(*FILES, "--no-map", "--seed", "1")
    assert (folder / "backup" / "tiny_final.weights").read_bytes() != first
    kept = folder / "backup" / "runs" / "tiny-2" / "replaced" / "tiny_final.weights"
    assert kept.read_bytes() == first


def data(text):
    """Return what writes a .data file of this text instead of some of its lines."""
    return lambda folder: (folder / "tiny.data").write_text(text)


def put(name, content):
    """Return what writes a file."""
    content = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(content)


def relabel(text):
    """Return what writes the labels of all pictures."""
    return lambda folder: [path.write_text(text) for path in folder.glob("[0-9v]*.txt")]


def other_network(folder):
    (folder / "other.cfg").write_text(CFG.replace("filters=8", "filters=12"))
    network = Network.from_cfg(folder / "other.cfg")
    params = network.initial_params(np.random.default_rng(0))
    write_weights(network, params, folder / "other.weights")


def headless(end=""):
    """Return what takes the head from the .cfg."""
    return put("tiny.cfg", CFG.replace("[net]", "[net]\nbatch=4").split("[yolo]")[0] + end)


def nothing(folder):
    pass


PLAIN = "classes = 2\ntrain = train.list\nvalid = valid.list\nnames = tiny.names\n"
WRONG = {
    "class too large": (relabel("7 .5 .5 .2 .2\n"), (), "class 7: expected 0 to 1; no object"),
    "outside": (relabel("1 7 .5 .2 .2\n"), (), "a box outside the picture: 7 0.5"),
    "no labels": (relabel(""), (), "no picture has an object"),
    "empty list": (put("train.list", ""), (), "train.list: names no picture"),
    "missing": (put("train.list", "a.png\nb.png\n"), (), "a.png: no such file; nor can any other"),
    "list a picture": (data(PLAIN.replace("train.list", "0.png")), (), "0.png: is not a text file"),
    "list missing": (data(PLAIN.replace("train.list", "no.txt")), (), "no.txt: cannot be read"),
    "no list": (data(PLAIN.replace("train = train.list", "")), (), "expected train = FILE"),
    "valid missing": (data(PLAIN.replace("valid.list", "no")), (), "--no-map trains without"),
    "no names": (data(PLAIN.replace("names = tiny.names", "")), (), "expected names = FILE"),
    "names": (put("tiny.names", "a\nb\nc\n"), (), "3 names, but tiny.cfg has classes=2"),
    "backup a file": (put("backup", "x"), (), "backup: cannot be made"),
    "backup in a file": (data(f"{PLAIN}backup=0.png/x\n"), (), "0.png/x: cannot be made"),
    "max_batches": (nothing, ("--set", "net.max_batches=0"), "max_batches=0: expected how many"),
    "batch 1": (nothing, ("--set", "net.batch=1", "--set", "net.subdivisions=1"), "one picture"),
    "gpu": (nothing, ("-i", "0"), "-i 0: device 'cuda:0': "),
    "gpus": (nothing, ("-gpus", "1,2"), "-gpus 1,2: device 'cuda:1': "),
    "gpus of no number behind one": (nothing, ("-gpus", "0,y"), "-gpus 0,y: expected numbers of"),
    "gpus twice": (nothing, ("-gpus", "1,1"), "-gpus 1,1: names a GPU twice"),
    "precision": (
        nothing,
        ("--precision", "bf16", "-i", "-1"),
        "precision 'bf16': the processor trains in 'fp32' alone",
    ),
    "gpus of no number": (nothing, ("-gpus", "x"), "-gpus x: expected numbers of GPUs such as 0,1"),
    "set section": (nothing, ("--set", "nte.batch=8"), "has no [nte]; did you mean 'net'?"),
    "set key": (nothing, ("--set", "net.bacth=8"), "set [net] unknown key 'bacth'; did you mean"),
    "set value": (
        nothing,
        ("--set", "net.batch=many"),
        "set [net] batch = 'many': expected a whole",
    ),
    "set nothing": (nothing, ("--set", "net.batch"), "expected section.key=value"),
    "width": (nothing, ("--set", "net.width=0"), "width=0"),
    "other weights": (other_network, ("other.weights",), "is it of another network?"),
    "weights a folder": (nothing, (".",), ".: cannot be read"),
    "weights missing": (nothing, ("no.weights",), "no.weights: cannot be read"),
    "weights a picture": (nothing, ("0.png",), "0.png: ends within"),
    "no head": (headless(), (), "expected a detection head"),
    "classifier": (headless("[avgpool]\n[softmax]\n"), (), "expected a detection head"),
    "no resume": (nothing, ("--resume",), "holds no run of tiny.cfg to resume"),
    "resume a file": (nothing, ("--run", "0.png", "--resume"), "0.png: holds no state.npz"),
    "patience": (nothing, ("--patience", "3", "--no-map"), "--patience 3 counts evaluations"),
    "map or not": (nothing, ("-map", "--no-map"), "expected one of them"),
    "unknown flag": (nothing, ("-maap",), "did you mean '-map'?"),
    "too many": (nothing, ("tiny.weights", "more", "-clear"), "unexpected extra argument (more)"),
}


@pytest.mark.parametrize(("spoil", "words", "message"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_named_before_anything_is_written(folder, train, spoil, words, message):
    spoil(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    code, out, err = train(*FILES, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err and len(err.splitlines()[-1]) < 400
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path != folder}
    assert after == before


def test_pictures_that_are_all_none(folder, train):
    for k in range(3):
        (folder / f"{k}.png").write_text("no picture")
    code, _, err = train(*FILES)
    assert code == 2
    assert "drawn pictures: is their folder in reach?" in err


def test_swapped_files(folder, train):
    code, _, err = train(*reversed(FILES))
    assert code == 2
    assert "tiny.cfg:1: expected key = value, got '[net]'; this is a .cfg" in err


def test_what_cannot_be_resumed(folder, train):
    train(*FILES, "--no-map", "--run", "run")
    words = (*FILES, "--no-map", "--run", "run")
    assert "run: holds a run; --resume goes on with it" in train(*words)[2]
    assert "0.png: is a file" in train(*FILES, "--run", "0.png")[2]
    code, _, err = train(*words, "--resume")
    assert code == 2
    assert "run: is done with all max_batches=3 iterations; raise max_batches" in err
    more = (*words, "--resume", "--set", "net.max_batches=4")
    (folder / "tiny.cfg").write_text((folder / "tiny.cfg").read_text().replace("=8", "=12", 1))
    assert "state.npz: 0/biases has shape (8,); tiny.cfg needs (12,)" in train(*more)[2]
    (folder / "run" / "state.npz").write_bytes(b"junk")
    code, _, err = train(*more)
    assert code == 2
    assert "state.npz: cannot be read: is damaged" in err


def test_a_port_in_use(folder, train):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, err = train(*FILES, "-mjpeg_port", taken.getsockname()[1])
    assert code == 2
    assert "is another training using it?" in err


def test_what_shows_the_pictures_is_named_and_no_end_where_it_fails(folder, train):
    (folder / "run").mkdir()
    (folder / "run" / "augmented").write_text("x")
    words = ("--no-map", "-show_imgs", "--run", "run", "-mjpeg_port", "0")
    code, out, err = train(*FILES, *words)
    assert code == 0 and len(lines(out)) == 3
    assert re.search(r"^page: http://127.0.0.1:\d+$", err, re.MULTILINE)
    assert err.count("augmented: cannot be made") == 1


def test_patience_is_said(folder, train, monkeypatch):
    monkeypatch.setattr(loop, "LEAST_BETWEEN", 1)
    monkeypatch.setattr(record, "draw_chart", lambda *_, **__: b"")
    code, _, err = train(*FILES, "--patience", "1", "-mAP_epochs", "1")
    assert code == 0
    assert "ended at iteration 2: no better mAP in 1 evaluations" in err


def test_rerun_repeats_a_run_from_anywhere(folder, train, darkpy, tmp_path, monkeypatch):
    train(*FILES, "--seed", "5", "--run", "first run")
    weights = (folder / "backup" / "tiny_final.weights").read_bytes()
    train(*FILES, "--no-map", "--seed", "6")
    monkeypatch.chdir(tmp_path)
    code, _, err = darkpy("rerun", folder / "first run", "--to", tmp_path / "again")
    assert code == 0, err
    assert (folder / "backup" / "tiny_final.weights").read_bytes() == weights
    with (
        np.load(folder / "first run" / "state.npz") as one,
        np.load(tmp_path / "again" / "state.npz") as other,
    ):
        assert set(one.files) == set(other.files)
        for name in set(one.files) - {"counters"}:
            assert np.array_equal(one[name], other[name]), name
    again = json.loads((tmp_path / "again" / "manifest.json").read_text("utf-8"))
    assert again["argv"][-2:] == ["--run", str(tmp_path / "again")]


def test_rerun_says_what_has_changed(folder, train, darkpy, monkeypatch):
    train(*FILES, "--no-map", "--run", "run")
    (folder / "tiny.names").write_text("cat\nhound\n")
    code, _, err = darkpy("rerun", "run")
    assert code == 0, err
    assert "warning: tiny.names: has changed since the run" in err
    assert "labels have changed" not in err
    label = next(path for path in folder.rglob("*.txt") if path.stem.isdecimal())
    label.write_text("0 .5 .5 .2 .2\n")
    monkeypatch.chdir(folder.parent)
    assert "labels have changed since the run" in darkpy("rerun", folder / "run")[2]


def test_rerun_of_what_was_moved(folder, train, darkpy, tmp_path, monkeypatch):
    train(*FILES, "--no-map", "--run", "run")
    monkeypatch.chdir(tmp_path)
    folder.rename(tmp_path / "moved")
    code, _, err = darkpy("rerun", tmp_path / "moved" / "run")
    assert code == 2
    assert f"was run in {folder}, which is gone" in err
    assert "darkpy detector train tiny.data tiny.cfg --no-map" in err


@pytest.mark.parametrize("name", ["nope", "0.png", "."])
def test_rerun_of_no_run(folder, darkpy, name):
    code, _, err = darkpy("rerun", name)
    assert code == 2
    assert f"{name}: holds no manifest.json" in err
