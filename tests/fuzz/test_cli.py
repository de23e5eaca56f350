"""Bad command lines: exit status 0, 1, 2 or 130, no traceback, no half-written file."""

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import urllib.error

import click
import pytest

from darkpy.cli import commands, main
from tests.conftest import ROOT
from tests.fuzz import spoil
from tests.fuzz.exercise import in_time
from tests.tiny import CFG, write_model, write_picture

SLOW = pytest.mark.slow
STATUSES = (0, 1, 2, 130)
LABELS = "0 .5 .5 .25 .75\n1 .4 .6 .2 .3\n"


@pytest.fixture
def place(folder, monkeypatch):
    """Make the working directory one of good and bad files; return it."""
    write_model(folder)
    for name in ("a.png", "b.jpg", "-c.png", "d e.png"):
        write_picture(folder / name)
    (folder / "a.txt").write_text(LABELS)
    (folder / "valid.txt").write_text("a.png\nb.jpg\n")
    (folder / "self.txt").write_text("self.txt\na.png\nself.txt\n")
    (folder / "empty.txt").write_text("")
    (folder / "binary.txt").write_bytes(bytes(range(256)))
    (folder / "latin.txt").write_bytes(b"caf\xe9.png\n")
    (folder / "bad.cfg").write_text(CFG.replace("filters=8", "filters=0"))
    (folder / "classifier.cfg").write_text(CFG[: CFG.rindex("[yolo]")] + "[softmax]\n")
    (folder / "long.weights").write_bytes((folder / "tiny.weights").read_bytes() + b"1234")
    (folder / "short.weights").write_bytes((folder / "tiny.weights").read_bytes()[:999])
    (folder / "folder").mkdir()
    write_picture(folder / "folder" / "f.png")
    for kind in ("voc", "coco", "kitti", "bdd", "imagenet", "nonsense"):
        text = f"classes=2\nvalid=valid.txt\ntrain=valid.txt\nnames=tiny.names\neval={kind}\n"
        (folder / f"{kind}.data").write_text(text + "results=folder/results\n")
    (folder / "all.data").write_text("valid=.\ntrain=self.txt\nnames=tiny.names\nresults=a.png\n")
    (folder / "lost.data").write_text("valid=none.txt\ntrain=folder\nnames=binary.txt\n")
    for home in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(home, str(folder))
    monkeypatch.setenv("OPENCV_TEMP_PATH", str(folder))  # OpenCV leaves some behind
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("darkpy.cli.detect.has_screen", lambda: False)
    monkeypatch.setattr("darkpy.zoo.cache_dir", lambda: folder / "cache")
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return folder


def no_network(*args, **settings):
    raise urllib.error.URLError("no network in tests")


@pytest.fixture
def darkpy(place, capsys, monkeypatch):
    """Run the command line with bytes on standard input; return exit status, stdout and stderr."""

    def run(*words, stdin=b""):
        stream = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
        monkeypatch.setattr(sys, "stdin", stream)
        with in_time((words, stdin)), pytest.raises(SystemExit) as stop:
            main(list(words))
        out, err = capsys.readouterr()
        assert stop.value.code in STATUSES, (words, stdin, err)
        assert "Traceback" not in out + err, words
        assert not [*place.rglob("*.partial")], words
        return stop.value.code, out, err

    return run


def leaves(group=commands, path=()):
    """Yield the words and the command of every command there is."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


# They train, or time many kernels, which takes longer than we wait
LONG = {("quickstart",), ("detector", "overfit"), ("tune",), ("benchmark", "kernels")}
LEAVES = tuple(leaf for leaf in leaves() if leaf[0] not in LONG)
GOOD = {
    "data": ["tiny.data"],
    "cfg": ["tiny.cfg"],
    "weights": ["tiny.weights"],
    "folder": ["folder"],
    "images": ["a.png", "b.jpg", "folder", "*.png", "valid.txt"],
    "out": ["out", "folder/out.json"],
    "n": ["1", "3"],
    "name": ["yolov4"],
    "save": ["saved"],
    "width": ["64"],
    "height": ["64"],
    "num_of_clusters": ["1", "2"],
    "points": ["0", "11", "101"],
    "thresh": [".1", ".5"],
    "iou_thresh": [".5"],
}
ONE_ITERATION = ("--set", "net.max_batches=1", "--set", "net.batch=2", "-clear")
FILES = (
    *("tiny.data", "tiny.cfg", "tiny.weights", "tiny.names", "a.png", "valid.txt", "folder", "."),
    *("none", "none/none", "a.png/x", "", "..", "~nobody-here/x", "x" * 300, "\udcff", "[", "**"),
    *("self.txt", "empty.txt", "binary.txt", "latin.txt", "bad.cfg", "classifier.cfg", "-", "--"),
    *("long.weights", "short.weights", "voc.data", "coco.data", "kitti.data", "bdd.data", "-c.png"),
    *(
        "imagenet.data",
        "nonsense.data",
        "all.data",
        "lost.data",
        "d e.png",
        "caf\udce9",
    ),
)
NUMBERS = (
    *("0", "1", "-1", "2", "0.5", "1e-9", "nan", "inf", "-inf", "1e999", "x", "", "9" * 400, "1_0"),
    *("9" * 5000, "2147483647", "2147483648", "1000000", "0x10", " 1", "\u0663", "99"),
)


def words(draw):
    """Draw a command with arguments that are mostly good, options that are mostly its own."""
    path, command = draw.choice(LEAVES)
    said = list(path)
    spoilt = draw.choice((0, 0, 0.1, 0.3, 0.9))

    def value(name):
        if draw.random() >= spoilt and name in GOOD:
            return draw.choice(GOOD[name])
        return draw.choice(draw.choice((FILES, NUMBERS)))

    for one in command.params:
        if isinstance(one, click.Argument):
            count = draw.choice((0, 1, 1, 2)) if one.nargs == -1 else draw.random() >= spoilt / 5
            said += [value(one.name) for _ in range(count)]
        elif one.required or draw.random() < 0.25:
            said.append(draw.choice(one.opts))
            if not one.is_flag:
                said.append(value(one.name))
    if draw.random() < spoilt:
        said.insert(draw.randrange(len(said) + 1), draw.choice(FILES + NUMBERS))
    if draw.random() < spoilt:
        said.insert(
            draw.randrange(len(said) + 1), draw.choice(("-x", "--zzz", "-thresh", "-h", "--"))
        )
    if draw.random() < spoilt / 3:
        del said[draw.randrange(len(said))]
    if draw.random() < spoilt / 3:
        draw.shuffle(said)
    return said


@pytest.mark.parametrize("amount", [200, pytest.param(1500, marks=SLOW)])
def test_drawn_command_lines(amount, darkpy, tried):
    draw = random.Random(9)
    inputs = (b"", b"a.png\n", b"\xff\xfe\0a.png\n\n/\n", b"self.txt\na.png", bytes(range(256)))
    statuses = []
    for _ in range(amount):
        statuses.append(darkpy(*words(draw), stdin=draw.choice(inputs))[0])
        tried("cli: drawn command lines")
    assert {0, 2} <= set(statuses)


@pytest.mark.parametrize("share", [0.1, pytest.param(1, marks=SLOW)])
def test_every_argument_takes_any_file(share, darkpy, tried):
    draw = random.Random(10)
    good = {
        ("detector", "train"): ["tiny.data", "tiny.cfg", "tiny.weights", *ONE_ITERATION],
        ("rerun",): ["folder"],
        ("detector", "test"): ["tiny.data", "tiny.cfg", "tiny.weights", "a.png"],
        ("detector", "map"): ["tiny.data", "tiny.cfg", "tiny.weights"],
        ("detector", "valid"): ["voc.data", "tiny.cfg", "tiny.weights"],
        ("detector", "recall"): ["tiny.data", "tiny.cfg", "tiny.weights"],
        ("detector", "calc_anchors"): ["tiny.data", "-width", "64", "-height", "64"],
        ("partial",): ["tiny.cfg", "tiny.weights", "out", "2"],
        ("plan",): ["tiny.cfg", "tiny.weights"],
        ("benchmark", "network"): ["tiny.cfg", "tiny.weights"],
        ("doctor",): ["--json"],
        ("zoo", "get"): ["yolov4"],
        ("zoo", "list"): [],
    }
    assert good.keys() == {path for path, _ in LEAVES}
    for path, said in good.items():
        for at in range(len(said)):
            for bad in FILES:
                if draw.random() < share:
                    darkpy(*path, *said[:at], bad, *said[at + 1 :])
                    tried("cli: one bad file")


def test_what_never_ends_is_not_read_for_ever(darkpy, tried):
    for name in ("/dev/null", "/dev/zero"):
        for at in range(4):
            said = ["tiny.data", "tiny.cfg", "tiny.weights", "a.png"]
            said[at] = name
            assert darkpy("detector", "test", *said)[0] in (1, 2)
            tried("cli: one bad file")


@pytest.mark.parametrize("share", [0.03, pytest.param(0.5, marks=SLOW)])
def test_every_option_takes_any_number(share, darkpy, tried):
    draw = random.Random(11)
    values = (*NUMBERS, ".", "folder", "none/x", "a.png", "a.png/x", "~nobody-here/x")
    for path, command in LEAVES:
        needed = []
        for one in command.params:
            if isinstance(one, click.Argument):
                needed.append(GOOD[one.name][0])
            elif one.required:
                needed += [one.opts[0], GOOD[one.name][0]]
        for option in command.params:
            for bad in values if isinstance(option, click.Option) else ():
                if draw.random() < share:
                    darkpy(*path, *needed, option.opts[0], bad)
                    tried("cli: one bad number")


@pytest.mark.parametrize("amount", [50, pytest.param(300, marks=SLOW)])
@pytest.mark.parametrize("command", ["map", "recall", "calc_anchors", "valid"])
def test_bad_labels(command, amount, darkpy, place, tried):
    draw = random.Random(command)
    more = ["-width", "64", "-height", "64", "-num_of_clusters", "1"]
    said = ["tiny.data", *(more if command == "calc_anchors" else ["tiny.cfg", "tiny.weights"])]
    values = [
        f"{k} {x} .5 {w} {w}"
        for k in (0, 1, 2, -1, 999999, 10**9)
        for x in (".5", "nan", "3e38", "-7", "1e-45")
        for w in (".1", "inf", "3e38", "0", "-1")
    ]
    for _ in range(amount):
        (place / "b.txt").write_bytes(spoil.text(LABELS * 3, draw, values))
        darkpy("detector", command, *said)
        tried(f"cli: {command} with bad labels")


@pytest.mark.parametrize(
    "file", ["tiny.cfg", "tiny.data", "tiny.names", "tiny.weights", "valid.txt"]
)
@pytest.mark.parametrize("amount", [25, pytest.param(200, marks=SLOW)])
def test_spoiled_files(file, amount, darkpy, place, tried):
    draw, good = random.Random(file), (place / file).read_bytes()
    runs = (("test", "a.png", "-dont_show"), ("map",), ("valid",), ("recall",))
    for _ in range(amount):
        spoilt = spoil.bytes_(good, draw)
        if not file.endswith("weights") and draw.random() < 0.7:
            spoilt = spoil.text(good.decode(), draw)
        (place / file).write_bytes(spoilt)
        command, *more = draw.choice(runs)
        darkpy("detector", command, "tiny.data", "tiny.cfg", "tiny.weights", *more)
        tried("cli: spoiled files")


def test_a_picture_that_cannot_be_drawn_does_not_stop_the_others(darkpy, place, tried):
    """JPEG has no side of 70000, which the drawing would have."""
    write_picture(place / "wide.png", 9, 70_000)
    said = ("tiny.data", "tiny.cfg", "tiny.weights", "wide.png", "a.png", "-save", "drawn")
    status, out, err = darkpy("detector", "test", *said, "-out", "out.json", "-thresh", ".1")
    assert status == 1 and "predictions.jpg: OpenCV does not write" in err
    assert "a.png: Predicted" in out
    assert len(json.loads((place / "out.json").read_text())) == 2
    tried("cli: outputs")


def test_a_name_without_end_on_standard_input(darkpy, tried):
    for said in ([], ["-"], ["a.png", "-"]):
        model = ("tiny.data", "tiny.cfg", "tiny.weights")
        status, _, err = darkpy("detector", "test", *model, *said, stdin=b"x" * 3_000_000)
        assert status == 1 and "46 of the pictures" in err
        tried("cli: endless names")


def test_a_counter_for_each_of_a_billion_classes_is_refused(darkpy, place, tried):
    (place / "b.data").write_text("classes=2147483647\ntrain=valid.txt\n")
    said = ("b.data", "-width", "64", "-height", "64", "-num_of_clusters", "1")
    status, _, err = darkpy("detector", "calc_anchors", *said)
    assert status == 2 and "classes = 2147483647: expected at most 1000000" in err
    tried("cli: spoiled files")


def test_output_goes_nowhere_else(darkpy, place, tried):
    """What cannot be written leaves the old file, and a folder stays a folder."""
    model = ("tiny.data", "tiny.cfg", "tiny.weights")
    (place / "predictions.jpg").mkdir()
    assert darkpy("detector", "test", *model, "a.png")[0] == 2
    assert (place / "predictions.jpg").is_dir()
    for name in ("counters_per_class.txt", "anchors.txt"):
        (place / name).mkdir()
        sizes = ("-width", "64", "-height", "64", "-num_of_clusters", "1")
        assert darkpy("detector", "calc_anchors", "tiny.data", *sizes)[0] == 2
        (place / name).rmdir()
    assert darkpy("partial", *model[1:], "tiny.cfg/out", "2")[0] == 2
    assert darkpy("detector", "valid", "all.data", *model[1:])[0] == 2
    tried("cli: outputs", 5)


# In processes of their own: what only the operating system can do to one.

MODEL = "detector test tiny.data tiny.cfg tiny.weights"
SHELL = pytest.mark.skipif(os.name != "posix", reason="the shell lines are POSIX's")
PIPES = {  # what -> a line of the shell, and the status that darkpy ends with
    "nobody reads": (f"({{}} {MODEL} a.png; echo $? >status) | true", (1,)),
    "nobody reads, with -out": (f"({{}} {MODEL} a.png -out o; echo $? >status) | true", (1,)),
    "nobody reads the help": ("({} --help; echo $? >status) | true", (1,)),
    "stdout is closed": (f"{{}} {MODEL} a.png >&-; echo $? >status", (0,)),
    "stderr is closed": (f"{{}} {MODEL} none.png 2>&-; echo $? >status", (1,)),
    "stdin is closed": (f"{{}} {MODEL} <&-; echo $? >status", (0,)),
    "the disk is full": (f"{{}} {MODEL} a.png >/dev/full; echo $? >status", (2,)),
    "stdin is no text": (
        f"printf '\\377\\376.png\\na.png\\n' | ({{}} {MODEL}; echo $? >status)",
        (1,),
    ),
    "stdin is a picture": (f"{{}} {MODEL} <a.png; echo $? >status", (1,)),
    "stdin is zeros": (f"head -c 3000000 /dev/zero | ({{}} {MODEL}; echo $? >status)", (1,)),
}


def python():
    """Return the command and the environment of darkpy in another process."""
    keep = {key: value for key, value in os.environ.items() if not key.endswith("DISPLAY")}
    env = {**keep, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"}
    return f"'{sys.executable}' -m darkpy", env


@SHELL
@pytest.mark.parametrize("what", PIPES)
def test_streams(what, place, tried):
    line, statuses = PIPES[what]
    if "/dev/full" in line and not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    command, env = python()
    done = subprocess.run(
        line.format(command), shell=True, cwd=place, env=env, capture_output=True, timeout=120
    )
    assert int((place / "status").read_text()) in statuses, done.stderr
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr
    assert not [*place.rglob("*.partial")]
    tried("cli: processes")


@SHELL
def test_an_interruption(place, tried):
    command, env = python()
    with subprocess.Popen(
        f"exec {command} {MODEL}",
        shell=True,
        cwd=place,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout.read(6) == b"Enter "
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert (process.returncode, err.strip()) == (130, b"stopped")
    tried("cli: processes")


@SHELL
def test_paths_that_are_no_text(place, tried):
    """Bytes that are not UTF-8 stay what they are, in and out."""
    name = os.fsencode(place) + b"/folder/caf\xe9.png"
    try:
        with open(name, "wb") as file:
            file.write((place / "a.png").read_bytes())
    except OSError:
        pytest.skip("this file system has names of text only")
    _, env = python()
    for kind in ("voc", "bdd"):
        text = (place / f"{kind}.data").read_text().replace("valid=valid.txt", "valid=folder")
        (place / "named.data").write_text(text)
        words = ["detector", "valid", "named.data", "tiny.cfg", "tiny.weights"]
        done = subprocess.run(
            [sys.executable, "-m", "darkpy", *words],
            cwd=place,
            env=env,
            capture_output=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        tried("cli: processes")
    with contextlib.suppress(FileNotFoundError):
        assert b"caf\xe9 " in (place / "folder/results/comp4_det_test_cat.txt").read_bytes()
