"""Plans with bf16: near what float32 gives; and what is said where they cannot be."""

import numpy as np
import pytest

import darkpy
from darkpy.errors import DeviceError
from darkpy.kernels.cpu.engine import bf16, target
from darkpy.kernels.cpu.engine.target import Target
from darkpy.network import Network
from darkpy.plan import compile
from darkpy.plan.show import lines
from tests.conftest import ROOT
from tests.plan.networks import read
from tests.tiny import write_model

CFGS = sorted(ROOT.glob("cfg/*.cfg"))

# Each rounding is off by 2^-9 at most, and they add up like a walk at random: about 1 % of the
# largest output after some tens of layers, 3 % where activations keep small differences (swish).
CLOSE = 4e-2
HASWELL = Target("x86_64-unknown-linux-gnu", "haswell", "+avx,+avx2,+fma,+sse4.2", 8)
able = pytest.mark.skipif(bf16.available() is None, reason="no bf16 on this processor")

# Parts of 16 channels in a concatenation, a sum of them, products, groups, a mean, two readers.
UNEVEN = """[net]
width=32
height=32
channels=3
[convolutional]
filters=16
size=3
pad=1
stride=2
activation=leaky
[convolutional]
filters=48
size=3
pad=1
activation=mish
[route]
layers=-1,-2
[convolutional]
filters=32
size=1
activation=leaky
[shortcut]
from=-1
activation=leaky
[convolutional]
filters=32
groups=32
size=3
pad=1
activation=swish
[convolutional]
filters=16
size=1
activation=leaky
[route]
layers=0,-1
[route]
layers=-1
groups=2
group_id=1
[convolutional]
filters=40
size=3
pad=1
activation=leaky
[maxpool]
size=3
stride=1
[avgpool]
[scale_channels]
from=-2
[upsample]
stride=2
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


def require_near(got, want, most=CLOSE):
    assert got.keys() == want.keys()
    for index, y in want.items():
        np.testing.assert_allclose(got[index], y, rtol=0, atol=most * np.abs(y).max())


@able
@pytest.mark.parametrize("name", ("shapes", "yolov4-tiny", "yolo-fastest-1.1"))
def test_plans_are_near_those_of_float32(name):
    network, params, x = read(ROOT / "cfg" / f"{name}.cfg", 96, batch=2)
    plan = compile(network, params, batch=2, threads=2, precision="bf16")
    want = compile(network, params, batch=2, threads=2)(x)
    plan(np.ones_like(x))
    first = plan(x)
    require_near(first, want)
    again = plan(x)
    assert all(np.array_equal(again[i], first[i]) for i in first)


@able
@pytest.mark.slow
@pytest.mark.parametrize("path", CFGS, ids=lambda path: path.stem)
def test_every_network_of_the_zoo_is_near_float32(path):
    network, params, x = read(path, 96)
    require_near(compile(network, params, precision="bf16")(x), compile(network, params)(x))


@able
def test_what_bf16_cannot_hold_or_compute_stays_float32(tmp_path):
    (tmp_path / "uneven.cfg").write_text(UNEVEN)
    network, params, x = read(tmp_path / "uneven.cfg")
    plan = compile(network, params, precision="bf16")
    require_near(plan(x), compile(network, params)(x))
    found = lines(plan)
    assert not [one for one in found if one.how == "eager"]
    assert {one.kind for one in found} >= {"round", "widen"}
    assert {one.layout for one in found} == {"bf16", "blocked", "planar"}


@able
def test_no_map_of_a_shipped_network_is_converted():
    for name in ("yolov3-tiny", "yolov4-tiny"):
        network, params, _ = read(ROOT / "cfg" / f"{name}.cfg", 64)
        plan = compile(network, params, precision="bf16")
        assert not {one.kind for one in lines(plan)} & {"round", "widen"}


@able
def test_a_detector_runs_a_plan_however_small_its_network(tmp_path):
    write_model(tmp_path)
    files = tmp_path / "tiny.cfg", tmp_path / "tiny.weights"
    detector = darkpy.load(*files, precision="bf16")
    assert detector.precision == "bf16" and detector.planned
    x = np.random.default_rng(0).random(detector.network.image, np.float32)
    require_near(detector.forward(x), darkpy.load(*files).forward(x))


def test_a_processor_without_bf16_says_what_it_has(tmp_path):
    write_model(tmp_path)
    with target.pretend(HASWELL):
        message = r"'bf16': expected .*AVX512-BF16; this one, haswell, has avx2, avx, sse4.2; use"
        with pytest.raises(DeviceError, match=message):
            darkpy.load(tmp_path / "tiny.cfg", precision="bf16")
        assert darkpy.load(tmp_path / "tiny.cfg").precision == "fp32"


def test_unknown_precisions_are_refused(tmp_path):
    write_model(tmp_path)
    with pytest.raises(
        DeviceError, match=r"'bf61': expected 'fp32', 'tf32', 'fp16' or 'bf16'; did you mean"
    ):
        darkpy.load(tmp_path / "tiny.cfg", precision="bf61")
    network = Network.from_cfg(tmp_path / "tiny.cfg")
    with pytest.raises(DeviceError, match="16: expected"):
        compile(network, network.initial_params(np.random.default_rng(0)), precision=16)


@able
def test_the_reference_has_no_bf16(tmp_path):
    write_model(tmp_path)
    with pytest.raises(DeviceError, match="expected 'fp32' on device 'reference'"):
        darkpy.load(tmp_path / "tiny.cfg", device="reference", precision="bf16")
