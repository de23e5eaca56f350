"""Passes that no shipped network brings into every situation."""

import pytest

from darkpy import kernels
from darkpy.plan import compile
from darkpy.run import Tape
from tests.plan import networks
from tests.plan.test_plan import require_equal

CONV = """[convolutional]
batch_normalize=1
filters={}
size={}
stride=1
pad=1
activation={}
"""
NET = "[net]\nwidth=16\nheight=16\nchannels=3\n" + CONV.format(16, 3, "leaky")
BACK = "[route]\nlayers=0\n"
JOINED = "[route]\nlayers={}\n" + CONV.format(8, 1, "linear")


def siblings(tmp_path, first, second, between, end):
    """Return a network of two convolutions of one map, the second at layer 3."""
    parts = (NET, CONV.format(*first), BACK, CONV.format(*second), between, end)
    (tmp_path / "siblings.cfg").write_text("".join(parts))
    return networks.read(tmp_path / "siblings.cfg", batch=2)


SAME = (32, 1, "leaky")
DEEP = CONV.format(16, 3, "mish")


@pytest.mark.parametrize(
    "first, second, between, end, merged",
    [
        (SAME, SAME, "", JOINED.format("-1,1"), True),
        (SAME, SAME, "", JOINED.format("1,-1"), True),
        (SAME, (24, 1, "leaky"), "", JOINED.format("1,-1"), True),
        ((24, 1, "leaky"), SAME, "", JOINED.format("1,-1"), False),
        (SAME, SAME, DEEP, JOINED.format("4,3,1"), True),
        (SAME, SAME, DEEP, JOINED.format("3,4,1"), False),
        (SAME, SAME, DEEP, JOINED.format("4,1"), False),
        (SAME, (32, 1, "relu"), "", JOINED.format("1,-1"), False),
        (SAME, (32, 3, "leaky"), "", JOINED.format("1,-1"), False),
        (SAME, SAME, "[shortcut]\nfrom=1\nactivation=linear\n", "", False),
        (SAME, SAME, DEEP, CONV.format(8, 1, "linear") + "[shortcut]\nfrom=1\n", True),
    ],
)
def test_convolutions_of_1x1_that_read_one_map_are_one(
    tmp_path, first, second, between, end, merged
):
    network, params, x = siblings(tmp_path, first, second, between, end)
    plan = compile(network, params, batch=2, threads=2)
    wide = first[0] + second[0]
    found = [op for op in plan.program.ops if op.kind == "convolve" and op.output.shape[1] == wide]
    assert bool(found) == merged
    require_equal(plan(x), Tape(network, params, kernels.ops("cpu")).forward(x))
