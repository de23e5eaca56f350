"""What the benchmarks say: statistics, tables, what they give their peers. None is started."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.network import Network
from darkpy.run import Tape
from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import bench_detect
import bench_train
import engines
import results
import steppers
import subject
import to_ncnn
import turns

CFG = """
    [net]
    batch=64
    height=12
    width=16
    channels=3
    [convolutional]
    batch_normalize=1
    filters=8
    size=3
    pad=1
    activation=leaky
    [maxpool]
    size=2
    stride=2
    [convolutional]
    filters=8
    activation=mish
    [shortcut]
    from=-2
    [route]
    layers=-1
    groups=2
    group_id=1
    [upsample]
    stride=2
    [route]
    layers=-1,0
    [convolutional]
    filters=7
    activation=linear
    [yolo]
    classes=2
    num=1
    anchors=3,4
    [route]
    layers=-2
    [convolutional]
    filters=7
    activation=logistic
    [yolo]
    classes=2
    num=1
    anchors=3,4
"""


@pytest.fixture
def network(tmp_path: Path) -> Network:
    path = tmp_path / "small.cfg"
    path.write_text(textwrap.dedent(CFG), "utf-8")
    return Network.from_cfg(path)


def row(name: str, median: float) -> dict:
    return {
        "engine": name, "version": "1.2", "note": "set so", "median": median, "best": median,
        "ratio": 1.5, "low": 1.25, "high": 2.0, "speed": 100.0, "share": 0.5, "peak": 200.0,
        "difference": None,
    }  # fmt: skip


def figures() -> dict:
    state = {"peak": 200.0, "reading": 30.0}
    machine = {"processor": "A", "system": "Linux", "threads": 2}
    machine |= dict.fromkeys(("python", "numpy", "numba"), "1")
    network = {
        "network": "tiny", "input": "3x12x16", "gflops": 5.0, "weights": "drawn", "before": state,
        "after": state, "engines": [row("darkpy", 9.876), row("b", 123.4)], "absent": {"c": "why"},
    }  # fmt: skip
    return {
        "machine": machine, "command": "x.cfg", "base": "darkpy", "batch": 1, "precision": "fp32",
        "rounds": 3, "seconds": 0.3, "networks": [network],
    }  # fmt: skip


def test_a_ratio_is_taken_within_each_round():
    found = turns.compared([20, 60, 30], [10, 20, 30])
    assert (found["median"], found["best"]) == (30, 20)
    assert (found["low"], found["ratio"], found["high"]) == (1.5, 2, 2.5)


def test_one_round_has_no_spread():
    found = turns.compared([20], [10])
    assert found["low"] == found["ratio"] == found["high"] == 2


def test_every_engine_begins_a_round_in_its_turn():
    assert [turns.order(3, turn) for turn in range(3)] == [[0, 1, 2], [1, 2, 0], [2, 0, 1]]


def test_outputs_are_compared_by_the_largest_value():
    truth = [np.array([[2.0, -4.0]]), np.array([[1.0]])]
    assert turns.difference([truth[0] + 0.2, truth[1]], truth) == pytest.approx(0.05)
    assert turns.difference([truth[0], truth[1].T[0]], truth) == np.inf


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outputs_that_are_no_numbers_are_never_alike(bad):
    found = turns.difference([np.array([[bad, 1.0]])], [np.array([[2.0, 1.0]])])
    assert not found <= turns.MOST["fp32"]


def test_peers_stand_in_one_order():
    assert bench_detect.names("ncnn,openvino") == ("openvino", "ncnn")
    assert bench_detect.names("all") == bench_detect.PEERS
    assert set(bench_detect.PEERS) < set(engines.ENGINES)
    with pytest.raises(Exception, match="expected some of openvino"):
        bench_detect.names("tensorflow")


def test_wrong_numbers_are_refused():
    command = [sys.executable, str(ROOT / "benchmarks" / "bench_detect.py"), "--rounds", "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "1 at least" in done.stderr


def test_the_raw_network_gives_what_feeds_the_heads(network):
    params = subject.drawn(network)
    x = np.random.default_rng(0).random((2, *network.image), dtype=np.float32)
    every = Tape(network, params, ops("reference")).activations(x)
    assert subject.sources(network) == [7, 10]
    for index, y in zip(subject.sources(network), subject.truth(network, params, x), strict=True):
        np.testing.assert_array_equal(y, every[index])
    assert [node.index for node in subject.raw(network).heads] == [8, 11]


def test_drawn_parameters_keep_activations_in_range():
    network = Network.from_cfg(ROOT / "cfg" / "yolo-fastest-1.1.cfg", size=(64, 64))
    x = np.random.default_rng(0).random((1, *network.image), dtype=np.float32)
    every = Tape(network, subject.drawn(network), ops("reference")).activations(x)
    sizes = [float(abs(y).max()) for y in every]
    assert 1e-3 < min(sizes) and max(sizes) < 1e4


def test_folding_leaves_what_comes_out(network):
    params = subject.drawn(network)
    x = np.random.default_rng(0).random((1, *network.image), dtype=np.float32)
    truth = subject.truth(network, params, x)
    for index, (w, b) in subject.folded(network, params).items():
        own = params[index]
        own |= {"weights": w, "biases": b}
        if network.nodes[index].layer.normalizes:
            own["scales"] = np.full_like(b, np.sqrt(1 + 1e-5))
            own |= {"rolling_mean": np.zeros_like(b), "rolling_variance": np.ones_like(b)}
    # 1e-5: scales and roots are rounded to float32 in another order
    assert turns.difference(subject.truth(network, params, x), truth) < 1e-5


def test_multiply_adds_are_counted_by_their_definition(network):
    first, second, head = 12 * 16 * 8 * 3 * 9, 6 * 8 * 8 * 8, 12 * 16 * 7 * 12
    last = 12 * 16 * 7 * 7
    assert subject.macs(network) == first + second + head + last


def test_a_pool_is_padded_no_further_than_it_reaches(network):
    node = network.nodes[1]
    assert node.layer.border == 1
    assert subject.margins(node, (8, 12, 16)) == (0, (0, 0))


def test_what_is_written_is_the_network(network, tmp_path):
    folder = tmp_path / "job"
    folder.mkdir()
    resized = network.resized(24, 32)
    subject.write(folder, resized, subject.drawn(resized), batch=2)
    again = Network.from_cfg(folder / "net.cfg")
    assert again.nodes == tuple(
        type(node)(**(vars(node) | {"where": other.where}))
        for node, other in zip(resized.nodes, again.nodes, strict=True)
    )
    assert again.options.batch == 1 and again.image == (3, 24, 32)
    assert np.load(folder / "x.npy").shape == (2, 3, 24, 32)


def test_ncnn_is_given_a_split_where_several_want_an_output(network, tmp_path):
    params = subject.drawn(network)
    subject.write(tmp_path, network, params, 1)
    with np.load(tmp_path / "folded.npz") as arrays:
        to_ncnn.write(tmp_path, network, arrays)
    magic, counts, *lines = (tmp_path / "net.param").read_text("utf-8").splitlines()
    layers, blobs = map(int, counts.split())
    made, taken = [], []
    for line in lines:
        words = line.split()
        inputs, outputs = int(words[2]), int(words[3])
        taken += words[4 : 4 + inputs]
        made += words[4 + inputs : 4 + inputs + outputs]
    asked = (tmp_path / "net.outputs").read_text("utf-8").split()
    assert int(magic) == to_ncnn.MAGIC and layers == len(lines) and blobs == len(set(made))
    assert len(made) == blobs and sorted(taken + asked) == sorted(made)
    weights = sum(array.nbytes for one in subject.folded(network, params).values() for array in one)
    assert (tmp_path / "net.bin").stat().st_size == weights + 4 * 4  # a mark a convolution


def test_keys_that_no_peer_is_given_are_refused(tmp_path):
    path = tmp_path / "scaled.cfg"
    path.write_text("[net]\nheight=8\nwidth=8\nchannels=3\n[upsample]\nscale=2\n", "utf-8")
    with pytest.raises(ValueError, match=r"\[upsample\]: no comparison"):
        to_ncnn.Writer(Network.from_cfg(path), {})


def test_a_turn_is_two_inferences_at_least():
    assert engines.turn(lambda: 5.0, 0.1) == [5.0, 5.0]


def test_an_engine_that_is_not_installed_says_so(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "openvino", None)
    job = engines.Job(tmp_path, np.zeros((1, 3, 8, 8), np.float32), 1, "fp32")
    engine, said = engines.load("openvino", job)
    assert engine is None and "not installed" in said["absent"]


def test_an_engine_of_float32_takes_no_part_in_bf16(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", object())
    job = engines.Job(tmp_path, np.zeros((1, 3, 8, 8), np.float32), 1, "bf16")
    assert engines.load("onnxruntime", job)[1] == {"absent": "computes in fp32 alone"}


def test_the_table_has_every_engine_and_why_one_is_absent():
    text = results.table(figures())
    assert "darkpy 1.2" in text and "9.88" in text and "1.25-2.00" in text
    assert "absent: c: why" in text and "ratios to darkpy" in text


def test_the_page_of_a_day_grows(tmp_path):
    path = results.markdown(figures(), tmp_path)
    once = path.read_text("utf-8")
    results.markdown(figures(), tmp_path)
    assert path.read_text("utf-8").startswith(once)
    assert once.count("# Inference") == 1 and "| b 1.2 | 123 |" in once


def test_figures_are_json():
    assert json.loads(results.json_text(figures())) == figures()


def test_an_engine_runs_the_fastest_way_once_it_is_warm():
    ways = {"slow": lambda: 2.0, "fast": lambda: 1.0}
    found = engines.warm(engines.Engine("", ways["slow"], list, "eager", ways=ways))
    assert found.run() == 1 and found.note == "eager, fast"


def test_peers_at_work_take_turns_with_ours(tmp_path, network):
    """Two processes of ours stand for two engines: what they say to each other is what counts."""
    subject.write(tmp_path, network, subject.drawn(network), 1)
    both = [turns.Engine("darkpy", sys.executable, tmp_path, [], 1) for _ in range(2)]
    try:
        assert all(one.answer()["engine"] == "darkpy" for one in both)
        assert both[0].ask("outputs") == {"written": True}
        both[1].name = "other"
        times = turns.rounds(both, 2, 0.01, None, False)
        peak = both[0].ask("end")["peak"]
    finally:
        for one in both:
            one.end()
    truth = subject.truth(network, subject.drawn(network), np.load(tmp_path / "x.npy"))
    assert turns.difference(turns.outputs(tmp_path, "darkpy"), truth) < 1e-5
    assert [len(times[name]) for name in ("darkpy", "other")] == [2, 2]
    assert not peak < 10


def test_an_engine_that_trains_takes_turns_too(tmp_path, network):
    subject.write(tmp_path, network, subject.drawn(network), 2)
    engine = turns.Engine("darkpy", sys.executable, tmp_path, [], 1, "steppers.py")
    try:
        assert engine.answer()["engine"] == "darkpy"
        engine.ask("outputs")
        times = turns.rounds([engine], 2, 0.01, None, False)
    finally:
        engine.end()
    ends = subject.raw(network)
    found = Tape(ends, subject.drawn(network), ops("reference"), True).forward(
        np.load(tmp_path / "x.npy")
    )
    truth = [found[node.index] for node in ends.heads]
    # a step has moved the weights by a rate of 1e-6
    assert turns.difference(turns.outputs(tmp_path, "darkpy"), truth) < 1e-4
    assert len(times["darkpy"]) == 2


def test_peers_that_train_stand_in_one_order():
    assert bench_train.names("torch_channels_last,torch") == bench_train.PEERS
    assert set(bench_train.PEERS) < set(steppers.STEPPERS)
    with pytest.raises(Exception, match="expected some of torch"):
        bench_train.names("openvino")


def test_an_engine_that_fails_says_why(tmp_path):
    engine = turns.Engine("darkpy", sys.executable, tmp_path, [], 1)
    with pytest.raises(RuntimeError, match=r"darkpy ended: .*x\.npy"):
        engine.answer()
    engine.end()
