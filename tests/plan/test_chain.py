"""Chains of convolutions in plans: which are found, and that they give what the eager run gives."""

import numpy as np
import pytest

from darkpy import kernels
from darkpy.network import Network
from darkpy.plan import compile
from darkpy.plan.show import lines
from darkpy.run import Tape

NET = "[net]\nwidth=24\nheight=24\nchannels=3\n"
FIRST = "[convolutional]\nfilters=16\nsize=3\npad=1\nactivation=leaky\n"
EXPAND = "[convolutional]\nbatch_normalize=1\nfilters=40\nsize=1\nactivation=mish\n"
ALONE = "[convolutional]\nfilters=40\ngroups=40\nsize=3\npad=1\nactivation=leaky\n"
PROJECT = "[convolutional]\nfilters=16\nsize=1\nactivation=linear\n"
ADD = "[shortcut]\nfrom=-4\nactivation=leaky\n"
BEHIND = "[convolutional]\nfilters=8\nsize=3\npad=1\nactivation=leaky\n"
BLOCK = EXPAND + ALONE + PROJECT


def run(tmp_path, text, threads=2, batch=1):
    """Return the kinds of a plan's convolutions; its outputs are the eager run's."""
    path = tmp_path / "net.cfg"
    path.write_text(NET + text)
    network = Network.from_cfg(path)
    rng = np.random.default_rng(0)
    params = network.initial_params(rng)
    x = rng.random((batch, 3, 24, 24), np.float32)
    plan = compile(network, params, threads=threads, batch=batch)
    want = Tape(network, params, kernels.ops("cpu")).forward(x)
    for _ in range(2):
        for index, y in plan(x).items():
            np.testing.assert_allclose(y, want[index], rtol=0, atol=2e-5 * np.abs(y).max())
    assert all(one.how != "eager" for one in lines(plan) if one.kind == "chain")
    return "".join({"chain": "C", "convolve": "."}.get(one.kind, "") for one in lines(plan))


@pytest.mark.parametrize(
    "text, kinds",
    [
        (FIRST + BLOCK + ADD + BEHIND, ".C."),
        (FIRST + BLOCK + BLOCK, ".CC"),
        (FIRST + EXPAND + ALONE + BEHIND, ".C."),
        (FIRST + ALONE.replace("40", "16") + PROJECT, ".C"),
        (FIRST + ALONE.replace("40", "16") + BEHIND, "..."),
        (FIRST + EXPAND + ALONE + PROJECT.replace("size=1", "size=3"), ".C."),
        (FIRST + EXPAND + ALONE.replace("pad=1", "pad=1\nstride=2") + PROJECT, ".C"),
        (FIRST + EXPAND + ALONE + PROJECT.replace("size=1", "size=1\nstride=2"), ".C."),
        (FIRST + EXPAND + ALONE.replace("pad=1", "pad=1\ndilation=2") + PROJECT, "...."),
        (EXPAND + ALONE + PROJECT, ".C"),  # the first reads a planar map
        (FIRST + EXPAND + ALONE + "[shortcut]\nfrom=-2\nactivation=linear\n" + PROJECT, "...."),
        (FIRST + BLOCK + "[route]\nlayers=-1,-4\n" + BEHIND, ".C."),
        (FIRST + BLOCK + "[route]\nlayers=-3,-1\n" + BEHIND, "..C."),
        (FIRST + BLOCK + "[route]\nlayers=-2,-1\n" + BEHIND, ".C.."),
    ],
    ids=range(14),
)
def test_chains_are_what_nothing_else_reads_within(tmp_path, text, kinds):
    assert run(tmp_path, text) == kinds


def test_a_map_of_few_rows_is_left_to_more_threads_than_it_has_stripes_for(tmp_path):
    assert run(tmp_path, FIRST + BLOCK, threads=6) == ".C"
    assert run(tmp_path, FIRST + BLOCK, threads=7) == "...."
    assert run(tmp_path, FIRST + BLOCK, threads=7, batch=2) == ".C"
