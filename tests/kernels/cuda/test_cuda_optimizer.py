"""The steps of an optimizer, of one array by the table of cases, and of many at once.

Tolerances: a step is some ten operations on each number, in the reference's order, of which the
device may join a product and a sum; each rounds by 6e-8 of its largest operand.
"""

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cuda import optimizer
from darkpy.kernels.cuda.optimizer import CHUNK, NUMBERS, STATE, Row
from tests.kernels.cases import CASES
from tests.kernels.cuda.agree import agree, device

REFERENCE = ops("reference")
CLOSE = 1e-6
STEPS = [case for case in CASES if case.op in optimizer.__all__ and not case.timed]
SETTINGS = {
    "sgd_step": {"rate": 0.1, "momentum": 0.9, "decay": 0.01, "batch": 4},
    "adam_step": {"rate": 0.1, "B1": 0.8, "B2": 0.9, "eps": 1e-3, "decay": 0.01, "batch": 4},
}
# Arrays of less than a quad, of a chunk and of several; between them places that are nobody's.
ROWS = [
    Row(0, 3, decays=0.0),
    Row(4, 64, first=3),
    Row(128, CHUNK, share=0.5, clip=0.25),
    Row(128 + CHUNK, 2 * CHUNK + 17),
]
SIZE = 128 + 4 * CHUNK


@pytest.mark.parametrize("case", STEPS, ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


class Many:
    """A step of many arrays, on the device and by the reference."""

    def __init__(self, op, rng, on=None, **more):
        self.on = on or device()
        self.op = op
        self.w, self.grad = (rng.normal(size=SIZE).astype(np.float32) for _ in range(2))
        count = 1 if op == "sgd_step" else 2
        self.moments = [rng.random(SIZE, np.float32) for _ in range(count)]
        self.state = optimizer.state(more.pop("scale", 1.0))
        self.more = more
        self.table = optimizer.table(self.on, ROWS)

    def numbers(self, iteration):
        if self.op == "sgd_step":
            values = optimizer.sgd_numbers(**SETTINGS[self.op], iteration=iteration)
        else:
            values = optimizer.adam_numbers(**SETTINGS[self.op], t=iteration)
        return self.on.upload(optimizer.numbers(values))

    def step(self, iteration):
        """Do what an iteration does, and return `STATE` by name."""
        arrays = (self.state, self.grad, self.w, self.moments)
        mends = self.more.get("mends", False)
        self.on.run(
            [
                *optimizer.finite(self.on, self.state, self.grad, **self.more),
                *optimizer.step(self.table, self.numbers(iteration), *arrays, mends=mends),
            ]
        )
        return dict(zip(STATE, self.state.tolist(), strict=True))

    def expected(self, iteration, grad):
        """Return what the arrays are after a step, in float64."""
        arrays = [x.astype(float) for x in (self.w, *self.moments)]
        for row in ROWS:
            part = slice(row.start, row.start + row.count)
            if iteration < row.first:
                continue
            settings = dict(SETTINGS[self.op])
            settings["rate"] *= row.share
            settings["decay"] *= row.decays
            if self.op == "adam_step":
                settings["t"] = iteration
            w, *moments = (x[part] for x in arrays)
            getattr(REFERENCE, self.op)(w, grad[part].astype(float), *moments, **settings)
            if row.clip:
                np.clip(w, -row.clip, row.clip, out=w)
        return arrays

    def assert_close(self, truths):
        for found, truth in zip((self.w, *self.moments), truths, strict=True):
            np.testing.assert_allclose(found, truth, rtol=0, atol=CLOSE * np.abs(truth).max())


@pytest.mark.parametrize("iteration", [2, 3])
@pytest.mark.parametrize("op", SETTINGS)
def test_many_arrays_move_as_each_alone(op, iteration, rng):
    many = Many(op, rng)
    truths = many.expected(iteration, many.grad)
    state = many.step(iteration)
    many.assert_close(truths)
    assert state == optimizer_state(good=1.0)


def optimizer_state(**changes):
    return dict(zip(STATE, optimizer.state().tolist(), strict=True)) | changes


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
def test_the_scale_of_the_loss_is_divided_out(order, rng):
    many = Many("sgd_step", rng, device(check=False, order=order), scale=1024.0, patience=2)
    truths = many.expected(5, many.grad)
    many.grad *= 1024
    state = many.step(5)
    many.assert_close(truths)
    assert state == optimizer_state(scale=1024.0, factor=1 / 1024, good=1.0)
    assert many.step(6)["scale"] == 2048.0, "two good steps double it"


@pytest.mark.parametrize("place", [0, 7, 9000, SIZE - 1])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_gradient_that_is_not_finite_skips_the_step(place, value, rng):
    many = Many("adam_step", rng, device(check=False), scale=8.0, patience=5)
    many.state[STATE.index("good")] = 3
    many.grad[place] = value
    before = [x.copy() for x in (many.w, *many.moments)]
    assert many.step(4) == optimizer_state(scale=4.0, factor=0.125, finite=0.0, skipped=1.0)
    for old, new in zip(before, (many.w, *many.moments), strict=True):
        np.testing.assert_array_equal(old, new)
    many.grad[place] = 0
    assert many.step(5) == optimizer_state(scale=4.0, factor=0.25, good=1.0, skipped=1.0)


def test_a_scale_has_bounds(rng):
    many = Many("sgd_step", rng, device(check=False), scale=2.0**24, patience=1)
    assert many.step(4)["scale"] == 2.0**24
    many.state[0], many.grad[3] = 1, np.nan
    assert many.step(5)["scale"] == 1


def test_without_scaling_the_scale_stays(rng):
    many = Many("sgd_step", rng, device(check=False))
    many.grad[5] = np.nan
    assert many.step(4) == optimizer_state(finite=0.0, skipped=1.0)


def test_gradients_may_be_mended(rng):
    many = Many("sgd_step", rng, mends=True)
    many.grad[[2, 500, SIZE - 1]] = np.nan, np.inf, -np.inf
    truths = many.expected(4, np.nan_to_num(many.grad, nan=0, posinf=0, neginf=0))
    assert many.step(4) == optimizer_state()
    many.assert_close(truths)


@pytest.mark.parametrize("op", SETTINGS)
def test_it_tells_that_a_parameter_is_no_number_any_more(op, rng):
    many = Many(op, rng, device(check=False))
    many.w[9], many.w[200] = 3e38, np.nan  # which clipping leaves so
    many.grad[9] = -3e38
    many.moments[0][9] = 3e38
    assert many.step(4)["left"] == 1
    assert np.isnan(many.w[200])


def test_averages_follow_unless_a_step_was_skipped(rng):
    on = device()
    table = optimizer.table(on, ROWS)
    means, w = (rng.normal(size=SIZE).astype(np.float32) for _ in range(2))
    state, numbers = optimizer.state(), optimizer.numbers(optimizer.ema_numbers(0.9))
    truth = means.copy()
    for row in ROWS:
        part = slice(row.start, row.start + row.count)
        REFERENCE.ema_step(truth[part], w[part], alpha=0.9)
    launches = optimizer.average(table, numbers, state, means, w)
    on.run(launches)
    np.testing.assert_allclose(means, truth, rtol=0, atol=CLOSE * np.abs(truth).max())
    state[STATE.index("finite")] = 0
    before = means.copy()
    on.run(launches)
    np.testing.assert_array_equal(means, before)


@pytest.mark.parametrize("order", ["check", "reverse", "random"])
def test_filters_are_centred(order, rng):
    on = device() if order == "check" else device(check=False, order=order)
    counts = [1, 27, 128, 1000]
    starts = np.cumsum([5, *counts[:-1]])
    grad = rng.normal(1, 1, 5 + sum(counts) + 3).astype(np.float32)
    truth = grad.astype(float)
    for start, count in zip(starts, counts, strict=True):
        truth[start : start + count] -= truth[start : start + count].mean()
    filters = np.column_stack([starts, counts]).astype(np.int32).reshape(-1)
    on.run(optimizer.centre(filters, grad))
    np.testing.assert_allclose(grad, truth, rtol=0, atol=1e-6 * np.abs(truth).max())


def test_what_is_mended_does_not_spoil_a_filter():
    grad = np.array([1, np.nan, np.inf, 5], np.float32)
    device().run(optimizer.centre(np.array([0, 4], np.int32), grad, mends=True))
    np.testing.assert_array_equal(grad, [-0.5, -1.5, -1.5, 3.5])


def test_nothing_to_move_is_no_launch():
    on = device()
    none = optimizer.table(on, [])
    array = on.zeros(4, np.float32)
    assert optimizer.step(none, array, array, array, array, [array]) == []


def test_the_names_are_those_of_the_source():
    text = (optimizer.__file__ or "").replace("optimizer.py", "optimizer.cu")
    with open(text, encoding="utf-8") as file:
        source = file.read()
    for names in (NUMBERS, STATE):
        assert f"enum {{ {', '.join(names).upper()} }};" in " ".join(source.split())
