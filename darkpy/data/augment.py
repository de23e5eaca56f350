"""Augmentation: pictures of a training set, drawn and changed as darknet's detector training does.

The specification is darknet's data.c:load_data_detection, in its OpenCV build. Whether a picture
is mixed with others is drawn for each; darknet draws it for all that a thread loads at once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ..errors import DataError, ImageError, NetworkError
from ..network import Network
from ..randomness import generator
from .crop import Crop, Size, cut, draw_crop, fitting, place
from .dataset import Labels
from .image import Image, Planes, to_planar
from .mosaic import QUADRANTS, draw_meeting, shifted, spans, to_corner
from .tone import Tone, blurred, draw_tone, noisy, recolour, sparing
from .training import TrainingSet

log = logging.getLogger(__name__)

Mix = Literal["", "mixup", "mosaic"]
Part = tuple[slice, slice]

TRIES = 100  # pictures that are drawn in place of a bad one
WHOLE: Part = (slice(None), slice(None))


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How pictures are changed: keys of [net] and of the last detection head.

    The defaults change nothing.

    channels  of the network's input: 3, or 1 for grey
    max       truths of a picture: of more, a drawn choice
    mix       "mixup": half of the pictures are the mean of two, with the objects of both
              (https://arxiv.org/abs/1710.09412); "mosaic": half are put together from four
    """

    channels: int = 3
    max: int = 200
    flip: bool = False
    jitter: float = 0.0
    resize: float = 1.0
    letter_box: bool = False
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0
    blur: int = 0
    gaussian_noise: int = 0
    mix: Mix = ""
    mosaic_bound: bool = False

    @classmethod
    def of(cls, network: Network) -> Augmentation:
        """Return what a .cfg asks for; keys without effect on detectors are named in a warning.

        Raises NetworkError for a network without a detection head, for an input that is no picture,
        and for ``track`` and ``contrastive``, which need pictures in an order of their own.
        """
        where, o = network.path or "[net]", network.options
        head = network.heads[-1].layer
        jitter, resize, most = (getattr(head, key, None) for key in ("jitter", "resize", "max"))
        if jitter is None or resize is None or most is None:
            raise NetworkError(f"{where}: expected a detection head, such as [yolo], to train")
        if not resize > 0:
            raise NetworkError(f"{where}: [{head.section}] resize={resize}: expected more than 0")
        if network.image.c not in (1, 3):
            raise NetworkError(f"{where}: channels={network.image.c}: a picture has 1 or 3")
        for key in ("track", "contrastive"):
            if getattr(o, key):
                raise NetworkError(f"{where}: {key}=1: training on ordered pictures is not there")
        for key, neutral in (("angle", 0), ("aspect", 1), ("cutmix", False)):
            if getattr(o, key) != neutral:
                log.warning(
                    "%s: %s acts on classifiers only, as in darknet; it is ignored", where, key
                )
        mix: Mix = "mosaic" if o.mosaic else "mixup" if o.mixup and not o.cutmix else ""
        return cls(
            channels=network.image.c,
            max=most,
            flip=o.flip,
            jitter=jitter,
            resize=resize,
            letter_box=o.letter_box,
            hue=o.hue,
            saturation=o.saturation,
            exposure=o.exposure,
            blur=o.blur,
            gaussian_noise=o.gaussian_noise,
            mix=mix,
            mosaic_bound=o.mosaic_bound,
        )


class Sample(NamedTuple):
    """A picture to train on.

    planes  (c, h, w) float32, 0..1, red first
    truths  (k, 5) float32: class, x, y, w, h, centre and size in 0..1
    path    of the picture, or of the first of those it is mixed from
    """

    planes: Planes
    truths: Labels
    path: str


def sample(
    dataset: TrainingSet, augmentation: Augmentation, seed: int, position: int, size: Size
) -> Sample:
    """Return the picture that comes after ``position`` others in a training with this seed.

    size  height and width of the network's input

    The result depends on the arguments alone. A picture that cannot be read is replaced by another
    drawn one. Raises DataError if TRIES of them cannot be.
    """
    rng = generator(seed, "augment", position)
    mix = augmentation.mix if rng.integers(2) else ""
    make = _Maker(dataset, augmentation, size, rng)
    index = dataset.draw(seed, position)
    if mix == "mosaic":
        return make.mosaic(index)
    image, truths, path = make.picture(index)
    planes = to_planar(image)
    if mix == "mixup":
        other, more, _ = make.picture(make.any_index())
        planes = (planes + to_planar(other)) * np.float32(0.5)
        truths = np.concatenate([truths, more])[: augmentation.max]
    return Sample(planes, truths, path)


class _Made(NamedTuple):
    """A picture cut and resized, not yet coloured, with how it was."""

    image: Image
    truths: Labels
    path: str
    crop: Crop
    picture: Size


class _Maker:
    """Makes the pictures of one sample, from one generator."""

    def __init__(
        self, dataset: TrainingSet, augmentation: Augmentation, size: Size, rng: np.random.Generator
    ) -> None:
        self.dataset = dataset
        self.augmentation = augmentation
        self.size = size
        self.rng = rng

    def any_index(self) -> int:
        return int(self.rng.integers(len(self.dataset)))

    def picture(self, index: int) -> tuple[Image, Labels, str]:
        """Return a picture (h, w, c) uint8, augmented, its truths and its path."""
        made = self._cut(index)
        return self._coloured(made), made.truths, made.path

    def mosaic(self, index: int) -> Sample:
        """Return four pictures put together; the first is left and above."""
        a, net = self.augmentation, self.size
        meeting = draw_meeting(self.rng, net)
        whole = np.empty((*net, a.channels), np.uint8)
        truths = np.empty((0, 5), np.float32)
        paths = []
        for quadrant in QUADRANTS:
            made = self._cut(self.any_index() if quadrant else index, quadrant)
            down, across = spans(quadrant, meeting, made.crop, made.picture, net)
            part = self._coloured(made, (down.taken, across.taken))
            whole[down.given, across.given] = part
            room = a.max - len(truths)
            more = shifted(made.truths[:room], down, across, net, a.mosaic_bound)
            truths = np.concatenate([truths, more])
            paths.append(made.path)
        return Sample(to_planar(whole), truths, paths[0])

    def _cut(self, index: int, quadrant: int | None = None) -> _Made:
        """Read a picture, or another if it is bad, and cut out and resize a drawn part of it."""
        for _ in range(TRIES):
            try:
                image = self.dataset.read(index, self.augmentation.channels)
                return self._cut_from(image, index, quadrant)
            except ImageError as error:
                last = error
                index = self.any_index()
        raise DataError(f"{last}; so are {TRIES} drawn pictures: is their folder in reach?")

    def _cut_from(self, image: Image, index: int, quadrant: int | None) -> _Made:
        a, picture = self.augmentation, image.shape[:2]
        crop = draw_crop(
            self.rng,
            picture,
            self.size,
            jitter=a.jitter,
            resize=a.resize,
            flip=a.flip,
            letter_box=a.letter_box,
        )
        if quadrant is not None and self.rng.integers(2):
            crop = to_corner(crop, quadrant)
        crop = fitting(crop, picture)
        part = cut(image, crop, self.size)
        labels = self.dataset.labels(index)
        truths = place(labels, crop, picture, self.size, a.max, self.rng)
        return _Made(part, truths, self.dataset.paths[index], crop, picture)

    def _coloured(self, made: _Made, part: Part = WHOLE) -> Image:
        """Return a part of a picture with drawn colours, blur and noise.

        Only the part is worked on, unless a blur needs what is around it.
        """
        image, tone = made.image, self._tone()
        blur = sparing(tone.blur, made.truths, self.size)
        if blur:
            image = blurred(recolour(image, tone), blur, made.truths)[part]
        else:
            image = recolour(image[part], tone)
        return noisy(image, tone.noise, self.rng) if tone.noise else image

    def _tone(self) -> Tone:
        a = self.augmentation
        return draw_tone(
            self.rng,
            hue=a.hue,
            saturation=a.saturation,
            exposure=a.exposure,
            blur=a.blur,
            gaussian_noise=a.gaussian_noise,
        )
