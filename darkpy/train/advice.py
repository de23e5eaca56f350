"""What is wrong with a training before it begins, and what is only doubtful.

What darknet refuses, and what cannot end well, is an error; all else is a warning in the log. Each
check is a function that raises, or yields the sentences of its warnings.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..anchors import nearest_anchor
from ..cfg import Data
from ..errors import CfgError, DataError, NetworkError, TrainingError
from ..net import NetOptions
from ..network import Network, Node
from .evaluation import Labelled
from .schedule import learning_rate, minibatch
from .trainer import LAST_WITHOUT_EMA

log = logging.getLogger(__name__)

Sizes = NDArray[np.floating[Any]]

LEAST_BATCH = 8  # pictures of an iteration below which darknet warns
LONG_BURN_IN = 0.1  # of the iterations
FIT = 0.5  # mean IoU of the objects with the anchors nearest to them
MATCHED = 0.9  # of the objects should be some head's
SIDED = re.compile(r"\b(left|right|l|r)\b|왼|오른|좌|우", re.IGNORECASE)
IGNORED = {  # section -> key -> what becomes of it, where darknet's GPU training heeds it
    "net": {
        "adversarial_lr": "adversarial training is not there",
        "attention": "it is not drawn",
        "unsupervised": "it is not there",
        "weights_reject_freq": "no filter is rejected",
        "label_smooth_eps": "it acts on classifiers; [yolo] has a key of that name",
    },
    "convolutional": {
        "assisted_excitation": "it is not there",
        "cbn": "each batch is normalised by its own statistics",
        "coordconv": "no coordinates are added",
        "reverse": "it is not there",
        "rotate": "filters are not rotated",
        "stretch": "filters are not stretched",
        "stretch_sway": "filters are not stretched",
        "sway": "filters are not swayed",
    },
}


class Taught(Protocol):
    """The part of a `darkpy.data.training.TrainingSet` that is looked at."""

    paths: list[str]

    @property
    def sizes(self) -> Sizes:
        """Width and height (n, 2) of every object, in 0..1 of its picture."""


@dataclass(frozen=True)
class Plan:
    """All that a training begins with; see `check`."""

    network: Network
    data: Data
    names: Sequence[str]
    training: Taught
    valid: Sequence[str]
    iteration: int

    @property
    def where(self) -> str:
        """What sentences about the keys of [net] begin with."""
        return f"{self.network.path}: [net]" if self.network.path else "[net]"

    @property
    def heads(self) -> list[Node]:
        """The detection heads."""
        return [node for node in self.network.heads if hasattr(node.layer, "classes")]

    @property
    def batch(self) -> int:
        """Pictures of an iteration."""
        return minibatch(self.network.options) * self.network.options.subdivisions

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Width and height (n, 2) of the objects, in pixels of the network's input."""
        image = self.network.image
        return np.asarray(self.training.sizes, np.float64).reshape(-1, 2) * (image.w, image.h)


def check(
    network: Network,
    data: Data,
    names: Sequence[str],
    training: Taught,
    valid: Labelled | None = None,
    iteration: int = 0,
    *,
    only: Sequence[Callable[[Plan], Iterator[str]]] | None = None,
) -> None:
    """Log a warning for each thing that is doubtful about a training that is to begin.

    names      of the classes
    valid      the pictures to evaluate on
    iteration  that the weights have come to
    only       these checks instead of CHECKS

    Raises NetworkError, DataError, CfgError or TrainingError for what cannot end well.
    """
    paths = valid.paths if valid is not None else ()
    plan = Plan(network, data, names, training, paths, iteration)
    for one in CHECKS if only is None else only:
        for sentence in one(plan):
            log.warning("%s", sentence)


def anchors_of(network: Network) -> list[tuple[float, float]]:
    """Return width and height of the anchors of all heads, in pixels of the network's input."""
    found: list[tuple[float, float]] = []
    for node in network.heads:
        wide, high = 1.0, 1.0
        if node.layer.section == "region":  # whose anchors are in cells
            wide, high = network.image.w / node.shape.w, network.image.h / node.shape.h
        found += [(w * wide, h * high) for w, h in getattr(node.layer, "priors", ())]
    return found


def never_decays(options: NetOptions) -> bool:
    """Tell whether the learning rate never falls below that at the end of burn-in."""
    first = max(1, options.burn_in)
    if options.policy == "random" or options.max_batches <= first:
        return False
    at = np.linspace(first, options.max_batches, 1000).astype(int)
    rates = [learning_rate(options, one) for one in at.tolist()]
    return min(rates) >= rates[0]


def classes(plan: Plan) -> Iterator[str]:
    """Compare the classes of the heads, of the .data file and of the names."""
    if not plan.heads:
        raise NetworkError(f"{plan.network.path}: has no detection head; nothing can be learnt")
    first, *others = ((node, getattr(node.layer, "classes", 0)) for node in plan.heads)
    for node, count in others:
        if count != first[1]:
            raise NetworkError(
                f"{node.where}: classes={count}, but layer {first[0].index} has "
                f"classes={first[1]}; expected the same in all heads"
            )
    if len(plan.names) != first[1]:
        raise DataError(
            f"{plan.data.names or plan.data.labels}: {len(plan.names)} names, but "
            f"{plan.network.path} has classes={first[1]}; expected as many names as classes"
        )
    if plan.data.classes not in (None, first[1]):
        yield (
            f"{plan.data.path}: classes = {plan.data.classes}, but {plan.network.path} has "
            f"classes={first[1]}, which counts"
        )


def iterations(plan: Plan) -> Iterator[str]:
    """Look whether there is anything to do, and how much."""
    most = plan.network.options.max_batches
    if most < 1:
        raise TrainingError(f"{plan.where} max_batches={most}: expected how many iterations to do")
    if plan.iteration >= most:
        raise TrainingError(
            f"{plan.where} max_batches={most}, but the weights have {plan.iteration} iterations "
            "behind them: raise max_batches, or begin to count anew with -clear"
        )
    if most * plan.batch < len(plan.training.paths):
        yield (
            f"{plan.where} max_batches={most} of {plan.batch} pictures: not every one of the "
            f"{len(plan.training.paths)} training pictures is seen"
        )


def batch(plan: Plan) -> Iterator[str]:
    """Look at the number of pictures in an iteration."""
    o, pictures = plan.network.options, len(plan.training.paths)
    keys = f"{plan.where} batch={o.batch}, subdivisions={o.subdivisions}"
    if plan.batch == 1:
        raise TrainingError(
            f"{keys}: an iteration of one picture learns nothing; expected batch=64 and as small "
            "a number of subdivisions as memory allows"
        )
    if o.subdivisions > o.batch:
        yield f"{keys}: more parts than pictures; an iteration takes {plan.batch}, one at a time"
    elif o.batch % o.subdivisions:
        yield f"{keys}: does not divide; an iteration takes {plan.batch} pictures"
    if plan.batch < LEAST_BATCH:
        yield f"{keys}: an iteration of {plan.batch} pictures is very noisy; 64 are usual"
    if pictures < plan.batch:
        yield (
            f"{keys}: the {pictures} training pictures are fewer than an iteration takes; each "
            "comes more than once"
        )


def schedule(plan: Plan) -> Iterator[str]:
    """Look at burn-in, and at when the learning rate falls."""
    o = plan.network.options
    most = f"max_batches={o.max_batches}"
    if o.policy == "steps" and not (o.steps and o.scales):
        raise CfgError(f"{plan.where} policy=steps: expected steps= and scales=, as many of each")
    if o.policy == "steps" and len(o.steps) != len(o.scales):
        yield (
            f"{plan.where} steps has {len(o.steps)} numbers, scales {len(o.scales)}; those "
            "without a partner have no effect"
        )
    beyond = [step for step in o.steps if step >= o.max_batches]
    if o.policy == "steps" and beyond:
        yield (
            f"{plan.where} steps={','.join(map(str, o.steps))}: the training ends at {most}, "
            f"before {' and '.join(map(str, beyond))}; 80 and 90 % of it are usual"
        )
    elif never_decays(o):
        yield (
            f"{plan.where} policy={o.policy}: the learning rate never falls before {most}; most "
            "trainings gain much when it does, at 80 and 90 % of them"
        )
    if o.burn_in >= o.max_batches:
        yield f"{plan.where} burn_in={o.burn_in}: the learning rate is never reached before {most}"
    elif o.burn_in > LONG_BURN_IN * o.max_batches:
        part = 100 * o.burn_in / o.max_batches
        yield f"{plan.where} burn_in={o.burn_in} is {part:.0f} % of {most}; a tenth is plenty"


def average(plan: Plan) -> Iterator[str]:
    """Look whether the average of the weights has an iteration to follow them in."""
    o = plan.network.options
    if o.ema_alpha and o.max_batches - LAST_WITHOUT_EMA <= o.max_batches // 2:
        yield (
            f"{plan.where} ema_alpha={o.ema_alpha:g}: the average of the weights follows them from "
            f"the middle of the training until {LAST_WITHOUT_EMA} iterations before its end, so "
            f"not at all with max_batches={o.max_batches}; it takes more than "
            f"{2 * LAST_WITHOUT_EMA}"
        )


def anchors(plan: Plan) -> Iterator[str]:
    """Look how well the anchors fit the objects, and whether every object has one."""
    sizes, found = plan.sizes, anchors_of(plan.network)
    if not len(sizes) or not found:
        return
    o = plan.network.options
    advice = (
        f"darkpy detector calc_anchors {plan.data.path} -num_of_clusters {len(found)} "
        f"-width {o.width} -height {o.height} finds others"
    )
    fit = nearest_anchor(sizes, np.array(found))[1].mean()
    if fit < FIT:
        yield (
            f"{plan.network.path}: the anchors fit the objects badly (mean IoU {fit:.2f}; "
            f".6 and more is usual): {advice}"
        )
    without = 1 - _matched(plan.heads, sizes).mean()
    if without > 1 - MATCHED:
        yield (
            f"{plan.network.path}: {100 * without:.0f} % of the objects would teach no box: the "
            f"anchors that fit them best are in no mask; {advice}"
        )


def _matched(heads: Sequence[Node], sizes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell of each object whether a head takes it, by its mask or by iou_thresh."""
    taken = np.zeros(len(sizes), np.bool_)
    for node in heads:
        layer: Any = node.layer
        if not hasattr(layer, "mask"):
            return np.ones(len(sizes), np.bool_)  # other heads leave no object out
        every = np.reshape(layer.anchors[: len(layer.anchors) // 2 * 2], (-1, 2))
        if len(every):
            taken |= np.isin(nearest_anchor(sizes, every)[0], layer.indices)
        taken |= nearest_anchor(sizes, np.array(layer.priors))[1] > layer.iou_thresh
    return taken


def leak(plan: Plan) -> Iterator[str]:
    """Count the pictures that are in both lists."""
    known = set(map(_same, plan.training.paths))
    shared = [path for path in plan.valid if _same(path) in known]
    if shared:
        yield (
            f"{plan.data.path}: {len(shared)} of {len(plan.valid)} validation pictures are in the "
            f"train list too, as {shared[0]}: what is measured on them says nothing of new pictures"
        )


def _same(path: str) -> str:
    return os.path.normcase(os.path.abspath(path))


def sides(plan: Plan) -> Iterator[str]:
    """Look whether the strides of the usual networks divide the input."""
    o = plan.network.options
    last = plan.network.nodes[-1].layer.section
    if (o.width % 32 or o.height % 32) and last in ("yolo", "Gaussian_yolo", "region", "detection"):
        yield f"{plan.where} width={o.width}, height={o.height}: multiples of 32 are expected"


def mirroring(plan: Plan) -> Iterator[str]:
    """Look for classes that a mirror exchanges."""
    sided = [name for name in plan.names if SIDED.search(name.replace("_", " "))]
    if plan.network.options.flip and sided:
        yield (
            f"{plan.where} flip=1 mirrors half of the pictures; if that turns a class such as "
            f"{sided[0]!r} into something else, set flip=0"
        )


def ignored(plan: Plan) -> Iterator[str]:
    """Name the keys that act in darknet's training and not here, each once."""
    records: list[tuple[str, Any]] = [(plan.where, plan.network.options)]
    records += [(node.where, node.layer) for node in plan.network.nodes]
    named = set()
    for where, record in records:
        section = getattr(record, "section", "net")
        for key in fields(record):
            reason = IGNORED.get(section, {}).get(key.name)
            value = getattr(record, key.name)
            if reason and value != key.default and (section, key.name) not in named:
                named.add((section, key.name))
                shown = int(value) if isinstance(value, bool) else value
                yield f"{where} {key.name}={shown} has no effect here: {reason}"


CHECKS: tuple[Callable[[Plan], Iterator[str]], ...] = (
    classes,
    iterations,
    batch,
    schedule,
    average,
    anchors,
    leak,
    sides,
    mirroring,
    ignored,
)
