"""The steps of an optimizer: of one array, and of all of a network's at once.

What a step needs beside gradients lies in the device's memory: `NUMBERS`, which the host writes
before a step, and `STATE`, which the kernels write. So the launches of a step are the same in every
iteration, and can be recorded and repeated.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .device import Counters, Device, Launch

__all__ = ["adam_step", "ema_step", "sgd_step"]

# iteration     of this step, 1 for the first
# rate          by which an update moves: over the batch; of Adam over 1 - B1^t
# decay         times the batch
# keep, rest    momentum; of Adam B1 and 1 - B1
# keep_square, rest_square, root   B2, 1 - B2 and 1 / (1 - B2^t)
# alpha, beta   of the moving average, and of what it follows
NUMBERS = (
    *("iteration", "rate", "decay", "keep", "rest", "keep_square", "rest_square", "root", "eps"),
    *("alpha", "beta"),
)
# scale    by which the loss of the next iteration is to be multiplied
# factor   one over that of this iteration
# finite   whether this iteration's gradients are; if not, nothing moves
# good     iterations since the scale changed
# skipped  iterations whose gradients were not finite
# left     whether a parameter or a moment came to be no finite number
STATE = ("scale", "factor", "finite", "good", "skipped", "left")
CHUNK = 4096  # numbers of a block, a multiple of 4
SCALE = 512.0  # of the loss at first, with float16: its gradients are near 1, and summed
PATIENCE = 2000  # iterations in a row with finite gradients, after which the scale doubles
MOST_ITERATIONS = 1 << 24  # that a float32 counts


class Row(NamedTuple):
    """An array among the flat ones, and how it moves.

    start, count  of its numbers; start is a multiple of 4
    first         the first iteration in which it moves
    share         its factor of the rate
    decays        its factor of the decay
    clip          the most its numbers may be, positive or negative; 0 is no bound
    """

    start: int
    count: int
    first: int = 0
    share: float = 1.0
    decays: float = 1.0
    clip: float = 0.0


@dataclass(frozen=True)
class Table:
    """Rows in the device's memory, cut into chunks: int32 and float32 (chunks, 4)."""

    places: Any
    factors: Any
    count: int


def table(device: Device, rows: Iterable[Row]) -> Table:
    """Return the table of rows."""
    chunks = [
        row._replace(start=row.start + at, count=min(CHUNK, row.count - at))
        for row in rows
        for at in range(0, row.count, CHUNK)
    ]
    places = np.zeros((len(chunks), 4), np.int32)
    factors = np.zeros((len(chunks), 4), np.float32)
    for k, row in enumerate(chunks):
        places[k, :3] = row.start, row.count, row.first
        factors[k, :3] = row.share, row.decays, row.clip
    return Table(device.upload(places.reshape(-1)), device.upload(factors.reshape(-1)), len(chunks))


def state(scale: float = 1.0) -> np.ndarray:
    """Return what `STATE` is before the first iteration."""
    values = {"scale": scale, "factor": 1 / scale, "finite": 1.0}
    return np.array([values.get(name, 0.0) for name in STATE], np.float32)


def sgd_numbers(
    *, rate: float, momentum: float, decay: float, batch: int, iteration: int = 0
) -> dict[str, float]:
    """Return the `NUMBERS` of a step with momentum, by name."""
    return {
        "iteration": iteration,
        "rate": rate / batch,
        "decay": decay * batch,
        "keep": momentum,
    }


def adam_numbers(
    *, rate: float, B1: float, B2: float, eps: float, decay: float, batch: int, t: int
) -> dict[str, float]:
    """Return the `NUMBERS` of a step of Adam, by name; ``t`` is the iteration."""
    return {
        "iteration": t,
        "rate": rate / (1 - B1**t),
        "decay": decay * batch,
        "keep": B1,
        "rest": 1 - B1,
        "keep_square": B2,
        "rest_square": 1 - B2,
        "root": 1 / (1 - B2**t),
        "eps": eps,
    }


def ema_numbers(alpha: float) -> dict[str, float]:
    """Return the `NUMBERS` of a moving average, by name."""
    return {"alpha": alpha, "beta": 1 - alpha}


def numbers(values: dict[str, float]) -> np.ndarray:
    """Return `NUMBERS` as float32, 0 where there is no value."""
    assert values.get("iteration", 0) < MOST_ITERATIONS, values
    return np.array([values.get(name, 0.0) for name in NUMBERS], np.float32)


def step(
    moving: Table,
    numbers: Any,
    state: Any,
    grad: Any,
    w: Any,
    moments: Sequence[Any],
    *,
    mends: bool = False,
) -> list[Launch]:
    """Move the rows of a table: by momentum with one array of moments, by Adam with two.

    mends  take gradients that are not finite for 0; see `finite`
    """
    rule, squares = ("Sgd", "false") if len(moments) == 1 else ("Adam", "true")
    args = (moving.places, moving.factors, numbers, state, grad, w, moments[0], moments[-1])
    return _blocks(f"step<{rule}, {squares}>", moving.count, 256, *args, np.int32(mends))


def average(moving: Table, numbers: Any, state: Any, means: Any, w: Any) -> list[Launch]:
    """Let the moving averages of a table's rows follow w."""
    return _blocks("follow", moving.count, 256, moving.places, numbers, state, means, w)


def centre(filters: Any, grad: Any, *, mends: bool = False) -> list[Launch]:
    """Take from each filter's gradients their mean; filters are start and count, flat int32."""
    return _blocks("centre", len(filters) // 2, 128, filters, grad, np.int32(mends))


def finite(
    device: Device, state: Any, grad: Any, *, patience: int = 0, mends: bool = False
) -> list[Launch]:
    """Note in ``state`` whether all of grad is finite; the launch before `step`.

    patience  iterations with finite gradients after which the loss is scaled by twice as much; one
              without halves it. 0 leaves the scale alone
    mends     let the step happen all the same: it takes what is not finite for 0
    """
    count = len(grad)
    blocks = max(1, min(-(-count // CHUNK), 8 * device.processors))
    args = (grad, np.int32(count), state, Counters(2), np.int32(patience), np.int32(mends))
    return _blocks("check_finite", blocks, 256, *args)


def sgd_step(
    device: Device, w: Any, grad: Any, momentum_buffer: Any, **settings: float
) -> list[Launch]:
    """Move w along the update, and keep ``momentum`` of that for the next step."""
    return _one(device, sgd_numbers(**settings), w, grad, [momentum_buffer])


def adam_step(device: Device, w: Any, grad: Any, m: Any, v: Any, **settings: float) -> list[Launch]:
    """Move w by its update's rolling mean over the root of its square's."""
    return _one(device, adam_numbers(**settings), w, grad, [m, v])


def ema_step(device: Device, mean: Any, w: Any, *, alpha: float) -> list[Launch]:
    """Move ``mean`` to alpha * mean + (1 - alpha) * w."""
    mean, w = mean.reshape(-1), w.reshape(-1)
    now = device.upload(numbers(ema_numbers(alpha)))
    return average(table(device, [Row(0, len(w))]), now, device.upload(state()), mean, w)


def _one(
    device: Device, values: dict[str, float], w: Any, grad: Any, moments: Sequence[Any]
) -> list[Launch]:
    w, grad, *moments = (one.reshape(-1) for one in (w, grad, *moments))
    now = device.upload(numbers(values))
    moving = table(device, [Row(0, len(w))])
    return step(moving, now, device.upload(state()), grad, w, moments)


def _blocks(name: str, blocks: int, threads: int, *args: Any) -> list[Launch]:
    return [Launch("optimizer.cu", name, (blocks,), (threads,), args)] if blocks else []
