"""The losses of [yolo] and [Gaussian_yolo]: gradient and figures in two launches, or in four."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..reference.positives import LARGEST, POINTS
from .device import Counters, Device, Launch, Map, Scratch, struct
from .order import Numbers, contents, strides
from .rejection import ACTS, reject_deltas

__all__ = ["gaussian_yolo_loss", "yolo_loss"]

FILE = "yolo_loss.cu"
THREADS = 128  # of a block, and in yolo_loss.cu
TRUTH = 8  # 32-bit numbers of a Truth there
FIGURES = 6  # there
PARTS = 3  # of them, from here on: sums of squares
MOST_BOXES = 32  # of a cell: bits of a mask
KINDS = {"mse": -1, "iou": 0, "giou": 1, "diou": 2, "ciou": 3}


def yolo_loss(
    device: Device,
    out: tuple[Numbers, Any],
    y: Numbers,
    truths: Any,
    anchors: Any,
    multipliers: Any = None,
    *,
    count: Any = None,
    factor: Any = None,
    rejection: Any = None,
    **numbers: Any,
) -> list[Launch]:
    """Compute the gradient of the loss by what `yolo` was given, and figures.

    out          the gradient, a Map of float32, or planes (n, c, h, w) float32; and figures,
                 float32: those of the reference, or six: how many truths were given, the sums of
                 their IoU and of the overlap whose lack is the loss, the sums of the squared
                 gradients of boxes, of objectness, of classes
    y            a Map of float32, or planes, as `yolo` gives them
    truths       (room, 6) as in the reference, in the order of the pictures
    count        (1,) int32 of the device: how many rows of truths there are; None: all of them
    factor       (1,) float32 of the device, by which the gradient is multiplied too; None: by 1
    rejection    the numbers of `reject_deltas`, by which gradients are rejected before they are
                 multiplied; figures are six then. None: none are
    multipliers  (classes,) or None
    numbers      those of the reference; and ``delta_normalizer``, by which the gradient is
                 multiplied after its squares were added up

    A truth's class is one that there is. From step to step truths, count, factor and rejection
    change, and nothing else.
    Raises ValueError for a head of more than 32 boxes a cell.
    """
    acts = None if rejection is None else rejection[ACTS:]
    args = (device, out, y, truths, anchors, multipliers, count, factor, acts)
    launches = _loss("Yolo", *args, **numbers)
    if rejection is None:
        return launches
    gradient, figures = out
    return launches + reject_deltas(
        device,
        (gradient, rejection, figures[PARTS:FIGURES]),
        entries=y.shape[1] // len(numbers["mask"]),
        delta_normalizer=numbers.get("delta_normalizer", 1.0),
        factor=factor,
    )


def gaussian_yolo_loss(
    device: Device,
    out: tuple[Numbers, Any],
    y: Numbers,
    truths: Any,
    anchors: Any,
    multipliers: Any = None,
    *,
    count: Any = None,
    factor: Any = None,
    **numbers: Any,
) -> list[Launch]:
    """Compute the gradient of the loss by what `gaussian_yolo` was given, as in `yolo_loss`."""
    args = (device, out, y, truths, anchors, multipliers, count, factor, None)
    return _loss("GaussianYolo", *args, **numbers)


def _loss(
    head: str,
    device: Device,
    out: tuple[Numbers, Any],
    y: Numbers,
    truths: Any,
    anchors: Any,
    multipliers: Any,
    count: Any,
    factor: Any,
    rejects: Any,
    *,
    mask: Sequence[int],
    **numbers: Any,
) -> list[Launch]:
    gradient, figures = out
    if len(mask) > MOST_BOXES:
        raise ValueError(f"a head of {len(mask)} anchors: expected {MOST_BOXES} or fewer")
    rules = _rules(y, len(mask), len(anchors), len(truths), **numbers)
    room = len(truths)
    places = Scratch(max(1, room) * TRUTH, np.int32)
    n, _, h, w = y.shape
    starts = Scratch(n + 1, np.int32, places.end)
    own = device.upload(device.download(anchors)[list(mask)].reshape(-1))
    given = device.upload(_slots(mask, len(anchors)))
    place = Launch(
        FILE, "place_truths", (-(-(room + 1) // THREADS),), (THREADS,),
        (truths, count, anchors, given, multipliers, rules, places, starts),
    )  # fmt: skip
    grid = (-(-(h * w) // (THREADS // len(mask))), n)
    partial = Scratch(grid[0] * grid[1] * FIGURES, offset=starts.end)
    args = (contents(y), strides(y), own, places, starts, rules)
    weighted = np.int32(multipliers is not None)
    pieces = gradient.pieces if isinstance(gradient, Map) else 0
    outs = (contents(gradient), strides(gradient), np.int32(pieces))
    sums = (partial, Counters(1), figures, np.int32(len(figures)))
    learn = Launch(
        FILE, f"yolo_loss<{head}>", grid, (THREADS,),
        (*args, weighted, factor, rejects, *outs, *sums),
    )  # fmt: skip
    return [place, learn]


def _slots(mask: Sequence[int], anchors: int) -> np.ndarray:
    """Return the first box of the mask that each of all anchors is, or -1."""
    slots = np.full(anchors, -1, np.int32)
    for slot, anchor in reversed(list(enumerate(mask))):
        slots[anchor] = slot
    return slots


def _rules(
    y: Numbers,
    boxes: int,
    anchors: int,
    room: int,
    *,
    width: int,
    height: int,
    ignore_thresh: float = 0.5,
    truth_thresh: float = 1.0,
    iou_thresh: float = 1.0,
    iou_thresh_kind: str = "iou",
    iou_loss: str = "mse",
    iou_normalizer: float = 0.75,
    obj_normalizer: float = 1.0,
    cls_normalizer: float = 1.0,
    uc_normalizer: float = 1.0,
    max_delta: float = LARGEST,
    label_smooth_eps: float = 0.0,
    objectness_smooth: bool = False,
    focal_loss: bool = False,
    new_coords: bool = False,
    yolo_point: str = "center",
    delta_normalizer: float = 1.0,
) -> np.ndarray:
    """Return the struct Rules; the keys are those of `kernels.reference.positives.Task`."""
    n, c, h, w = y.shape
    return struct(
        w=w,
        h=h,
        pictures=n,
        boxes=boxes,
        anchors=anchors,
        entries=c // boxes,
        room=room,
        width=float(width),
        height=float(height),
        ignore_thresh=float(ignore_thresh),
        truth_thresh=float(truth_thresh),
        iou_thresh=float(iou_thresh),
        iou_thresh_kind=KINDS[iou_thresh_kind],
        iou_loss=KINDS[iou_loss],
        iou_normalizer=float(iou_normalizer),
        obj_normalizer=float(obj_normalizer),
        cls_normalizer=float(cls_normalizer),
        uc_normalizer=float(uc_normalizer),
        max_delta=float(max_delta),
        label_smooth_eps=float(label_smooth_eps),
        objectness_smooth=int(objectness_smooth),
        focal_loss=int(focal_loss),
        new_coords=int(new_coords),
        point=float(POINTS[yolo_point]),
        delta_normalizer=float(delta_normalizer),
    )
