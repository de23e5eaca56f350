"""On a machine with a GPU: that what the processor stands for elsewhere is true there.

`DARKPY_GPU_TESTS=1 pytest tests/kernels tests/hostcuda tests/plan` runs every kernel there as well.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

import darkpy
from darkpy import cuda
from darkpy.network import Network
from darkpy.train.trainer import Trainer
from tests.conftest import ROOT
from tests.hostcuda.on_gpu import VARIABLE
from tests.test_gpu import same
from tests.tiny import write_model
from tests.train.test_on_device import batches, network, train
from tests.train.test_on_device import same as same_training

pytestmark = pytest.mark.cuda


def test_nothing_is_missing():
    assert cuda.refusal("cuda:0") == "" and cuda.usable()


@pytest.mark.parametrize(
    ("precision", "atol"), [("fp32", 1e-3), ("tf32", 0.05), ("fp16", 0.1), ("bf16", 1)]
)
def test_boxes_are_those_of_the_processor(tmp_path, rng, precision, atol):
    folder = write_model(tmp_path)
    image = rng.integers(0, 256, (48, 80, 3), np.uint8)
    files = (folder / "tiny.cfg", folder / "tiny.weights")
    here = darkpy.load(*files, device="cpu").detect(image, 0.1)
    detector = darkpy.load(*files, device="cuda:0", precision=precision)
    for _ in range(3):  # the graph is made once
        there = detector.detect(image, 0.1)
        same(there, here, atol)
        same(here, there, atol)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_network_of_the_zoo_runs(precision):
    network = Network.from_cfg(ROOT / "cfg" / "yolov4-tiny.cfg")
    params = network.initial_params(np.random.default_rng(0))
    x = np.random.default_rng(1).random(tuple(network.image), np.float32)
    here, there = (
        darkpy.Detector(network, params, device=device, precision=how).forward(x)
        for device, how in (("cpu", "fp32"), ("cuda:0", precision))
    )
    for index, y in here.items():
        error = np.abs(there[index] - y).max() / np.abs(y).max()
        assert error < {"fp32": 1e-4, "fp16": 1e-2}[precision]


@pytest.mark.parametrize(("precision", "rtol"), [("fp32", 1e-3), ("tf32", 0.1), ("fp16", 0.1)])
def test_training_learns_what_the_processor_learns(tmp_path, precision, rtol):
    net, steps = network(tmp_path), batches(3)
    here, there = Trainer(net), Trainer(net, device="cuda:0", precision=precision)
    np.testing.assert_allclose(train(there, steps), train(here, steps), rtol=2e-2)
    same_training(there, here, rtol)


@pytest.mark.slow
def test_every_kernel_is_right_there():
    """All that is tested on the processor, on the GPU."""
    words = ["-m", "pytest", "-q", "-n0", "tests/hostcuda", "tests/kernels/cuda", "tests/plan"]
    done = subprocess.run(
        [sys.executable, *words, "-m", "not slow", "-k", "cuda"],
        cwd=ROOT,
        env={**os.environ, VARIABLE: "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
