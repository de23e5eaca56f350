"""The benchmark of the GPU, on the CPU in its place: all of it runs but PyTorch's side."""

import json
import sys

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.hostcuda import missing
from tests.tiny import CFG

sys.path.insert(0, str(ROOT / "benchmarks"))

import bench_gpu

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the benchmark of a tiny network with more arguments; return its figures."""
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(CFG)

    def main(*more):
        words = ["--host", cfg, "--size", 32, "--batches", 2, "--rounds", 1, *more]
        words += ["--json", tmp_path / "x.json", "--chart", tmp_path / "x.png"]
        monkeypatch.setattr(sys, "argv", ["bench_gpu.py", *map(str, words)])
        bench_gpu.main()
        assert (tmp_path / "x.png").stat().st_size > 1000
        return json.loads((tmp_path / "x.json").read_text())

    return main


def test_measures_a_network_its_training_and_its_layers(run):
    figures = run("--no-checks")
    assert not figures["errors"] and not figures["ceilings"]
    (network,), (training,) = figures["networks"], figures["training"]
    assert network["differs"] < 3e-3  # float16
    assert {*network["ms"]} == {"darkpy", "call"}
    assert training["gflop"] == pytest.approx(3 * network["gflop"], rel=0.5)  # none to the input
    kinds = [row["op"] for row in figures["layers"]]
    assert kinds.count("convolve") == 3 and "maxpool" in kinds
    total = sum(row["gflop"] for row in figures["layers"])
    assert total == pytest.approx(network["gflop"])


@pytest.mark.slow
def test_runs_the_tests_of_the_kernels_first(run, monkeypatch, tmp_path):
    path = tmp_path / "test_kernels.py"
    monkeypatch.setattr(bench_gpu, "CHECKED", ("", path))
    path.write_text("def test_right(): pass")
    assert "1 passed" in run("--minutes", 5)["checks"]["said"]
    for text in (
        "def test_wrong(): assert 0",
        "import pytest\ndef test_nothing(): pytest.skip('no g++')",
    ):
        path.write_text(text)
        with pytest.raises(SystemExit, match="the kernels are wrong here"):
            run()


def test_goes_on_after_an_error(run, monkeypatch):
    def fails(self, path, batch):
        raise ValueError("lost")

    monkeypatch.setattr(bench_gpu.Bench, "training", fails)
    with pytest.raises(SystemExit, match="something failed"):
        run("--no-checks")


def test_work_of_a_convolution_is_counted_by_its_definition():
    op = bench_gpu.Op(
        "convolve",
        [bench_gpu.Value((1, 8, 4, 4), stored="half")],
        {"w": np.zeros((16, 8, 3, 3), np.float32)},
        [bench_gpu.Value((1, 16, 4, 4), stored="half")],
        0,
    )
    flops, moved = 2 * 16 * 16 * 8 * 9, 2 * (8 * 16 + 16 * 16 + 16 * 8 * 9)
    assert bench_gpu.work(op) == (flops, moved)
    op.outputs.append(bench_gpu.Value((2, 16)))  # what a batch norm after it needs
    assert bench_gpu.work(op) == (flops, moved + 4 * 32)
