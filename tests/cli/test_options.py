"""Flags: darknet's spellings, and what a wrong one is told."""

import pytest

from darkpy.cli import main

MODEL = ("x.data", "x.cfg", "x.weights")


@pytest.fixture
def said(capsys):
    """Run a command line that is wrong; return what it says on stderr."""

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        assert stop.value.code == 2
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("-tresh", "-thresh"),
        ("-dontshow", "-dont_show"),
        ("-iou_tresh", "-thresh"),
        ("-ext_outptu", "-ext_output"),
        ("-letterbox", "-letter_box"),
        ("-thres=.3", "-thresh"),
    ],
)
def test_a_wrong_word_behind_one_dash_names_the_nearest(said, wrong, right):
    err = said("detector", "test", *MODEL, wrong)
    assert f"No such option: {wrong.partition('=')[0]}; did you mean '{right}'?" in err


@pytest.mark.parametrize("spelling", ["-dont_show", "-dont-show", "--dont_show", "--dont-show"])
def test_a_flag_has_four_spellings(said, spelling):
    assert "x.data: cannot be read" in said("detector", "test", *MODEL, spelling)


def test_a_value_may_begin_with_a_dash(said):
    assert "x.data: cannot be read" in said("detector", "test", *MODEL, "-out", "-found.json")


@pytest.mark.parametrize("command", ["test", "map"])
@pytest.mark.parametrize("value", ["nan", "1.5", "-0.1", "inf", "x"])
def test_a_threshold_is_a_share(said, command, value):
    assert "'-thresh'" in said("detector", command, *MODEL, "-thresh", value)


@pytest.mark.parametrize("words", [("yolo",), ("detector", "demo"), ("classifier",)])
def test_what_is_to_come_is_said_to_come(said, words):
    assert "not in this version yet" in said(*words)


def test_strict_makes_an_unknown_key_an_error(said, tmp_path):
    (tmp_path / "x.names").write_text("a\n")
    (tmp_path / "x.data").write_text("names = x.names\n")
    (tmp_path / "x.cfg").write_text("[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nfliters=2\n")
    model = [str(tmp_path / name) for name in ("x.data", "x.cfg", "x.weights")]
    assert "error:" in said("detector", "test", *model, "--strict")
    err = said("detector", "test", *model, "--strict")
    assert "x.cfg:6: [conv] unknown key 'fliters'; did you mean 'filters'?" in err
    assert "warning:" in said("detector", "test", *model)


def test_a_gpu_that_is_asked_for_is_not_passed_over_in_silence(said):
    err = said("detector", "test", *MODEL, "-i", "1")
    assert "warning: -i 1: device 'cuda:1': " in err
    assert "device 'cpu' computes on the processor" in err
    assert "warning" not in said("detector", "test", *MODEL, "-i", "-1")
