"""Choose tiles and splits for a training on a GPU: those of a mini-batch, forward and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ..kernels.cuda.device import Device
from ..layers.base import Array
from ..network import Network
from ..plan import Progress
from ..plan.cuda import CudaPlan
from ..plan.cuda.tune import forget_plan, tune_plan
from ..plan.tune import Result
from .on_device import OnDevice
from .optimizer import stop_layer
from .ranks import ALONE
from .schedule import minibatch
from .trainer import ON_GPU


def tune(
    network: Network,
    params: Sequence[dict[str, Array]],
    device: Device | str,
    *,
    batch: int | None = None,
    precision: str = ON_GPU,
    rounds: int = 9,
    progress: Progress | None = None,
) -> Result:
    """Do for a step of training what `darkpy.plan.cuda.tune.tune` does for detection.

    batch  pictures that go through the network at once; None: as [net] says
    """
    made = _maker(network, params, batch, precision)
    return tune_plan(made, device, rounds=rounds, progress=progress)


def forget(
    network: Network,
    params: Sequence[dict[str, Array]],
    device: Device | str,
    *,
    batch: int | None = None,
    precision: str = ON_GPU,
) -> int:
    """Forget what was measured for a step; return for how many convolutions it was known."""
    return forget_plan(_maker(network, params, batch, precision), device)


def _maker(
    network: Network, params: Sequence[dict[str, Array]], batch: int | None, precision: str
) -> Callable[[Device], CudaPlan]:
    return partial(_step, network, params, batch or minibatch(network.options), precision)


def _step(
    network: Network, params: Sequence[dict[str, Array]], batch: int, precision: str, device: Device
) -> CudaPlan:
    """Return the plan of a mini-batch, as a `Trainer` of one process has it."""
    on = OnDevice(network, params, ALONE, device, precision)
    return on.tape(*network.image[1:], stop_layer(network, 0)).plan(batch)
