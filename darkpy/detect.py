"""Detector: a picture in, Detections out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from .boxes import correct
from .cfg import expand, read_names
from .data.image import checked, prepare, recoloured
from .decode import DECODE, Candidates, suppress, to_detections
from .detections import Detections
from .errors import DarkpyError, NetworkError, WeightsError
from .inference import AnyPlan, Inference
from .network import Network, Node
from .plan import Progress
from .weights import Params, read_weights

if TYPE_CHECKING:
    from .plan.cuda.ends import CudaFinder

FINDERS = 4  # of boxes on a GPU that are kept, each for a threshold and a number of pictures
Image = NDArray[np.uint8]  # (h, w, 3) BGR, or (h, w) or (h, w, 1) grey


def load(
    cfg: str | Path,
    weights: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None,
    device: str = "auto",
    *,
    strict: bool = False,
    threads: int | None = None,
    precision: str | None = None,
    progress: Progress | None = None,
) -> Detector:
    """Read a network and its weights, ready to detect.

    cfg      a darknet .cfg
    weights  a darknet .weights of all its layers; None draws random ones (seed 0)
    names    a .names file or a sequence of class names; None numbers the classes
    device   "auto": the first GPU that CUDA computes on, or else the processor; "cpu"; "cuda" or
             "cuda:N"; "reference" runs the plain array code that defines each kernel
    strict   make errors of warnings about the .cfg, as of a key that is not known; and compute by
             no algorithm that is less exact than direct sums in float32 (see docs/engine.md)
    threads  that share the work on one picture; None takes what the process may use
    precision  of maps and weights; sums are float32 in all. On a processor "fp32", which None is,
             or "bf16" where it has that; on a GPU "fp16", which None is, "bf16", "tf32" or "fp32"
    progress  called with (how many are done, of how many) while kernels are built for this machine

    Raises CfgError, NetworkError, WeightsError or DeviceError; each says where and why.
    """
    network = Network.from_cfg(cfg, strict=strict)
    again = partial(read, network, weights)
    params = again()
    if weights is not None:
        again = partial(read, network, weights, sign(weights))
    known = read_names(names) if isinstance(names, (str, Path)) else tuple(names or ())
    return Detector(
        network, params, known, device,
        strict=strict, threads=threads, precision=precision, again=again, progress=progress,
    )  # fmt: skip


def read(network: Network, weights: str | Path | None, known: object = None) -> Params:
    """Return the parameters of a network: of a file, or drawn with seed 0.

    known  what `sign` gave; WeightsError if the file has changed since
    """
    if weights is None:
        return Params(network.initial_params(np.random.default_rng(0)))
    if known not in (None, sign(weights)):
        raise WeightsError(f"{weights}: has changed since it was loaded; load it anew")
    return read_weights(network, weights, whole=True)


def sign(path: str | Path) -> tuple[int, int] | None:
    """Return what tells a file from one that takes its place, or None if there is none."""
    try:
        status = expand(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


class Detector(Inference):
    """A network with its parameters on a device: pictures in, boxes out.

    Attributes: those of `Inference`, ``names``, ``letter_box`` (what [net] says), ``classes`` (0 if
    the network detects nothing).

    Several threads may use one Detector at once.
    """

    def __init__(
        self,
        network: Network,
        params: Sequence[dict[str, NDArray[np.float32]]],
        names: Sequence[str] = (),
        device: str = "auto",
        *,
        strict: bool = False,
        threads: int | None = None,
        precision: str | None = None,
        again: Callable[[], Sequence[dict[str, NDArray[np.float32]]]] | None = None,
        progress: Progress | None = None,
        plans: Callable[[int], AnyPlan] | None = None,
    ) -> None:
        super().__init__(
            network, params, device,
            strict=strict, threads=threads, precision=precision, again=again, progress=progress,
            plans=plans,
        )  # fmt: skip
        self.names = tuple(names)
        self.letter_box = network.options.letter_box
        self._finders: dict[tuple[int, float, float, str, float, bool], CudaFinder] = {}
        self.detection_heads = tuple(node for node in network.nodes if node.layer.section in DECODE)
        self.classes = max((head_of(node).classes for node in self.detection_heads), default=0)

    @overload
    def detect(
        self, image: Image, thresh: float = 0.25, letter_box: bool | None = None
    ) -> Detections: ...

    @overload
    def detect(
        self, image: Sequence[Image], thresh: float = 0.25, letter_box: bool | None = None
    ) -> list[Detections]: ...

    def detect(
        self, image: Image | Sequence[Image], thresh: float = 0.25, letter_box: bool | None = None
    ) -> Detections | list[Detections]:
        """Detect objects in a picture, or in each of a sequence of pictures.

        image       (h, w, 3) uint8 BGR, as cv2.imread gives it
        thresh      least confidence to report, 0..1
        letter_box  keep the picture's proportions and pad with grey; None does what [net] says

        Raises ImageError for what is no such picture, DarkpyError for a thresh out of range.
        """
        if isinstance(image, Iterable) and not isinstance(image, (np.ndarray, str, bytes)):
            return list(self._detect(image, thresh, letter_box))
        return next(self._detect([image], thresh, letter_box))

    def _detect(
        self, images: Iterable[Image], thresh: float, letter_box: bool | None
    ) -> Iterator[Detections]:
        if not isinstance(thresh, (int, float, np.floating)) or not 0 <= thresh <= 1:
            raise DarkpyError(f"thresh = {thresh!r}: expected a number from 0 to 1")
        waiting = iter(images)
        while group := list(islice(waiting, self.at_once)):
            at_once = len(group) if len(group) == self.at_once else 1
            self.ready(at_once)
            if self.finds:
                parts = [group[i : i + at_once] for i in range(0, len(group), at_once)]
                boxes = [one for part in parts for one in self.find(part, thresh, letter_box)]
            else:
                boxes = self._decode_all(group, at_once, thresh, letter_box)
            for image, found in zip(group, boxes, strict=True):
                height, width = image.shape[:2]
                yield to_detections(found, self.names, thresh, width, height)

    def _decode_all(
        self, images: Sequence[Image], at_once: int, thresh: float, letter_box: bool | None
    ) -> list[Candidates]:
        """Return the boxes of pictures, of which so many are computed at once."""
        x = np.stack([self.prepare(one, letter_box) for one in images])
        parts = np.split(x, len(images) // at_once)
        outputs = [one for part in parts for one in self.forward_all(part)]
        return [
            self.decode(one, (image.shape[1], image.shape[0]), thresh, letter_box)
            for image, one in zip(images, outputs, strict=True)
        ]

    def find(
        self,
        images: Sequence[Image],
        thresh: float,
        letter_box: bool | None = None,
        nms: float = 0.45,
        kind: str | None = None,
        relative: bool = True,
        at_once: int | None = None,
    ) -> list[Candidates]:
        """Return the boxes of pictures, found on a GPU: `prepare`, `forward_all` and `decode`.

        at_once  the pictures that the plan is for, if there may be more than these

        The others are as in `candidates`; only where `finds`, and with an nms.
        """
        pictures = self._as_they_go(images)
        boxed = self.letter_box if letter_box is None else letter_box
        how = at_once or len(pictures), thresh, nms, *self._suppression(kind)
        found = self._finder(*how)(pictures, boxed, relative)
        rest = thresh, boxed, nms, kind, relative
        return [
            self._decoded(one, image, *rest) for one, image in zip(found, pictures, strict=True)
        ]

    def judge(
        self,
        images: Sequence[Image],
        truths: Sequence[NDArray[np.float32]],
        thresh: float,
        letter_box: bool | None = None,
        nms: float = 0.45,
        kind: str | None = None,
        at_once: int | None = None,
    ) -> tuple[list[Candidates], list[float]]:
        """Return what `find` does, and darknet's loss of each picture alone, nan without one.

        truths  (k, 5) float32 of each picture: class, x, y, w, h in 0..1
        """
        pictures = self._as_they_go(images)
        boxed = self.letter_box if letter_box is None else letter_box
        how = at_once or len(pictures), thresh, nms, *self._suppression(kind)
        found, losses = self._finder(*how, judges=True).judge(pictures, truths, boxed)
        boxes = [
            self._decoded(one, image, thresh, boxed, nms, kind)
            for one, image in zip(found, pictures, strict=True)
        ]
        return boxes, losses

    def _as_they_go(self, images: Sequence[Image]) -> list[Image]:
        """Return pictures as they go to a GPU."""
        channels = self.network.image.c
        pictures = [checked(image) for image in images]
        if channels in (1, 3):
            return pictures
        return [recoloured(image, channels) for image in pictures]

    def _decoded(
        self, found: Candidates | dict[int, NDArray[np.float32]], image: Image, *how: Any
    ) -> Candidates:
        """Return the boxes that a GPU found, or left to be found in outputs."""
        if isinstance(found, Candidates):
            return found
        return self.decode(found, (image.shape[1], image.shape[0]), *how)

    def ready(
        self,
        batch: int = 1,
        asked: tuple[float, float] | None = None,
        kind: str | None = None,
        judges: bool = False,
    ) -> None:
        """Make the plan for so many pictures at once, if plans run; with it all code is built.

        asked   thresh and nms of the boxes that are to be found, if it `finds` them
        kind    as in `decode`
        judges  they are to be found by `judge`
        """
        super().ready(batch)
        if asked and self.finds:
            self._finder(batch, *asked, *self._suppression(kind), judges)

    @property
    def finds(self) -> bool:
        """Whether boxes are found on a GPU: not of heads that `decode` refuses."""
        heads = [head_of(node) for node in self.detection_heads]
        classes = {head.classes for head in heads}
        plain = all(getattr(head, "coords", 4) == 4 for head in heads)
        return self._gpu is not None and len(classes) == 1 and plain

    def _finder(
        self, batch: int, thresh: float, nms: float, kind: str, beta: float, judges: bool = False
    ) -> Any:
        """Return a `CudaFinder`, or a `CudaJudge`."""
        from .plan.cuda import ends

        made = ends.CudaJudge if judges else ends.CudaFinder
        with self._turn:
            plan: Any = self.plan_of(batch)
            key = (batch, thresh, nms, kind, beta, judges)
            for other, finder in list(self._finders.items()):
                if finder.plan not in self._plans.values():
                    del self._finders[other]
            if key not in self._finders:
                while len(self._finders) >= FINDERS:
                    del self._finders[next(iter(self._finders))]
                self._finders[key] = made(
                    plan, self.detection_heads, thresh=thresh, nms=nms, kind=kind, beta=beta
                )
            return self._finders[key]

    def _suppression(self, kind: str | None) -> tuple[str, float]:
        """Return how overlap is measured, and its exponent: as the last head says."""
        last = head_of(self.detection_heads[-1])
        how = str(kind or getattr(last, "nms_kind", "default"))
        return how, float(getattr(last, "beta_nms", 0.6))

    def candidates(
        self,
        image: Image,
        thresh: float,
        letter_box: bool | None = None,
        nms: float = 0.45,
        kind: str | None = None,
        relative: bool = True,
    ) -> Candidates:
        """Return the boxes of a picture after suppression, each with the probability of each class.

        nms       overlap above which a box gives way to a more probable one of its class; 0: never
        kind      how overlap is measured, or "objectness": `darkpy.decode.suppress`; None does what
                  the last head's nms_kind says
        relative  boxes in shares of the picture; otherwise in pixels
        """
        if self.finds and nms:
            return self.find([image], thresh, letter_box, nms, kind, relative)[0]
        outputs = self.forward(self.prepare(image, letter_box))
        size = (image.shape[1], image.shape[0])
        return self.decode(outputs, size, thresh, letter_box, nms, kind, relative)

    def prepare(
        self,
        image: Image,
        letter_box: bool | None = None,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Return the network's input (c, h, w) float32 for a picture; written into out if given."""
        boxed = self.letter_box if letter_box is None else letter_box
        if not self._plans:
            self.ready()
        return prepare(image, self.network.image, boxed, self.ops, out)

    def decode(
        self,
        outputs: dict[int, NDArray[np.float32]],
        size: tuple[int, int],
        thresh: float,
        letter_box: bool | None = None,
        nms: float = 0.45,
        kind: str | None = None,
        relative: bool = True,
    ) -> Candidates:
        """Return the boxes that outputs mean for a picture of ``size`` (width, height)."""
        if not self.detection_heads:
            raise NetworkError(f"{self.network.path}: has no detection head ({', '.join(DECODE)})")
        _, net_h, net_w = self.network.image
        parts = []
        for node in self.detection_heads:
            output = outputs[node.index].reshape(node.shape)
            decode = DECODE[node.layer.section]
            parts.append(decode(output, node.layer, net_h, net_w, thresh))
        found = Candidates.join(parts)
        boxed = self.letter_box if letter_box is None else letter_box
        boxes = correct(found.boxes, net_w, net_h, *size, boxed, relative)
        if not nms:
            return found.moved(boxes)
        return suppress(found.moved(boxes), self.ops, nms, *self._suppression(kind))


def head_of(node: Node) -> Any:
    """Return the layer of a detection head; all of them have ``classes``."""
    return node.layer
