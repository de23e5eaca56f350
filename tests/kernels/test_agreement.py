"""Every kernel of the processor gives what the reference gives, and touches nothing else."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from darkpy.kernels import cpu, ops
from darkpy.kernels.cpu import threads
from tests.kernels.case import Case
from tests.kernels.cases import CASES

REFERENCE, CPU = ops("reference"), ops("cpu")
OWN = [case for case in CASES if case.op in cpu.__all__]
SMALL = [case for case in OWN if not case.timed]
LARGE = [pytest.param(case, marks=pytest.mark.slow) for case in OWN if case.timed]
FIRST = [next(case for case in OWN if case.op == op) for op in cpu.__all__]


def agree(case: Case, draw: Callable[[], list[np.ndarray]]) -> None:
    """Compare both devices on arrays drawn anew for each, since some ops change theirs."""
    given = draw()
    truths, answers = case.answers(REFERENCE, draw()), case.answers(CPU, given)
    for truth, answer in zip(truths, answers, strict=True):
        assert answer.dtype == truth.dtype
        assert answer.shape == truth.shape
        largest = np.abs(truth).max(initial=0)
        assert np.abs(answer.astype(float) - truth).max(initial=0) <= case.tolerance * largest
    for at, (x, was) in enumerate(zip(given, draw(), strict=True)):
        assert at in case.changes or np.array_equal(x, was)


def gapped(x: np.ndarray, axis: int) -> np.ndarray:
    """Return x as a view of an array with numbers that must not be read, between x's along axis."""
    shape = list(x.shape)
    shape[axis] = 2 * shape[axis] + 3
    room = np.full(shape, np.nan if x.dtype.kind == "f" else 255, x.dtype)
    view = np.moveaxis(np.moveaxis(room, axis, 0)[2 : 2 + 2 * x.shape[axis] : 2], 0, axis)
    view[...] = x
    return view


def drawn_with_gaps(case: Case, at: int, axis: int) -> list[np.ndarray]:
    arrays = case.draw()
    arrays[at] = gapped(arrays[at], axis)
    return arrays


def frozen(case: Case) -> list[np.ndarray]:
    """Draw arrays that may not be written, but for those that the op is to change."""
    arrays = case.draw()
    for at, x in enumerate(arrays):
        x.flags.writeable = at in case.changes
    return arrays


@pytest.mark.parametrize("case", [*SMALL, *LARGE], ids=str)
def test_agrees_with_the_reference(case):
    agree(case, case.draw)


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_divided_among_threads_agrees_with_the_reference(case, monkeypatch):
    monkeypatch.setattr(threads, "CORES", 3)
    monkeypatch.setattr(threads, "GRAIN", 1e-9)
    agree(case, case.draw)


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_takes_views_with_gaps(case):
    for at in range(len(case.arrays)):
        for axis in range(case.draw()[at].ndim):
            agree(case, partial(drawn_with_gaps, case, at, axis))


@pytest.mark.parametrize("case", FIRST, ids=str)
def test_takes_arrays_that_may_not_be_written(case):
    agree(case, partial(frozen, case))


@pytest.mark.parametrize("case", FIRST, ids=str)
def test_in_double_precision_it_is_the_reference(case):
    truths, answers = (case.answers(ops, case.draw(np.float64)) for ops in (REFERENCE, CPU))
    for truth, answer in zip(truths, answers, strict=True):
        assert answer.dtype == truth.dtype
        assert np.array_equal(answer, truth)


def test_called_from_many_threads_at_once_gives_the_same_bytes():
    def answers(_):
        return [one.tobytes() for c in SMALL for one in c.answers(CPU, c.draw())]

    alone = answers(None)
    with ThreadPoolExecutor(6) as callers:
        assert all(one == alone for one in callers.map(answers, range(6)))


def test_every_kernel_of_the_processor_overrides_an_op_and_has_rows():
    assert set(cpu.__all__) <= set(vars(REFERENCE))
    assert set(cpu.__all__) == {case.op for case in OWN}
