"""Trainer: pictures and truths in, a step of training done."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from .. import cuda, kernels
from ..detect import PLAN_FROM
from ..errors import DeviceError, TrainingError
from ..kernels.common.geometry import ROLLING_MOMENTUM
from ..kernels.cpu.threads import divide, run
from ..loss import LOSSES, HeadLoss, Moment, Rejection, Truths
from ..network import Network, Node
from ..plan import Progress, flops, require
from ..plan.step import StepPlan, Training
from ..randomness import generator
from ..run import Context, Tape
from ..weights import Params, read_weights, write_weights
from .figures import HeadFigures, Losses
from .optimizer import STATISTICS, Arrays, Optimizer, averaged, stop_layer
from .ranks import ALONE, Ranks, add_up, own, own_slots
from .schedule import learning_rate, minibatch

if TYPE_CHECKING:
    from ..plan.cuda.step import CudaStepPlan
    from .on_device import OnDevice

AnyTape: TypeAlias = "Tape | StepPlan | CudaStepPlan"
SUM = 1e-4  # microseconds to add a number
ON_GPU = "tf32"  # precision of who asks for none
KEPT = 24  # sizes of pictures that are ready at once
LAST_WITHOUT_EMA = 1000  # iterations at the end that darknet trains on from the average


class NotFinite(TrainingError):
    """A loss, a gradient, or what became of a parameter, that is no finite number.

    where    "yolov4.cfg:12: layer 0 [convolutional]": the first layer that has such a number
    slots    of the batch: which pictures the mini-batch had; ``pictures`` are their files, if known
    """

    def __init__(self, where: str, slots: range, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.slots = slots
        self.what = what
        self.pictures: list[str] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.where, self.slots, self.what)


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
        if gpu is not None:
            require_no_crop(self.network)
        self.ops: Any = kernels.ops("cpu" if gpu else device)
        self.losing = losing(self.network)
        self._optimizer = Optimizer(self.network, self._params, self.ops)
        self._average: list[Arrays] | None = None
        self._on = _on_device(gpu, self.precision, self._optimizer, self._params, ranks)
        self.iteration = 0
        self.rejection = Rejection()
        self.rate_scale = 1.0
        self.rate = 0.0
        self.heads: tuple[HeadFigures, ...] = ()
        self.truths = 0
        self._agreed: BaseException | None = None  # that all ranks raise
        large = flops(self.network) >= PLAN_FROM
        self.planned = self.device == "cpu" and large and not _crops(self.network)
        self._tapes: dict[tuple[int, int, int], AnyTape] = {}
        self._room = Training()
        self.settled = self._params.loaded

    @property
    def params(self) -> Params:
        """The parameters, one dict of float32 arrays a node; what changes them changes the next
        step."""
        self._fetch()
        return self._params

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer with its moments, as `params` has the parameters."""
        self._fetch()
        return self._optimizer

    @property
    def average(self) -> list[Arrays] | None:
        """The moving average of the weights, or None, as `params` has the parameters."""
        self._fetch()
        return self._average

    @average.setter
    def average(self, value: list[Arrays] | None) -> None:
        self._fetch()
        self._average = value

    def _fetch(self) -> None:
        if self._on is not None:
            self._on.fetch(self._average)

    def show_building(self, progress: Progress) -> None:
        """Call with (how many are done, of how many) while kernels are built for this machine."""
        self._room.progress = progress
        if self._on is not None:
            self._on.room.progress = progress

    def _start(self, weights: str | Path | None) -> Params:
        rng = generator(self.seed, "weights")
        if weights is None:
            return Params(self.network.initial_params(rng))
        return read_weights(self.network, weights, rng=rng)

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
        if self._on is not None:
            self._on.begin(self._average)
        stop = stop_layer(self.network, iteration)
        total, figures, fault = 0.0, Losses(self.losing), None
        is_agreed = self._on is None or self.ranks.size == 1  # that all come to the last way back
        try:
            mine = own(count, self.network.options.subdivisions, self.ranks)
            tape = self._tape(images.shape[2], images.shape[3], stop)
            for k, slots in mine.items():
                if self._on is not None and not is_agreed and k == max(mine):
                    is_agreed = True
                    self.require_all(None)
                    self._on.add_up()
                rng = generator(self.seed, "layers", iteration, k)
                for frame in tape.frames:
                    frame.rng = rng
                part = slice(slots.start, slots.stop)
                total += self._pass(tape, images[part], truths[part], stop, slots, figures)
                self._settle_statistics()
                if self._on is not None:
                    self._on.give(self._average)
            if self.ranks.size > 1 and self._on is None:  # these alone differ from rank to rank
                self._require_finite(count, STATISTICS)
        except Exception as error:
            if error is self._agreed:
                raise
            if not is_agreed:
                self.require_all(error)
            if self._on is not None and self.ranks.size > 1 and not isinstance(error, NotFinite):
                raise  # the others add up without this one
            fault = error
        total = self.agree(fault, total, figures)
        self.rate = self.next_rate
        self._update(tape, count, iteration)
        self.iteration = iteration
        self._follow()
        self.heads, self.truths = figures.of(count), figures.truths
        return total / count

    def _update(self, tape: AnyTape, count: int, iteration: int) -> None:
        """Move the parameters against the gradients of all ranks."""
        if self._on is not None:
            report = self._on.update(self.rate, count, iteration)
            if not self._on.finite(report):
                index, name = self._on.odd_gradient()
                self._odd_gradient(self.network.nodes[index], name, count)
            if report["left"]:
                self._require_finite(count)
            return
        add_up([grad for frame in _own(tape) for grad in frame.grads.values()], self.ranks)
        grads = self._gradients(tape, count)
        with np.errstate(all="ignore"):  # what overflows is seen below
            self._optimizer.update(grads, self.rate, count, iteration)
        self._require_finite(count)

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
        if self._on is None:
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
        params = self.params if params is None else params
        if average and self.average is not None:
            pairs = zip(params, self.average, strict=True)
            params = [{**own, **mean} for own, mean in pairs]
        write_weights(self.network, params, path, self.seen, version=self.params.version)

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
        for node in self.network.nodes[max(self.settled, self._optimizer.frozen) :]:
            if node.owner == node.index:
                own = self.params[node.index]
                yield from (own[name] for name in STATISTICS if name in own)

    def own_slots(self, count: int) -> range:
        """Return which slots of a batch of so many pictures this rank looks at."""
        return own_slots(count, self.network.options.subdivisions, self.ranks)

    def _tape(self, height: int, width: int, stop: int) -> AnyTape:
        """Return what runs inputs of this size, and back to layer ``stop``.

        A network of less than `PLAN_FROM` operations a picture runs eagerly on the processor, as in
        a Detector.
        """
        key = (height, width, stop)
        if key not in self._tapes:
            if len(self._tapes) >= KEPT:
                self._tapes.clear()
            self._tapes[key] = self._new_tape(self._sized(height, width), stop)
        tape = self._tapes[key]
        for frame in tape.frames:
            frame.grads.clear()
        return tape

    def _new_tape(self, network: Network, stop: int) -> AnyTape:
        frozen, losing = self._optimizer.frozen, [node.index for node in self.losing]
        if self._on is not None:
            return self._on.tape(network, stop, losing, self._params)
        if not self.planned:
            return Tape(network, self._params, self.ops, True, None, frozen)
        return StepPlan(network, self._params, frozen, stop, losing=losing, room=self._room)

    def _sized(self, height: int, width: int) -> Network:
        """Return the network for inputs of this size; TrainingError if parameters do not fit."""
        own = self.network
        if (height, width) == own.image[1:]:
            return own
        network = own.resized(height, width)
        for node, other in zip(own.nodes, network.nodes, strict=True):
            if node.params != other.params:
                raise TrainingError(
                    f"{node.where}: takes pictures of {own.image.w} x {own.image.h} only; got "
                    f"{width} x {height}"
                )
        return network

    def _pass(
        self,
        tape: AnyTape,
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
        losses = self._losses(tape, images, truths, moment)
        cost = sum(loss.cost for loss in losses.values()) / len(losses)
        if not math.isfinite(cost):
            raise NotFinite(self._culprit(network, images), slots, "puts out no finite number")
        figures.add(losses, truths)
        if not self._on_device(tape):
            tape.backward({i: loss.gradient for i, loss in losses.items()}, stop, image=False)
        return cost

    def _losses(
        self, tape: AnyTape, images: NDArray[np.float32], truths: Truths, moment: Moment
    ) -> dict[int, HeadLoss]:
        """Take a mini-batch forward, and on a device back as well; return the losses by head."""
        if self._on is not None:
            self._on.ran()
        if self._on_device(tape):
            return cast("CudaStepPlan", tape).learn(images, truths, moment)
        outputs = tape.forward(images)
        with np.errstate(all="ignore"):  # as in the tape
            return {
                node.index: LOSSES[node.layer.section](
                    self.ops, node.layer, outputs[node.index], truths, moment
                )
                for node in self.losing
            }

    def _on_device(self, tape: AnyTape) -> bool:
        """Tell whether a device computes the losses as well."""
        return self._on is not None and cast("CudaStepPlan", tape).knows_losses

    def _culprit(self, network: Network, images: NDArray[np.float32]) -> str:
        """Return where the first output lies that is not finite, in a second run forward."""
        tape = Tape(network, self.params, self.ops, True, None, self._optimizer.frozen)
        for node, y in zip(network.nodes, tape.activations(images), strict=True):
            if not np.isfinite(y).all():
                return node.where
        return self.losing[-1].where

    def _gradients(self, tape: AnyTape, batch: int) -> list[dict[str, NDArray[np.float32]]]:
        """Return the gradients of the iteration; NotFinite if one is no finite number."""
        mends = self.network.options.try_fix_nan
        for node, frame in zip(tape.network.nodes, tape.frames, strict=True):
            for name, grad in frame.grads.items():
                if _is_finite(grad):
                    continue
                if not mends:
                    self._odd_gradient(node, name, batch)
                np.nan_to_num(grad, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return [frame.grads for frame in tape.frames]

    def _odd_gradient(self, node: Node, name: str, batch: int) -> NoReturn:
        raise NotFinite(node.where, range(batch), f"the gradient of its {name} is not finite")

    def _require_finite(self, batch: int, names: Sequence[str] = ()) -> None:
        """Raise NotFinite if the update, or the batch's statistics, led out of float32.

        names  of the parameters to look at; by default all are
        """
        for node, moments in zip(self.network.nodes, self.optimizer.moments, strict=True):
            for name, values in self.params[node.index].items():
                if names and name not in names:
                    continue
                if not all(map(_is_finite, (values, *moments.get(name, ())))):
                    what = f"its {name} left the range of finite numbers"
                    raise NotFinite(node.where, range(batch), what)

    def _follow(self) -> None:
        """Let the average of the weights follow them (darknet's ema_update and ema_apply).

        From the middle of the training on it follows; a thousand iterations before the end the
        weights become the average, once.
        """
        o = self.network.options
        if not o.ema_alpha or self.iteration < o.max_batches // 2:
            return
        apply_at = o.max_batches - LAST_WITHOUT_EMA
        if self._on is not None:
            if self._average is None:
                self._average = self._averaged_copies()  # to be fetched into
                self._on.start_average()
            if self.iteration <= apply_at:
                self._on.follow(self.iteration == apply_at)
            return
        average = self.average or self.start_average()
        for mine, mean in zip(self.params, average, strict=True):
            for name, value in mean.items():
                if self.iteration == apply_at:
                    mine[name][...] = value
                elif self.iteration < apply_at:
                    self.ops.ema_step(value, mine[name], alpha=o.ema_alpha)

    def start_average(self) -> list[Arrays]:
        """Let ``average`` be the weights as they are, and return it."""
        self.average = average = self._averaged_copies()
        return average

    def _averaged_copies(self) -> list[Arrays]:
        """Return copies of what the moving average follows."""
        o = self.network.options
        return [
            {name: self._params[node.index][name].copy() for name in averaged(node, o)}
            for node in self.network.nodes
        ]


def _on_device(gpu: Any, *settings: Any) -> OnDevice | None:
    """Return a device's half of a trainer, or None without a device."""
    if gpu is None:
        return None
    from .on_device import OnDevice

    return OnDevice(gpu, *settings)


def _own(tape: AnyTape) -> Iterator[Context]:
    """Yield the frames of the layers that own their parameters, each of which has its gradients."""
    for node, frame in zip(tape.network.nodes, tape.frames, strict=True):
        if node.owner == node.index:
            yield frame


def _crops(network: Network) -> bool:
    """Tell whether places are drawn while a network runs, which no plan knows before."""
    return any(node.layer.section == "crop" for node in network.nodes)


def require_no_crop(network: Network) -> None:
    """Raise DeviceError for a network that trains on no GPU: its places are drawn as it runs."""
    if _crops(network):
        raise DeviceError(f"{network.path}: [crop] trains on device 'cpu' alone")


def losing(network: Network) -> tuple[Node, ...]:
    """Return the nodes of a network that have a loss; TrainingError if there is none."""
    found = tuple(node for node in network.nodes if _loses(node))
    if not found:
        known = ", ".join(f"[{name}]" for name in LOSSES)
        raise TrainingError(f"{network.path}: no layer has a loss; expected one of {known}")
    return found


def _loses(node: Node) -> bool:
    """Tell whether a layer adds to the loss."""
    return node.layer.section in LOSSES and not getattr(node.layer, "noloss", False)


def _float32(values: Any, what: str) -> NDArray[np.float32]:
    try:
        return np.asarray(values, np.float32)
    except (TypeError, ValueError):
        raise TrainingError(f"expected {what} float32; got what is no array of numbers") from None


@np.errstate(all="ignore")
def _is_finite(array: NDArray[np.float32]) -> bool:
    """Tell whether all values are finite numbers; their sum is, but for the rarest of arrays."""
    flat, sums = array.reshape(-1), list[np.float32]()
    run(lambda first, end: sums.append(flat[first:end].sum()), divide(flat.size, flat.size * SUM))
    return bool(np.isfinite(sum(sums)) or np.isfinite(array).all())
