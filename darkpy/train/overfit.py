"""See whether a network can learn a few pictures by heart: if not, no training will help."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..cfg import names_of, read_cfg, read_data
from ..data.augment import Augmentation
from ..data.dataset import read_labels, read_list
from ..data.loader import Batch, Loader
from ..data.sources import label_path
from ..data.training import TrainingSet
from ..errors import DataError, TrainingError
from ..evaluate.report import Report
from ..network import Network
from .advice import anchors, check, classes, ignored, sides
from .evaluation import Labelled, evaluate_network
from .finite import NotFinite
from .trainer import Trainer

ENOUGH = 0.95  # mAP that counts as learned by heart
HALF = 0.5  # mAP that will become more
FALLS = 0.8  # of the loss halfway: more iterations will help
LOOK_EVERY = 50  # iterations
LONGEST_BURN_IN = 20  # iterations
HEADS = ("yolo", "region", "Gaussian_yolo", "detection")


@dataclass(frozen=True)
class Overfitted:
    """What came of it.

    iteration  the last
    losses     of every iteration
    matched    truths that an anchor was given, of ``truths``, in the last iteration
    report     on the pictures that it was trained on
    """

    pictures: Sequence[str]
    iteration: int
    losses: Sequence[float]
    matched: int
    truths: int
    report: Report
    names: Sequence[str]

    @property
    def map50(self) -> float:
        """The mean average precision of the classes that the pictures have, 0..1."""
        return float(self.report.ap[self.report.truths > 0].mean())

    @property
    def learned(self) -> bool:
        """Whether the pictures were learned."""
        return self.map50 >= ENOUGH

    def sentences(self) -> Iterator[str]:
        """Say what that means, and what to look at next."""
        count, first, last = len(self.pictures), self.losses[0], self.losses[-1]
        halfway = self.losses[len(self.losses) // 2]
        yield (
            f"After {self.iteration} iterations on {count} pictures without augmentation the mAP "
            f"of the classes in these very pictures is {100 * self.map50:.1f} %; the loss went "
            f"from {first:.4g} to {last:.4g}."
        )
        if self.learned:
            yield "The pipeline can learn: pictures, labels, anchors and network fit each other."
            return
        if not self.matched:
            yield (
                f"Not one of {self.truths} objects was given to an anchor: compare anchors and "
                "mask with the sizes of the boxes (darkpy detector calc_anchors)."
            )
        elif not math.isfinite(last) or last > first:
            yield "The loss rose: try --set net.learning_rate= with a tenth of its value."
        elif last < FALLS * halfway or self.map50 > HALF:
            yield "It is on its way: let it run longer (--iterations), before anything else."
        else:
            yield (
                "The loss fell, but the boxes are not found: are the labels of these pictures "
                "right, the objects large enough at this width and height, the classes told apart?"
            )


def overfit(
    data: str,
    cfg: str,
    weights: str | None = None,
    *,
    count: int = 5,
    iterations: int = 500,
    seed: int = 0,
    settings: Sequence[str] = (),
    watch: Callable[[Iterable[Any], int, str], Iterable[Any]] = lambda items, count, what: items,
) -> Overfitted:
    """Train on the first ``count`` labelled pictures of the train list until they are learned.

    Nothing is augmented, the rate is constant after a short burn-in, and one batch is all the
    pictures. Every 50 iterations the pictures themselves are measured; at most ``iterations`` are
    run. Raises DarkpyError for what is wrong with the files.
    """
    files = read_data(data)
    names = names_of(files)
    if files.train is None:
        raise TrainingError(f"{files.path}: expected train = FILE, a list of pictures")
    chosen = _chosen(files.train, count)
    plain = _plain(cfg, len(chosen), iterations)
    network = Network.from_cfg(cfg, settings=(*settings, *plain))
    asked = Augmentation.of(network)
    augmentation = Augmentation(channels=asked.channels, max=asked.max, letter_box=asked.letter_box)
    training = TrainingSet(chosen, network.classes)
    check(network, files, names, training, only=(classes, anchors, sides, ignored))
    trainer = Trainer(network, weights, seed=seed)
    labelled = Labelled(chosen, [training.labels(k) for k in range(len(training))])
    size = (network.image.h, network.image.w)
    loader = Loader(
        training, augmentation, seed=seed, batch=trainer.batch, size=size, stop=iterations
    )
    losses: list[float] = []
    with loader:
        for batch in watch(loader, iterations, "overfit"):
            losses.append(_step(trainer, batch))
            if trainer.iteration % LOOK_EVERY and trainer.iteration < iterations:
                continue
            params = trainer.with_statistics([batch.images])
            _, report, _ = evaluate_network(network, params, labelled, names=names)
            matched = sum(head.count for head in trainer.heads)
            truths = sum(map(len, batch.truths))
            found = Overfitted(chosen, trainer.iteration, losses, matched, truths, report, names)
            if found.learned:
                break
    return found


def _step(trainer: Trainer, batch: Batch) -> float:
    """Train an iteration and return the loss; TrainingError with advice if it is not finite."""
    try:
        return trainer.step(batch.images, batch.truths)
    except NotFinite as error:
        raise TrainingError(
            f"iteration {trainer.iteration + 1}: {error}; try a tenth of the rate: "
            f"--set net.learning_rate={trainer.network.options.learning_rate / 10:g}"
        ) from None


def _chosen(train: str, count: int) -> list[str]:
    """Return the first ``count`` pictures of a list that have an object."""
    found = []
    for path in read_list(train):
        if len(read_labels(label_path(path))):
            found.append(path)
        if len(found) == count:
            return found
    if not found:
        raise DataError(f"{train}: no picture has a label file with an object in it")
    return found


def _plain(cfg: str, batch: int, iterations: int) -> Iterator[str]:
    """Yield the settings that make a training as plain as it can be."""
    sections = {section.name for section in read_cfg(cfg)}
    burn_in = min(LONGEST_BURN_IN, iterations // 10)
    yield from (f"net.batch={batch}", "net.subdivisions=1", f"net.burn_in={burn_in}")
    yield from ("net.policy=constant", f"net.max_batches={iterations}", "net.ema_alpha=0")
    yield from (f"{name}.random=0" for name in HEADS if name in sections)
