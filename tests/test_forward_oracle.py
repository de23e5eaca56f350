"""Every layer of every network, compared with the numbers of the C program."""

import numpy as np
import pytest

import darkpy
from tests.conftest import SHARED
from tests.hostcuda import missing

ORACLE = SHARED / "oracle" / "forward"
CFGS = sorted(path.stem for path in ORACLE.glob("*.cfg"))
# The C program adds in another order, in float32, without folding; 1e-4 of the layer's scale is
# what the project promises. The worst seen is written beside each network in the closing table.
TOLERANCE = 1e-4


# Of those with few sums: every kind of layer, pool, head and activation that there is.
SOME = (
    *("yolov3-tiny-prn", "enet-coco", "yolov2-tiny", "yolov7-tiny", "yolov4-tiny-3l"),
    *("efficientnet_b0", "cifar", "tiny", "yolov4-csp-s-mish"),
)


def worst_differences(name, weights, make):
    """Return the worst relative differences: of statistics, of samples, of the heads."""
    truth = np.load(ORACLE / f"{name}.npz")
    make.make_weights(ORACLE / f"{name}.layout.jsonl", weights, name, bool(truth["residual"]))
    detector = darkpy.load(ORACLE / f"{name}.cfg", weights)
    x = make.make_input(*truth["shape"])
    outputs = detector.activations(x)
    rng = np.random.default_rng(11)
    statistics = samples = 0.0
    for index, (y, want, taken) in enumerate(
        zip(outputs, truth["stats"], truth["samples"], strict=True)
    ):
        size = max(1, int(truth["shapes"][index][3]))
        at = rng.integers(0, size, 32)
        assert y.size == size, f"layer {index}: {y.size} values, darknet has {size}"
        flat = y.reshape(-1)
        got = (flat.mean(dtype=float), flat.std(dtype=float), np.abs(flat).max())
        scale = max(abs(float(want[2])), 1e-6)
        statistics = max(statistics, np.abs(np.subtract(got, want)).max() / scale)
        samples = max(samples, np.abs(flat[at] - taken).max() / scale)
    return statistics, samples, worst_of_heads(detector, x, truth)


def worst_of_heads(detector, x, truth):
    """Return the worst difference of an output, in terms of its largest value."""
    heads = 0.0
    for index, y in detector.forward(x).items():
        want = truth[f"out{index}"].reshape(-1)
        scale = max(float(np.abs(want).max()), 1e-6)
        heads = max(heads, float(np.abs(y.reshape(-1) - want).max()) / scale)
    return heads


def worst_on_a_gpu(name, weights, make):
    """Return the worst difference of the heads by the kernels of CUDA in fp32."""
    truth = np.load(ORACLE / f"{name}.npz")
    make.make_weights(ORACLE / f"{name}.layout.jsonl", weights, name, bool(truth["residual"]))
    detector = darkpy.load(ORACLE / f"{name}.cfg", weights, device="cuda:0", precision="fp32")
    return worst_of_heads(detector, make.make_input(*truth["shape"]), truth)


@pytest.mark.slow
@pytest.mark.skipif(not CFGS, reason="the C program's numbers (../shared/oracle) are not here")
@pytest.mark.parametrize("name", CFGS)
def test_every_layer_agrees_with_the_c_program(name, tmp_path, make, record_property):
    statistics, samples, heads = worst_differences(name, tmp_path / "drawn.weights", make)
    record_property("worst", f"{statistics:.1e} {samples:.1e} {heads:.1e}")
    print(f"{name}: statistics {statistics:.1e}, samples {samples:.1e}, heads {heads:.1e}")
    assert max(statistics, samples, heads) < TOLERANCE


@pytest.mark.slow
@pytest.mark.skipif(not CFGS, reason="the C program's numbers (../shared/oracle) are not here")
@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize("name", SOME)
def test_kernels_of_cuda_agree_with_the_c_program(name, tmp_path, make, gpu):
    assert worst_on_a_gpu(name, tmp_path / "drawn.weights", make) < TOLERANCE


@pytest.mark.cuda
@pytest.mark.slow
@pytest.mark.skipif(not CFGS, reason="the C program's numbers (../shared/oracle) are not here")
@pytest.mark.parametrize("name", CFGS)
def test_a_gpu_agrees_with_the_c_program(name, tmp_path, make):
    assert worst_on_a_gpu(name, tmp_path / "drawn.weights", make) < TOLERANCE
