"""darkpy detector test: what it prints and writes, in darknet's words."""

import io
import json
import re

import cv2
import numpy as np
import pytest

from darkpy.cli import main
from darkpy.cli.detect import JsonFile
from darkpy.decode import Candidates
from darkpy.kernels.cpu.engine import bf16
from tests.tiny import write_model, write_picture


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path)
    write_picture(tmp_path / "a.png", seed=1)
    write_picture(tmp_path / "b.jpg", seed=2)
    return tmp_path


@pytest.fixture
def darkpy(capsys):
    """Run the command line; return exit status, stdout and stderr."""

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


MODEL = ("tiny.data", "tiny.cfg", "tiny.weights")


def test_prints_darknets_lines(folder, darkpy):
    code, out, err = darkpy("detector", "test", *MODEL, "a.png", "-thresh", ".1", "-dont_show")
    lines = out.splitlines()
    assert code == 0 and err == ""
    assert lines[0] == " Detection layer: 4 - type = 28 "
    assert re.fullmatch(r"a\.png: Predicted in \d+\.\d{6} milli-seconds\.", lines[1])
    assert len(lines) > 2
    assert all(re.fullmatch(r"(cat|dog): \d+%", line) for line in lines[2:])
    assert (folder / "predictions.jpg").stat().st_size > 0


def test_ext_output_adds_pixels_from_left_to_right(folder, darkpy):
    code, out, _ = darkpy(
        "detector", "test", *MODEL, "a.png", "-thresh", ".1", "-ext_output", "-dont_show"
    )
    form = (
        r"\w+: \d+%\t\(left_x: {1,5}(-?\d+)   top_y: {1,5}-?\d+"
        r"   width: {1,5}\d+   height: {1,5}\d+\)"
    )
    found = [re.fullmatch(form, line) for line in out.splitlines()[2:]]
    assert code == 0 and found and all(found)
    lefts = [int(match[1]) for match in found]
    assert lefts == sorted(lefts)


def test_flags_may_stand_anywhere_and_be_spelled_with_two_dashes(folder, darkpy):
    one = darkpy("detector", "test", "-dont_show", "-thresh", "0.1", *MODEL, "a.png")
    two = darkpy("detector", "test", *MODEL, "--thresh", "0.1", "a.png", "--dont-show")
    assert [line for line in one[1].splitlines() if "Predicted" not in line] == [
        line for line in two[1].splitlines() if "Predicted" not in line
    ]


def test_json_is_darknets_form_and_parses(folder, darkpy):
    code, _, _ = darkpy(
        "detector",
        "test",
        *MODEL,
        "a.png",
        "b.jpg",
        "-thresh",
        ".1",
        "-dont_show",
        "-out",
        "o.json",
    )
    text = (folder / "o.json").read_text()
    records = json.loads(text)
    assert code == 0
    assert [record["frame_id"] for record in records] == [1, 2]
    assert [record["filename"] for record in records] == ["a.png", "b.jpg"]
    assert list(records[0]["objects"][0]) == [
        "class_id",
        "name",
        "relative_coordinates",
        "confidence",
    ]
    assert text.startswith(
        '[\n{\n "frame_id":1, \n "filename":"a.png", \n "objects": [ \n  {"class'
    )
    assert text.endswith("\n ] \n}\n]")


def test_names_in_json_are_escaped(folder, darkpy):
    (folder / "tiny.names").write_text('ca"t\\\nhün\n', encoding="utf-8")
    darkpy("detector", "test", *MODEL, "a.png", "-thresh", ".05", "-dont_show", "-out", "o.json")
    (record,) = json.loads((folder / "o.json").read_text(encoding="utf-8"))
    assert {one["name"] for one in record["objects"]} <= {'ca"t\\', "hün"}
    assert record["objects"]


def test_save_labels_writes_a_label_file_beside_the_picture(folder, darkpy):
    darkpy("detector", "test", *MODEL, "b.jpg", "-thresh", ".1", "-dont_show", "-save_labels")
    lines = (folder / "b.txt").read_text().splitlines()
    assert lines
    assert all(re.fullmatch(r"[01]( -?\d+\.\d{4}){4}", line) for line in lines)


def test_names_come_on_standard_input(folder, darkpy, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a.png\n\n  b.jpg \r\n"))
    code, out, _ = darkpy("detector", "test", *MODEL, "-thresh", ".1", "-dont_show")
    assert code == 0
    assert out.count("Enter Image Path: ") >= 3
    assert re.findall(r"(\S+): Predicted", out) == ["a.png", "b.jpg"]


def test_folders_globs_and_lists(folder, darkpy):
    (folder / "list.txt").write_text("b.jpg\na.png\n")
    for argument, expected in (
        (".", {"a.png", "b.jpg"}),
        ("*.png", {"a.png"}),
        ("list.txt", {"b.jpg", "a.png"}),
    ):
        code, out, _ = darkpy("detector", "test", *MODEL, argument, "-dont_show")
        found = {path.rpartition("/")[2] for path in re.findall(r"(\S+): Predicted", out)}
        assert code == 0 and found == expected


def test_a_broken_picture_is_named_and_the_rest_goes_on(folder, darkpy):
    (folder / "bad.jpg").write_bytes(b"no picture")
    code, out, err = darkpy(
        "detector", "test", *MODEL, "bad.jpg", "none.png", "a.png", "-dont_show", "-out", "o.json"
    )
    assert code == 1
    assert "bad.jpg" in err and "none.png" in err and "2 of the pictures" in err
    assert "a.png: Predicted" in out
    assert [one["filename"] for one in json.loads((folder / "o.json").read_text())] == ["a.png"]


def test_drawings_can_be_kept(folder, darkpy):
    darkpy("detector", "test", *MODEL, ".", "-dont_show", "-save", "drawn")
    assert sorted(path.name for path in (folder / "drawn").iterdir()) == ["a.jpg", "b.jpg"]
    assert cv2.imread(str(folder / "drawn" / "a.jpg")).shape == (48, 80, 3)


def test_drawings_of_one_name_are_numbered(folder, darkpy):
    for where in ("x", "y"):
        (folder / where).mkdir()
        write_picture(folder / where / "a.png")
    darkpy("detector", "test", *MODEL, "x/a.png", "y/a.png", "-dont_show", "-save", "drawn")
    assert sorted(path.name for path in (folder / "drawn").iterdir()) == ["a-2.jpg", "a.jpg"]


def test_predictions_are_those_of_the_last_picture(folder, darkpy):
    drawn = []
    for pictures in (["b.jpg"], ["a.png", "b.jpg"], ["a.png", "b.jpg", "none.png"], ["a.png"]):
        darkpy("detector", "test", *MODEL, *pictures, "-thresh", ".1", "-dont_show")
        drawn.append((folder / "predictions.jpg").read_bytes())
    assert drawn[0] == drawn[1] == drawn[2] != drawn[3]
    darkpy("detector", "test", *MODEL, ".", "-thresh", ".1", "-dont_show", "-save", "drawn")
    assert (folder / "drawn" / "a.jpg").read_bytes() == drawn[3]


def test_names_that_begin_with_dont_show_are_hidden(folder, darkpy):
    (folder / "tiny.names").write_text("dont_show_cat\ndog\n")
    _, out, _ = darkpy("detector", "test", *MODEL, "a.png", "-thresh", ".05", "-dont_show")
    assert "dont_show" not in out and "dog" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none.data", "tiny.cfg", "tiny.weights", "a.png"), "none.data: cannot be read"),
        (("tiny.data", "none.cfg", "tiny.weights", "a.png"), "none.cfg: cannot be read"),
        (("tiny.data", "tiny.cfg", "none.weights", "a.png"), "none.weights: cannot be read"),
        (("tiny.data", "tiny.cfg", "a.png", "a.png"), "a.png: "),
        (("tiny.data", "tiny.weights", "tiny.cfg", "a.png"), "tiny.weights: is not a text file"),
        (("tiny.data", "tiny.cfg"), "Missing argument 'WEIGHTS'"),
        ((*MODEL, "a.png", "-tresh", "3"), "No such option"),
        ((*MODEL, "a.png", "-thresh", "3"), "-thresh"),
        (
            (*MODEL, "a.png", "--precision", "fp8"),
            "'fp8' is not one of 'fp32', 'tf32', 'fp16', 'bf16'",
        ),
    ],
)
def test_bad_input_ends_with_2_and_one_message(folder, darkpy, words, message):
    code, _, err = darkpy("detector", "test", *words)
    assert code == 2
    assert message in err and "Traceback" not in err


def test_a_precision_that_the_processor_lacks_ends_with_2(folder, darkpy, monkeypatch):
    monkeypatch.setattr(bf16, "available", lambda: None)
    code, out, err = darkpy("detector", "test", *MODEL, "a.png", "--precision", "bf16")
    assert code == 2 and out == ""
    assert "error: precision 'bf16': expected a processor with AVX512-BF16" in err
    assert len(err.splitlines()) == 1


@pytest.mark.skipif(bf16.available() is None, reason="no bf16 on this processor")
def test_bf16_detects_the_same(folder, darkpy):
    words = ("detector", "test", *MODEL, "a.png", "-thresh", ".1", "-dont_show")
    found = [
        {line.split(":")[0] for line in darkpy(*words, *more)[1].splitlines()[2:]}
        for more in ((), ("--precision", "bf16"))
    ]
    assert found[0] == found[1] != set()


def test_an_unknown_command_names_the_nearest(darkpy):
    code, _, err = darkpy("detector", "tset")
    assert code == 2 and "did you mean 'test'" in err


def test_partial_cuts_a_backbone(folder, darkpy):
    code, out, _ = darkpy("partial", "tiny.cfg", "tiny.weights", "tiny.conv.2", "2")
    assert code == 0 and "tiny.conv.2" in out
    whole, cut = (folder / "tiny.weights").read_bytes(), (folder / "tiny.conv.2").read_bytes()
    assert len(cut) == 20 + 4 * (8 * 4 + 8 * 27)
    assert cut[20:] == whole[20 : len(cut)]
    assert np.frombuffer(cut, "<u8", 1, 12)[0] == 0
    code, _, err = darkpy("partial", "tiny.cfg", "tiny.conv.2", "x", "4")
    assert code == 2 and "holds 2 layers" in err


def test_json_has_what_is_more_likely_than_half_a_per_cent():
    boxes = np.full((2, 4), 0.5, np.float32)
    probs = np.array([[0.0049, 0.0051], [0.9, 0.02]], np.float32)
    file = io.BytesIO()
    JsonFile(file).add("a.png", Candidates(boxes, probs.max(1), probs), ("cat", "dog"))
    written = [(one["name"], one["confidence"]) for one in json.loads(file.getvalue())["objects"]]
    assert written == [("dog", 0.0051), ("cat", 0.9), ("dog", 0.02)]


def test_a_missing_names_file_says_who_asks_for_it(folder, darkpy):
    (folder / "tiny.names").unlink()
    code, _, err = darkpy("detector", "test", *MODEL, "a.png")
    assert code == 2 and "tiny.data: names: " in err and "tiny.names: cannot be read" in err
