"""The arena: a run relies on nothing that it held before."""

import numpy as np
import pytest

from darkpy import kernels
from darkpy.network import Network
from darkpy.plan import compile
from darkpy.run import Tape
from tests.conftest import ROOT
from tests.plan import networks

CLOSE = 2e-5  # of the largest output: other orders of sums, and Winograd's way in float32
POISON = (np.nan, 12.08, -3e38)


def poison(plan, value):
    """Fill all memory of a plan's maps with a number."""
    whole = len(plan._arena) // 4 * 4
    plan._arena[:whole].view(np.float32)[...] = value


def require_same(got, want):
    assert got.keys() == want.keys()
    for index, y in want.items():
        assert got[index].tobytes() == y.tobytes()


def try_poisoned(network, params, x, threads):
    plan = compile(network, params, batch=len(x), threads=threads)
    poison(plan, np.nan)
    first = plan(x)
    for value in POISON:
        plan(np.full_like(x, 7))
        poison(plan, value)
        require_same(plan(x), first)
    return first


@pytest.mark.parametrize("name", ("shapes", "yolov4-tiny", "yolov3-spp"))
def test_a_run_writes_all_that_it_reads(name):
    path = ROOT / "cfg" / f"{name}.cfg"
    try_poisoned(*networks.read(path, 64), threads=2)


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 40), marks=pytest.mark.slow)])
def test_a_run_of_drawn_networks_writes_all_that_it_reads(seeds, tmp_path):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        path = tmp_path / f"{seed}.cfg"
        path.write_text(networks.text(rng))
        batch, threads = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        network, params, x = networks.read(path, batch=batch)
        got = try_poisoned(network, params, x, threads)
        truth = Tape(network, params, kernels.ops("reference")).forward(x.astype(np.float64))
        for index, y in truth.items():
            most = np.abs(y).max()
            np.testing.assert_allclose(got[index], y, 0, CLOSE * most, err_msg=f"seed {seed}")


def test_a_picture_is_read_where_it_lies_and_left_as_it_is():
    network, params, x = networks.read(ROOT / "cfg" / "shapes.cfg", 64)
    plan = compile(network, params, threads=2)
    kept = x.copy()
    kept.flags.writeable = False
    first = plan(kept)
    require_same(plan(x.astype(np.float64)), first)
    require_same(plan(np.asfortranarray(x)), first)
    assert np.array_equal(kept, x)
    assert np.isfinite(plan.times()).all()  # of a blank one
    require_same(plan(x), first)


def test_maps_that_live_at_once_lie_apart():
    network = Network.from_cfg(ROOT / "cfg" / "yolov4-csp.cfg").resized(64, 64)
    plan = compile(network, network.initial_params(np.random.default_rng(0)), threads=1)
    lives: dict = {}
    for at, op in enumerate(plan.program.ops):
        for value in (*op.inputs, *op.outputs):
            lives.setdefault(value.root, []).append(at)
    for value in plan.program.outputs.values():
        lives[value.root].append(len(plan.program.ops))
    spans = [(min(t), max(t), plan.places[one]) for one, t in lives.items()]
    for i, (first, last, a) in enumerate(spans):
        for start, end, b in spans[:i]:
            if first <= end and start <= last:
                assert a.offset + a.size <= b.offset or b.offset + b.size <= a.offset
