"""What is said of a plan: its steps, their sum, the whole, the machine."""

import numpy as np
import pytest

from darkpy.network import Network
from darkpy.plan import compile, flops, show, whole
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def plan():
    network = Network.from_cfg(ROOT / "cfg" / "shapes.cfg").resized(64, 64)
    return compile(network, network.initial_params(np.random.default_rng(0)), batch=2, threads=1)


def test_lines_without_times_have_none(plan):
    found = show.lines(plan)
    assert [one.kind for one in found] == [step.op.kind for step in plan.steps]
    assert all(one.milliseconds is None and one.share(100.0) is None for one in found)
    assert show.total(found).milliseconds is None


def test_the_total_is_the_sum(plan):
    found = show.lines(plan, runs=2)
    every = show.total(found)
    assert every.mflop == pytest.approx(2e-6 * flops(plan.program.network))  # two pictures
    assert every.milliseconds == pytest.approx(sum(one.milliseconds for one in found))
    assert every.bytes == sum(one.bytes for one in found)
    assert every.share(100.0) == pytest.approx(every.mflop / every.milliseconds / 100)


def test_a_table_has_every_step_and_the_total(plan):
    head, *steps, last = show.table(show.lines(plan, runs=1), 100.0).splitlines()
    assert head.split()[:3] == ["layer", "op", "how"] and head.endswith("of peak")
    assert len(steps) == len(plan.steps)
    assert last.startswith("total") and last.endswith("%")
    assert "2x" in steps[1]  # pictures at once


def test_figures_of_the_whole(plan):
    found = whole.measure(plan, 5)
    assert 0 < found.low <= found.milliseconds <= found.high
    assert found.gflop == pytest.approx(2e-9 * flops(plan.program.network))
    assert found.speed == pytest.approx(1e3 * found.gflop / found.milliseconds)
    assert found.maps == plan.arena and found.weights > 0
    once = whole.measure(plan, 1)
    assert once.low == once.milliseconds == once.high


def test_the_machine_has_a_name_and_a_peak():
    about = whole.machine(1)
    assert about["processor"] and about["threads"] == 1
    assert about["peak_gflops"] > 0.5
