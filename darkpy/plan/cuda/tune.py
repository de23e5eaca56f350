"""Choose tiles and splits by measuring: which are the fastest for each convolution on this GPU."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ...errors import OutOfMemory
from ...kernels import gpu
from ...kernels.cuda.choices import Asked, Choices
from ...kernels.cuda.device import Device
from ...network import Network
from ..convolve import Choice
from ..plan import Progress
from ..tune import GAIN, Result, Tuned, ignore
from .plan import CudaPlan, build, compile

TIMES = 10  # that a convolution runs in the graph that is timed


def tune(
    network: Network,
    params: Sequence[dict[str, Any]],
    device: Device | str,
    *,
    batch: int = 1,
    precision: str = "fp16",
    rounds: int = 9,
    progress: Progress | None = None,
) -> Result:
    """Measure tiles and splits of each convolution; keep those faster than what is estimated.

    From then on every plan on a GPU like this one takes them, where it has such convolutions.

    device    or its name, "cuda" or "cuda:N"
    rounds    how often each way runs; its median counts
    progress  called with (how many convolutions are measured, of how many)
    """
    made = partial(compile, network, params, batch=batch, precision=precision)
    return tune_plan(made, device, rounds=rounds, progress=progress)


def forget(
    network: Network,
    params: Sequence[dict[str, Any]],
    device: Device | str,
    *,
    batch: int = 1,
    precision: str = "fp16",
) -> int:
    """Forget what was measured for a network's convolutions; return for how many it was known."""
    return forget_plan(partial(compile, network, params, batch=batch, precision=precision), device)


def tune_plan(
    make: Callable[[Device], CudaPlan],
    device: Device | str,
    *,
    rounds: int = 9,
    progress: Progress | None = None,
) -> Result:
    """Do what `tune` does for the plan that ``make`` gives of a device."""
    show = progress or ignore
    device = gpu(device) if isinstance(device, str) else device
    asked = Asked()
    before = make(device.choosing(asked))
    tuned, found = [], {}
    with device.scope():
        before.replay()  # on numbers such as a network has
        for done, what in enumerate(asked.questions):
            show(done, len(asked.questions))
            one = measured(device, asked, what, rounds)
            tuned.append(one)
            found[what] = None if one.after == one.before else one.after.name
    show(len(found), len(found))
    changed = {what: name for what, name in found.items() if name is not None}
    after = make(device.choosing(Choices(changed)))
    old, new = compared(device, (before, after), rounds)
    kept = bool(changed) and new < old
    device.keep(found if kept else dict.fromkeys(found))
    return Result(tuple(tuned), old, new, kept)


def forget_plan(make: Callable[[Device], CudaPlan], device: Device | str) -> int:
    """Do what `forget` does for the plan that ``make`` gives of a device."""
    device = gpu(device) if isinstance(device, str) else device
    asked = Asked()
    make(device.choosing(asked))
    known = asked.questions.keys() & device.choices.names.keys()
    device.keep(dict.fromkeys(known))
    return len(known)


def measured(device: Device, asked: Asked, what: str, rounds: int) -> Tuned:
    """Measure the ways of what was asked."""
    ways, makes = asked.questions[what].ways(), asked.makes[what]
    made = {name: makes[0](way) for name, way in ways.items()}
    build(device, [one for launches in made.values() for one in launches])
    spent = times(device, made, TIMES, rounds)
    before, best = next(iter(ways)), min(spent, key=lambda name: spent[name])
    after = best if spent[best] < GAIN * spent[before] else before
    old, new = Choice(before), Choice(after)
    return Tuned(what, len(makes), old, new, spent[before], spent[after])


def compared(device: Device, plans: Sequence[CudaPlan], rounds: int) -> tuple[float, float]:
    """Return the median milliseconds of a network by each of two plans."""
    made = {i: [one for _, own in plan.launches for one in own] for i, plan in enumerate(plans)}
    with device.scope():
        spent = times(device, made, 1, rounds)
    return spent[0], spent[1]


def times(device: Device, made: Mapping[Any, Sequence[Any]], count: int, rounds: int) -> Any:
    """Return the median milliseconds of launches, which take turns, by their names.

    count  how often they run at a time
    """
    try:
        timers = {name: device.timer(launches, count) for name, launches in made.items()}
    except MemoryError as error:
        raise OutOfMemory(
            f"what is measured does not fit on the device: take fewer or smaller pictures ({error})"
        ) from None
    spent: dict[Any, list[float]] = {name: [] for name in timers}
    for _ in range(rounds):
        for name, timer in timers.items():
            spent[name].append(timer())
    return {name: statistics.median(one) for name, one in spent.items()}
