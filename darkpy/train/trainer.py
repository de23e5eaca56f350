"""Trainer: pictures and truths in, a step of training done."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import cuda, kernels
from ..errors import DeviceError, TrainingError
from ..kernels.common.geometry import ROLLING_MOMENTUM
from ..loss import Moment, Rejection, Truths
from ..network import Network
from ..plan import Progress, require
from ..randomness import generator
from ..weights import Params, read_weights, write_weights
from .figures import HeadFigures, Losses
from .finite import NotFinite
from .learner import Learner, Plans
from .on_host import OnHost
from .optimizer import STATISTICS, Arrays, Optimizer, stop_layer
from .ranks import ALONE, Ranks, own, own_slots
from .schedule import learning_rate, minibatch
from .statistics import with_statistics

ON_GPU = "tf32"  # precision of who asks for none
LAST_WITHOUT_EMA = 1000  # iterations at the end that darknet trains on from the average


class Trainer:
    """A network that learns.

    cfg      a darknet .cfg, or a Network
    weights  a .weights file to start from, whole or of the first layers; None draws all
    device   "cpu"; "cuda" or "cuda:N"; "auto": the first GPU, or else the processor; "reference"
             runs the array code that defines each kernel
    seed     of all that is drawn
    ranks    who trains this network together; all call `step` for the same batches, and have the
             same parameters after it but for rolling averages, which are those of each rank's part
    precision  on a GPU, of products and maps: "tf32", which None is, "fp32", "fp16" or "bf16".
             Parameters are float32 always

    Attributes: ``network``, ``params`` (one dict of float32 arrays a node, changed by `step`),
    ``iteration`` (updates done), ``rate`` and ``heads`` (of the last step: learning rate, and
    the parts of each head's loss), ``truths`` (of the last step: how many), ``average`` (moving
    average of the weights, or None), ``rate_scale`` (a factor of every rate), ``rejection`` (what
    is remembered of wrong labels), ``settled`` (layers, from the first, whose rolling averages mean
    something).
    Raises CfgError, NetworkError, WeightsError, DeviceError as `darkpy.load` does, and
    TrainingError for a network that has no loss.
    """

    def __init__(
        self,
        cfg: str | Path | Network,
        weights: str | Path | None = None,
        device: str = "cpu",
        seed: int = 0,
        ranks: Ranks = ALONE,
        precision: str | None = None,
    ) -> None:
        self.ranks = ranks
        self.network = cfg if isinstance(cfg, Network) else Network.from_cfg(cfg)
        self.seed = seed
        self._params = self._start(weights)
        if device == "auto":
            device = "cuda:0" if cuda.usable() else "cpu"
        self.device = device
        gpu = None if device in ("cpu", "reference") else kernels.gpu(device)
        self.precision = precision or (ON_GPU if gpu else "fp32")
        require(self.precision, device=device)
        if gpu is None and self.precision != "fp32":
            raise DeviceError(f"precision {precision!r}: the processor trains in 'fp32' alone")
        self._on = self._learner(gpu)
        self.ops, self.losing = self._on.ops, self._on.losing
        self.iteration = 0
        self.rejection = Rejection()
        self.rate_scale = 1.0
        self.rate = 0.0
        self.heads: tuple[HeadFigures, ...] = ()
        self.truths = 0
        self._agreed: BaseException | None = None  # that all ranks raise
        self.settled = self._params.loaded

    @property
    def on_gpu(self) -> bool:
        """Whether parameters, maps and gradients are in the memory of a GPU."""
        return not isinstance(self._on, OnHost)

    @property
    def params(self) -> Params:
        """The parameters, one dict of float32 arrays a node; what changes them changes the next
        step."""
        self._on.fetch()
        return self._params

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer with its moments, as `params` has the parameters."""
        self._on.fetch()
        return self._on.optimizer

    @property
    def average(self) -> list[Arrays] | None:
        """The moving average of the weights, or None, as `params` has the parameters."""
        self._on.fetch()
        return self._on.average

    @average.setter
    def average(self, value: list[Arrays] | None) -> None:
        self._on.fetch()
        self._on.average = value

    def start_average(self) -> None:
        """Let ``average`` be the weights as they are."""
        self._on.fetch()
        self._on.start_average()

    def show_building(self, progress: Progress) -> None:
        """Call with (how many are done, of how many) while kernels are built for this machine."""
        self._on.room.progress = progress

    def _start(self, weights: str | Path | None) -> Params:
        rng = generator(self.seed, "weights")
        if weights is None:
            return Params(self.network.initial_params(rng))
        return read_weights(self.network, weights, rng=rng)

    def _learner(self, gpu: Any) -> Learner[Any]:
        if gpu is None:
            return OnHost(self.network, self._params, self.ranks, self.device)
        from .on_device import OnDevice

        return OnDevice(self.network, self._params, self.ranks, gpu, self.precision)

    def step(self, images: NDArray[np.float32], truths: Truths) -> float:
        """Train one iteration: every mini-batch forward and back, then one update.

        images  (batch, c, h, w) float32, 0..1; h and w may differ from the .cfg's
        truths  for each picture (k, 5) float32: class, x, y, w, h, centre and size in 0..1

        Returns darknet's loss: of the heads the mean, of the pictures the mean. The batch is cut
        into as many mini-batches as ``subdivisions`` says.
        Raises TrainingError for arrays of another kind, and NotFinite if the loss, a gradient or an
        updated parameter is no finite number: go on from saved parameters then, for rolling
        averages have moved. ``try_fix_nan=1`` takes such gradients for 0.
        """
        try:
            return self._step(*self._required(images, truths))
        except BaseException as error:
            if not (error is self._agreed or isinstance(error, NotFinite)):
                self.ranks.abort(error)  # the others wait for this one
            raise

    def _step(self, images: NDArray[np.float32], truths: Truths) -> float:
        iteration, count = self.iteration + 1, len(images)
        for statistic in self._unsettled():
            statistic[...] = 0
        on, stop = self._on, stop_layer(self.network, iteration)
        on.begin()
        total, figures, fault = 0.0, Losses(self.losing), None
        is_agreed = not on.adds_early  # that all come to the last way back
        try:
            mine = own(count, self.network.options.subdivisions, self.ranks)
            tape = on.tape(images.shape[2], images.shape[3], stop)
            for k, slots in mine.items():
                if not is_agreed and k == max(mine):
                    is_agreed = True
                    self.require_all(None)
                    on.add_up()
                rng = generator(self.seed, "layers", iteration, k)
                for frame in tape.frames:
                    frame.rng = rng
                part = slice(slots.start, slots.stop)
                total += self._pass(tape, images[part], truths[part], stop, slots, figures)
                self._settle_statistics()
            on.require_own(count)
        except Exception as error:
            if error is self._agreed:
                raise
            if not is_agreed:
                self.require_all(error)
            if on.adds_early and not isinstance(error, NotFinite):
                raise  # the others add up without this one
            fault = error
        total = self.agree(fault, total, figures)
        self.rate = self.next_rate
        on.update(tape, self.rate, count, iteration)
        self.iteration = iteration
        self._follow()
        self.heads, self.truths = figures.of(count), figures.truths
        return total / count

    def agree(
        self, fault: Exception | None, total: float = 0.0, figures: Losses | None = None
    ) -> float:
        """Raise what went wrong in one of the ranks, if anything did; return all ranks' total.

        ``figures`` become all ranks' too, and ``rejection`` their mean. All ranks call it, those
        that cannot take their step as well.
        """
        ranks = self.ranks
        if ranks.size == 1:
            if fault is not None:
                raise fault
            return total
        figures = figures or Losses(self.losing)
        names = [one.name for one in fields(self.rejection)]
        remembered = [getattr(self.rejection, name) for name in names]
        numbers = figures.numbers
        sums = np.array([fault is not None, total, *remembered, *numbers], np.float64)
        ranks.meet()
        ranks.sum(sums)()
        if sums[0]:
            self._raise_worst(fault)
        for name, value in zip(names, sums[2:].tolist(), strict=False):
            setattr(self.rejection, name, value / ranks.size)
        figures.take(sums[-len(numbers) :])
        return float(sums[1])

    def fail(self, fault: Exception) -> None:
        """Raise why this rank cannot take a step that the others take, in all of them."""
        if not self._on.adds_early:
            self.agree(fault)
        self.require_all(fault)

    def require_all(self, fault: Exception | None) -> None:
        """Raise what went wrong so far in one of the ranks, if anything did."""
        faults = np.array([fault is not None], np.float64)
        self.ranks.meet()
        self.ranks.sum(faults)()
        if faults[0]:
            self._raise_worst(fault)

    def _raise_worst(self, fault: Exception | None) -> None:
        self._agreed = self._worst(fault)
        raise self._agreed

    def _worst(self, fault: Exception | None) -> Exception:
        """Return what the ranks agree to be wrong: a rank's end before a loss without one."""
        rank = self.ranks.rank
        mine = fault
        if fault is not None and not isinstance(fault, NotFinite):
            mine = TrainingError(f"rank {rank}: {str(fault) or type(fault).__name__}")
        faults = self.ranks.gather(mine)
        found = [k for k, one in enumerate(faults) if one is not None]
        worst = min(found, key=lambda k: (isinstance(faults[k], NotFinite), k))
        if worst == rank and fault is not None:
            return fault
        chosen: Exception = faults[worst]
        return chosen

    def with_statistics(self, batches: Iterable[NDArray[np.float32]]) -> list[Arrays]:
        """Return the parameters with statistics of pictures: see `darkpy.train.statistics`.

        Those arrays are new; the others are as they were when ``params`` was last asked for. On a
        GPU `plans` read them as they are.
        """
        return with_statistics(self._on, batches)

    def plans(self, params: Sequence[Arrays]) -> Plans | None:
        """Return what makes plans of inference on a GPU; see `darkpy.train.learner.Learner`."""
        return self._on.plans(params)

    def save_weights(
        self,
        path: str | Path,
        *,
        average: bool = False,
        params: Sequence[dict[str, NDArray[np.float32]]] | None = None,
    ) -> None:
        """Write a .weights file that darknet and `darkpy.load` read.

        average  the moving average of the weights instead of themselves
        params   to write instead of the trainer's own

        The header says that iteration * batch pictures were seen, from which darknet counts on.
        """
        known = self.params  # as steps have made them, those that are given too
        params = known if params is None else params
        if average and self.average is not None:
            pairs = zip(params, self.average, strict=True)
            params = [{**own, **mean} for own, mean in pairs]
        write_weights(self.network, params, path, self.seen, version=known.version)

    @property
    def head_names(self) -> tuple[str, ...]:
        """The names of the layers that lose, as `HeadFigures` has them."""
        return tuple(f"{node.layer.section}_{node.index}" for node in self.losing)

    @property
    def next_rate(self) -> float:
        """The learning rate of the next step."""
        rate = learning_rate(self.network.options, self.iteration + 1, self.seed)
        return self.rate_scale * rate

    @property
    def seen(self) -> int:
        """Pictures seen, as darknet writes it: from iterations and the .cfg's batch."""
        return self.iteration * self.batch

    @property
    def batch(self) -> int:
        """Pictures of an iteration, as the .cfg has it."""
        return minibatch(self.network.options) * self.network.options.subdivisions

    def _required(
        self, images: NDArray[np.float32], truths: Truths
    ) -> tuple[NDArray[np.float32], Truths]:
        """Return pictures and truths as float32 arrays; TrainingError if they cannot be."""
        channels = self.network.image.c
        images = _float32(images, f"pictures (batch, {channels}, h, w)")
        if images.ndim != 4 or images.shape[1] != channels or not images.size:
            raise TrainingError(
                f"expected pictures (batch, {channels}, h, w) float32; got {images.shape}"
            )
        if len(truths) != len(images):
            raise TrainingError(f"{len(images)} pictures, but truths of {len(truths)}")
        rows = [_float32(one, "truths (k, 5)") for one in truths]
        detects = any(hasattr(node.layer, "classes") for node in self.losing)
        for k, one in enumerate(rows if detects else ()):
            if one.ndim != 2 or one.shape[1] != 5:
                raise TrainingError(
                    f"truths of picture {k}: expected (k, 5) class, x, y, w, h; got {one.shape}"
                )
        return images, rows

    def _settle_statistics(self) -> None:
        """Let the rolling averages of drawn layers be the first mini-batch's statistics.

        They were 0 before it, and have moved by ROLLING_MOMENTUM of the way.
        """
        for statistic in self._unsettled():
            statistic /= np.float32(ROLLING_MOMENTUM)
        self.settled = len(self.network.nodes)

    def _unsettled(self) -> Iterator[NDArray[np.float32]]:
        """Yield the rolling averages that no file held and no mini-batch has moved."""
        for node in self.network.nodes[max(self.settled, self._on.optimizer.frozen) :]:
            if node.owner == node.index:
                own = self.params[node.index]
                yield from (own[name] for name in STATISTICS if name in own)

    def own_slots(self, count: int) -> range:
        """Return which slots of a batch of so many pictures this rank looks at."""
        return own_slots(count, self.network.options.subdivisions, self.ranks)

    def _pass(
        self,
        tape: Any,
        images: NDArray[np.float32],
        truths: Truths,
        stop: int,
        slots: range,
        figures: Losses,
    ) -> float:
        """Take a mini-batch forward and back; return darknet's loss, summed over its pictures."""
        seen = self.iteration * self.batch + slots.stop
        network = tape.network
        moment = Moment(
            network.image, network.options, seen, self.iteration, self.rejection, self.seed
        )
        losses = self._on.losses(tape, images, truths, moment)
        cost = sum(loss.cost for loss in losses.values()) / len(losses)
        if not math.isfinite(cost):
            raise NotFinite(self._on.culprit(network, images), slots, "puts out no finite number")
        figures.add(losses, truths)
        self._on.back(tape, losses, stop)
        return cost

    def _follow(self) -> None:
        """Let the average of the weights follow them (darknet's ema_update and ema_apply).

        From the middle of the training on it follows; a thousand iterations before the end the
        weights become the average, once.
        """
        o = self.network.options
        if not o.ema_alpha or self.iteration < o.max_batches // 2:
            return
        if self._on.average is None:
            self._on.start_average()
        apply_at = o.max_batches - LAST_WITHOUT_EMA
        if self.iteration <= apply_at:
            self._on.follow(applies=self.iteration == apply_at)


def _float32(values: Any, what: str) -> NDArray[np.float32]:
    try:
        return np.asarray(values, np.float32)
    except (TypeError, ValueError):
        raise TrainingError(f"expected {what} float32; got what is no array of numbers") from None
