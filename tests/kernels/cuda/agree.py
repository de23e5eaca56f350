"""Run a case of the table by the CUDA kernels, on the CPU, and compare with the reference."""

from functools import cache
from typing import Any

import numpy as np

from darkpy.kernels import cuda, ops
from darkpy.kernels.cuda.device import Device, Map
from tests.hostcuda import Settings
from tests.hostcuda.device import host_device
from tests.kernels.case import Case

REFERENCE = ops("reference")
# Parts of the largest value of an answer. float: sums in another order. half, bf16: what is stored
# is rounded to 11 and to 8 bits, and so were the operands of sums before it.
TOLERANCE = {"float": 1e-5, "half": 2e-3, "bf16": 2e-2}
LEAST = {"float": np.finfo(np.float32).min, "half": -65504, "bf16": -(2 - 2**-7) * 2.0**127}
# Arrays of four dimensions that are no maps: positions among what an op is given, and gives.
GIVEN = {
    "best_overlap": {0},
    "conv2d": {1},
    "conv2d_input_grad": {1},
    "local": {1},
    "local_input_grad": {1},
    "weighted_shortcut": {0},
    "weighted_shortcut_grad": {1},
    "repeat": {1},
    "sgd_step": {0, 1, 2},
    "adam_step": {0, 1, 2, 3},
    "ema_step": {0, 1},
}
GIVES = {"conv2d_weight_grad": {0}, "local_weight_grad": {0}, "weighted_shortcut_grad": {0}}


@cache
def device(check: bool = True, order: str = "forward", eager: bool = False) -> Device:
    """Return the device of the tests; checking unless asked otherwise."""
    return host_device(Settings(check=check, order=order, eager=eager))


def stored(x: np.ndarray, type_: str) -> np.ndarray:
    """Return numbers as a map of a type has them, bits for bf16."""
    if type_ == "bf16":
        bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return x.astype({"float": np.float32, "half": np.float16}[type_])


def loaded(x: np.ndarray, type_: str) -> np.ndarray:
    """Return as float32 the numbers of a map of a type."""
    if type_ == "bf16":
        return (x.astype(np.uint32) << 16).view(np.float32)
    return x.astype(np.float32)


def rounded(x: np.ndarray, type_: str) -> np.ndarray:
    """Return numbers as they are after they were stored."""
    return loaded(stored(x, type_), type_)


def to_map(on: Device, x: np.ndarray, type_: str) -> Map:
    """Return a Map of (n, c, h, w) float32, among channels of others that are no numbers."""
    c = x.shape[1]
    found = around(on, x.shape, type_)
    pixels = _pixels(found)
    pixels[...] = 0
    pixels[..., :c] = stored(x.transpose(0, 2, 3, 1), type_)
    return found


def around(on: Device, shape: tuple[int, ...], type_: str) -> Map:
    """Return a Map of a shape that is some of the channels of a larger one, all not a number."""
    n, c, h, w = shape
    beside = on.map((n, 16, h, w), type_).piece
    whole = on.map((n, c + 2 * beside, h, w), type_)
    whole.array[...] = stored(np.full(1, np.nan, np.float32), type_)[0]
    return whole.channels(beside, c)


def beside(x: Map) -> np.ndarray:
    """Return as float32 the numbers between a Map's pixels, and behind the last: of other maps."""
    within = np.arange(len(x.array)) % x.pitch
    return loaded(x.array[within >= x.pieces * x.piece], x.type)


def from_map(x: Map) -> np.ndarray:
    """Return what a Map holds, (n, c, h, w) float32; its padding must be zeros."""
    pixels = loaded(_pixels(x), x.type)
    assert not pixels[..., x.c :].any(), "channels beyond the last are no zeros"
    return pixels[..., : x.c].transpose(0, 3, 1, 2)


def _pixels(x: Map) -> np.ndarray:
    """Return a view (n, h, w, channels with the padding) of what a Map holds."""
    shape = (x.n, x.h, x.w, x.pieces * x.piece)
    steps = (x.h * x.w * x.pitch, x.w * x.pitch, x.pitch, 1)
    return np.lib.stride_tricks.as_strided(
        x.array, shape, [step * x.array.itemsize for step in steps]
    )


def agree(case: Case, type_: str = "float", on: Device | None = None, **numbers: Any) -> None:
    """Run a case with maps of a type, and compare what it gives with the reference in float64."""
    on = on or device()
    arrays = case.draw()
    maps = [_is_map(case, i, x, GIVEN) for i, x in enumerate(arrays)]
    given = [rounded(x, type_) if is_map else x for x, is_map in zip(arrays, maps, strict=True)]
    truths = [np.asarray(x) for x in case.answers(REFERENCE, [_double(x) for x in given])]
    args: list[Any] = [
        to_map(on, x, type_) if is_map else on.upload(x.copy())
        for x, is_map in zip(given, maps, strict=True)
    ]
    outs: list[Any] = []
    if not case.changes:
        for i, truth in enumerate(truths):
            is_map = _is_map(case, i, truth, GIVES)
            outs.append(around(on, truth.shape, type_) if is_map else _blank(on, truth))
    out = [] if case.changes else [tuple(outs) if len(outs) > 1 else outs[0]]
    on.run(getattr(cuda, case.op)(on, *out, *args, **case.numbers, **numbers))
    for truth, answer in zip(truths, outs or [args[i] for i in case.changes], strict=True):
        found = from_map(answer) if isinstance(answer, Map) else on.download(answer)
        if isinstance(answer, Map):
            assert np.isnan(beside(answer)).all(), "channels of other maps were written"
        compare(found, truth, type_, case)


def compare(found: np.ndarray, truth: np.ndarray, type_: str, case: Case) -> None:
    """Fail if an answer is farther from the truth than its type allows."""
    assert found.shape == truth.shape
    empty = truth == np.finfo(np.float64).min  # the largest of no number: the least of its type
    assert (found[empty] == LEAST[type_]).all()
    found, truth = found[~empty], truth[~empty]
    error = np.abs(found.astype(float) - truth).max(initial=0)
    largest = np.abs(truth).max(initial=0)
    assert error <= max(TOLERANCE[type_], case.tolerance) * largest, (error / largest, case)


def _is_map(case: Case, i: int, x: np.ndarray, others: dict[str, set[int]]) -> bool:
    return x.ndim == 4 and x.dtype.kind == "f" and i not in others.get(case.op, ())


def _double(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64) if x.dtype.kind == "f" else x


def _blank(on: Device, like: np.ndarray) -> Any:
    if like.dtype.kind != "f":
        return on.upload(np.zeros(like.shape, like.dtype))
    return on.upload(np.full(like.shape, np.nan, np.float32))
