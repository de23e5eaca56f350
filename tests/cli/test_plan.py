"""darkpy plan, tune and benchmark: what they print and write, and what they refuse."""

import json

import numpy as np
import pytest

from darkpy import Network, write_weights
from darkpy.cli import main
from darkpy.kernels.cpu.engine import bf16
from darkpy.plan import convolve, tune, ways

CFG = """[net]
width=32
height=32
channels=3
[convolutional]
filters=16
size=3
pad=1
activation=leaky
[convolutional]
batch_normalize=1
filters=16
size=3
pad=1
activation=mish
[convolutional]
filters=21
size=1
activation=linear
[yolo]
mask=0,1,2
anchors=8,9, 20,18, 40,50
classes=2
num=3
"""


@pytest.fixture
def darkpy(tmp_path, monkeypatch, capsys, choices):
    """Run a command line beside a cfg and its weights; return exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.cfg").write_text(CFG)
    network = Network.from_cfg("a.cfg")
    write_weights(network, network.initial_params(np.random.default_rng(0)), "a.weights")

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        return stop.value.code, *capsys.readouterr()

    return run


def test_plan_shows_every_step(darkpy):
    code, out, err = darkpy("plan", "a.cfg", "a.weights", "--runs", "2", "--threads", "1")
    head, *steps, last, machine = out.splitlines()
    assert (code, err) == (0, "")
    assert head.split()[:2] == ["layer", "op"]
    assert [line.split()[2] for line in steps if "convolve" in line] == ["convolve"] * 3
    assert last.startswith("total") and last.endswith("%")
    assert "1 threads reach" in machine


def test_plan_without_times_runs_nothing(darkpy, monkeypatch):
    monkeypatch.setattr("darkpy.plan.plan.Plan.times", None)
    code, out, _ = darkpy("plan", "a.cfg", "--no-time", "--threads", "2", "--batch", "3")
    assert code == 0 and "3x16x32x32" in out and out.endswith("threads: 2\n")


def test_plan_as_json(darkpy, tmp_path):
    code, out, _ = darkpy("plan", "a.cfg", "--runs", "1", "--json", "-")
    printed = json.loads(out)
    assert code == 0 and printed["total"]["mflop"] > 0
    assert darkpy("plan", "a.cfg", "--no-time", "--json", "plan.json")[0] == 0
    written = json.loads((tmp_path / "plan.json").read_text())
    assert [one["kind"] for one in written["steps"]] == [one["kind"] for one in printed["steps"]]
    assert {one["milliseconds"] for one in written["steps"]} == {None}


def test_benchmark_of_a_network(darkpy):
    code, out, _ = darkpy("benchmark", "a.cfg", "--runs", "3")
    assert code == 0
    assert "a.cfg, input 1x3x32x32, fp32: " in out and "of maps" in out and "reach" in out
    code, out, _ = darkpy("benchmark", "--runs", "3", "--json", "-", "a.cfg", "a.weights")
    found = json.loads(out)
    assert code == 0 and found["low"] <= found["milliseconds"] <= found["high"]
    assert found["share"] == pytest.approx(found["gflops"] / found["peak_gflops"])


def test_benchmark_of_kernels(darkpy):
    words = ("benchmark", "kernels", "a.cfg", "--rounds", "1")
    code, out, _ = darkpy(*words)
    assert code == 0 and "error" not in out.splitlines()[0]
    code, out, _ = darkpy(*words, "--errors", "--json", "-")
    rows = json.loads(out)["rows"]
    assert [row["way"].split()[:2] for row in rows if row["layer"] == "16 -> 16 @32x32 k3"] == [
        ["direct"], *(["winograd", f"F{m}"] for m in range(2, 7)),
    ]  # fmt: skip
    assert all(row["error"] < 4e-5 for row in rows)
    strict = json.loads(darkpy(*words, "--strict", "--json", "-")[1])["rows"]
    assert len(strict) == len(rows) - 4


def test_tune_says_what_it_gains_and_forgets(darkpy, monkeypatch):
    network = Network.from_cfg("a.cfg")
    program = ways.separate(network, network.initial_params(np.random.default_rng(0)), 1, 2)
    g = ways.layers(program)[1].geometry
    monkeypatch.setattr(tune, "times", lambda bound, rounds: [4.0, *[3.0] * (len(bound) - 1)])
    monkeypatch.setattr(tune, "compared", lambda *given: (2.0, 1.5))
    code, out, _ = darkpy("tune", "a.cfg", "--threads", "2")
    assert code == 0 and "16 -> 16 @32x32 k3" in out and "  25%" in out
    assert "takes 1.50 ms instead of 2.00, 25% less" in out
    assert convolve.choose(g, 2) != convolve.estimate(g, 2)
    code, out, _ = darkpy("tune", "a.cfg", "--threads", "2", "--forget")
    assert (code, out) == (0, "a.cfg: the choices for 1 shapes of convolutions are forgotten\n")
    assert convolve.choose(g, 2) == convolve.estimate(g, 2)


def test_tune_that_gains_nothing_says_so(darkpy, monkeypatch):
    monkeypatch.setattr(tune, "times", lambda bound, rounds: [4.0] * len(bound))
    code, out, _ = darkpy("tune", "a.cfg", "--rounds", "1")
    assert code == 0 and "the estimates are the fastest: nothing changes" in out
    monkeypatch.setattr(tune, "times", lambda bound, rounds: [4.0, *[3.0] * (len(bound) - 1)])
    monkeypatch.setattr(tune, "compared", lambda *given: (2.0, 2.5))
    assert "nothing is gained, and the estimates stay" in darkpy("tune", "a.cfg")[1]
    figures = json.loads(darkpy("tune", "a.cfg", "--json", "-")[1])
    assert figures["kept"] is False and figures["layers"][0]["gain"] == pytest.approx(0.25)


def test_a_tuning_as_a_whole(darkpy):
    code, out, err = darkpy("tune", "a.cfg", "a.weights", "--rounds", "1")
    assert (code, err) == (0, "") and out.startswith("convolution")


COMMANDS = [("plan",), ("tune",), ("benchmark",), ("benchmark", "kernels")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none.cfg",), "none.cfg: cannot be read"),
        ((), "Missing argument 'CFG"),
        (("a.cfg", "--threads", "0"), "0 is not in the range 1<=x<=256"),
        (("a.cfg", "--batch", "x"), "'x' is not a valid integer"),
        (("a.cfg", "--json", "."), "is a directory"),
        (("a.cfg", "--tread", "2"), "--tread"),
    ],
)
def test_bad_words_are_refused(darkpy, command, words, said):
    if command == ("benchmark",) and not words:
        return  # it shows its help
    code, out, err = darkpy(*command, *words)
    assert (code, out) == (2, "") and said in err and "Traceback" not in err


@pytest.mark.parametrize("command", [("plan",), ("benchmark",)], ids=" ".join)
def test_precisions_and_weights_are_checked(darkpy, command, monkeypatch):
    assert "'fp8' is not one of" in darkpy(*command, "a.cfg", "--precision", "fp8")[2]
    code, _, err = darkpy(*command, "a.cfg", "--precision", "bf16", "--strict")
    assert code == 2 and "strict arithmetic takes precision 'fp32'" in err
    monkeypatch.setattr(bf16, "available", lambda: None)
    assert darkpy(*command, "a.cfg", "--precision", "bf16")[0] == 2
    code, _, err = darkpy(*command, "a.cfg", "a.cfg")
    assert code == 2 and "a.cfg" in err


def test_networks_without_convolutions_have_no_kernels_to_time(darkpy, tmp_path):
    (tmp_path / "b.cfg").write_text(
        "[net]\nwidth=8\nheight=8\nchannels=3\n[maxpool]\nsize=2\nstride=2\n"
    )
    code, _, err = darkpy("benchmark", "kernels", "b.cfg")
    assert code == 2 and "b.cfg: no convolution to time" in err
    assert "the estimates are the fastest" in darkpy("tune", "b.cfg")[1]
