"""What the losses of [yolo] and [Gaussian_yolo] share: which boxes learn which truths, and how.

What is learned is darknet's delta, the negative gradient by what the head is given: the difference
of what should be and what is, without the slope of the logistic function. Maps are (n * a, entries,
cells), a head's a anchors one behind the other. A box that learns a truth is a positive. Where
several truths fall to one box they are worked off in darknet's order, in rounds in which no box
comes twice.
"""

from dataclasses import dataclass

import numpy as np

from ..common.overlap import overlap, overlap_slopes

__all__ = []  # no op

LIKELY = 0.25  # a class above this lets a box lie on a truth without being told that it is empty
LARGEST = float(np.finfo(np.float32).max)
POINTS = {"center": 0, "left_top": -0.5, "right_bottom": 0.5}  # from the centre, in sizes


@dataclass(frozen=True, kw_only=True)
class Task:
    """The truths of a mini-batch, and by which rules a head learns them.

    truths         (k, 6): index of the picture, class, x, y, w, h
    anchors        (t, 2): w, h of all anchors of the network, in pixels
    multipliers    (classes,) weights of the classes, or None
    grid           w, h of the head, in cells
    mask           indices of the head's anchors among all
    width, height  of the network's input, in pixels

    The others are keys of the sections.
    """

    truths: np.ndarray
    anchors: np.ndarray
    multipliers: np.ndarray | None
    grid: tuple[int, int]
    mask: tuple[int, ...]
    width: int
    height: int
    ignore_thresh: float = 0.5
    truth_thresh: float = 1.0
    iou_thresh: float = 1.0
    iou_thresh_kind: str = "iou"
    iou_loss: str = "mse"
    iou_normalizer: float = 0.75
    obj_normalizer: float = 1.0
    cls_normalizer: float = 1.0
    uc_normalizer: float = 1.0
    max_delta: float = LARGEST
    label_smooth_eps: float = 0.0
    objectness_smooth: bool = False
    focal_loss: bool = False
    new_coords: bool = False
    yolo_point: str = "center"

    def pixels(self):
        """Return w and h of the network's input, (2,)."""
        return np.array([self.width, self.height], self.truths.dtype)

    def own(self, maps):
        """Return the anchors (k, 2) of maps (k,)."""
        return self.anchors[list(self.mask)][maps % len(self.mask)]

    def weights(self, classes):
        """Return the weights (k,) of classes (k,)."""
        if self.multipliers is None:
            return np.ones(len(classes), self.truths.dtype)
        return self.multipliers[classes]


class Positives:
    """Boxes that learn truths; (k,) of each unless said otherwise.

    map, cell  where the box is
    aim        what its objectness should be
    given      whether the truth is given to it by its anchor, and not because it lies there
    box        (k, 4) x, y, w, h of the truth
    class_     of the truth, and its weight
    """

    def __init__(self, map_, cell, truth, aim, given, task):
        self.map, self.cell, self.aim, self.given = map_, cell, aim, given
        self.box = task.truths[truth, 2:]
        self.class_ = task.truths[truth, 1].astype(int)
        self.weight = task.weights(self.class_)


def locate(centres, sizes, task):
    """Return boxes (n * a, 4, cells) in 0..1 of the network's input.

    centres  (n * a, 2, cells): x, y from the corner of their cell, in cells
    sizes    (n * a, 2, cells): w, h in anchors
    """
    w, h = task.grid
    cell = np.arange(w * h)
    corners = np.stack([cell % w, cell // w]).astype(centres.dtype)
    centres = (corners + centres) / np.array([[w], [h]], centres.dtype)
    sizes = sizes * task.own(np.arange(len(sizes)))[:, :, None] / task.pixels()[:, None]
    return np.concatenate([centres, sizes], 1)


def search(boxes, task, overlaps):
    """Return each box's best IoU with a truth, and the index of that: (n * a, cells) both."""
    maps, _, cells = boxes.shape
    by_picture = boxes.reshape(-1, len(task.mask), 4, cells)
    return tuple(one.reshape(maps, cells) for one in overlaps(by_picture, task.truths))


def find(best, which, task):
    """Return the positives: first what lies on a truth, then what is given one by its anchor.

    A box lies on a truth by more than ``truth_thresh``. A truth is given to the boxes of its cell
    with the anchor, of all, whose shape is nearest, and with each other one that it overlaps by
    more than ``iou_thresh`` where their centres are one.
    """
    map_, cell = np.nonzero(best > max(task.truth_thresh, 0))  # 0: it lies on none
    iou = best[map_, cell]
    truth, slot = _assign(task)
    column, row = _cells(task)
    at = task.truths[truth, 0].astype(int) * len(task.mask) + slot
    return Positives(
        np.concatenate([map_, at]),
        np.concatenate([cell, (row * task.grid[0] + column)[truth]]),
        np.concatenate([which[map_, cell], truth]),
        np.concatenate([iou * iou if task.objectness_smooth else iou**0, np.ones_like(truth)]),
        np.arange(len(map_) + len(at)) >= len(map_),
        task,
    )


def _assign(task):
    """Return truths, and for each the index within the mask of the anchor that takes it."""
    shapes = np.pad(task.anchors / task.pixels(), ((0, 0), (2, 0)))
    wanted = np.pad(task.truths[:, 4:], ((0, 0), (2, 0)))[:, None]
    takes = np.zeros((len(wanted), len(shapes)), bool)
    takes[np.arange(len(wanted)), overlap(shapes, wanted).argmax(1)] = True
    if task.iou_thresh < 1:
        takes |= overlap(shapes, wanted, task.iou_thresh_kind) > task.iou_thresh
    slots = np.full(len(shapes), -1)
    for slot, anchor in reversed(list(enumerate(task.mask))):
        slots[anchor] = slot
    truth, anchor = np.nonzero(takes & (slots >= 0))
    return truth, slots[anchor]


def _cells(task):
    """Return column and row of the cell that the point of each truth lies in."""
    point = task.truths[:, 2:4] + POINTS[task.yolo_point] * task.truths[:, 4:]
    last = np.array(task.grid)[:, None] - 1
    return np.clip((point * np.array(task.grid, point.dtype)).astype(int).T, 0, last)


def targets(positives, task):
    """Return what x, y and w, h should be: cells from the corner, and anchors; (k, 2) both."""
    box, w = positives.box, task.grid[0]
    corner = np.stack([positives.cell % w, positives.cell // w], -1).astype(box.dtype)
    point = box[:, :2] + POINTS[task.yolo_point] * box[:, 2:]
    sizes = box[:, 2:] * task.pixels() / task.own(positives.map)
    return point * np.array(task.grid, box.dtype) - corner, sizes


def pull(boxes, positives, logits, task):
    """Return what x, y, w, h learn from the overlap of boxes (k, 4) with their truths, (k, 4).

    logits  (k, 2) of w and h; with ``new_coords`` darknet takes no slope of theirs
    """
    sizes = np.where(boxes[:, 2:] == 0, 1, boxes[:, 2:])
    boxes = np.concatenate([boxes[:, :2], sizes], -1)
    slopes = overlap_slopes(boxes, positives.box, task.iou_loss)
    slopes[:, :2] += POINTS[task.yolo_point] * slopes[:, 2:]
    if not task.new_coords:
        slopes[:, 2:] *= np.exp(logits)
    return slopes


def tame(change, task, most=LARGEST):
    """Return the change with 0 for what is not finite, and nothing beyond max_delta or most."""
    most = min(task.max_delta, most)
    return np.clip(np.where(np.isfinite(change), change, 0), -most, most)


def teach(v, gradient, positives, change, task):
    """Write into the gradient what the positives learn.

    v, gradient  (n * a, entries, cells)
    change       (k, 4) or, of a [Gaussian_yolo], (k, 8): what the entries of the box learn
    """
    gaussian, at = change.shape[1] == 8, change.shape[1]
    cells = v.shape[2]
    place, row = np.unique(positives.map * cells + positives.cell, return_inverse=True)
    where = place // cells, slice(None), place % cells
    x, d = v[where], -gradient[where]
    x[:, at] = np.where(np.isfinite(x[:, at]), x[:, at], 0)
    for turn in _rounds(row):
        r, given, aim = row[turn], positives.given[turn], positives.aim[turn]
        weight, class_ = positives.weight[turn], positives.class_[turn]
        d[r, :at] += change[turn]
        learned = np.where(given, weight, 1) * task.obj_normalizer * (aim - x[r, at])
        keeps = given & (d[r, at] != 0) & (task.objectness_smooth and not gaussian)
        d[r, at] = np.where(keeps, d[r, at], learned)
        own, p = at + 1 + class_, x[r, at + 1 :]
        anew = d[r, at + 1 if gaussian else own] == 0
        d[r, at + 1 :] = learn_classes(d[r, at + 1 :], p, class_, anew, task)
        if task.objectness_smooth:
            d[r, own] = np.where(given, d[r, own], weight * (aim - x[r, own]))
    if gaussian or task.iou_thresh < 1:
        count = np.maximum((d[:, at + 1 :] > 0).sum(1, keepdims=True), 1).astype(d.dtype)
        d[:, :at] /= np.where(gaussian | (d[:, at : at + 1] != 0), count, 1)
    gradient[where] = -d


def _rounds(row):
    """Yield indices into row (k,), all in the end, such that no row comes twice at once."""
    left = np.arange(len(row))
    while len(left):
        _, first = np.unique(row[left], return_index=True)
        yield left[first]
        left = np.delete(left, first)


def learn_classes(d, p, classes, anew, task):
    """Return what the classes of boxes learn, (k, classes), where d is what they learned before.

    p        (k, classes) predicted
    classes  (k,) of their truths
    anew     (k,) which learn all classes; the others learn this class beside those before
    """
    own, weights = (np.arange(len(d)), classes), task.weights(classes)
    eps, wanted = task.label_smooth_eps, np.zeros_like(p)
    wanted[own] = 1
    learned = wanted * (1 - eps) + eps / 2 - p
    learned = np.where(np.isfinite(learned), learned, d)
    beside = d.copy()
    beside[own] = learned[own] * weights
    if task.focal_loss:  # alpha .5, gamma 2, neither weights nor smoothing
        pt = p[own] + 1e-15
        slope = -(1 - pt) * (2 * pt * np.log(pt) + pt - 1)
        learned = (wanted - p) * (slope / 2)[:, None]
    elif task.multipliers is not None:
        learned[own] *= weights * task.cls_normalizer
    return np.where(anew[:, None], learned, beside)


def measure(boxes, positives, task):
    """Return how many truths were given, the sum of their IoU, and that of the loss' overlap."""
    boxes, truths = boxes[positives.given], positives.box[positives.given]
    sums = [overlap(boxes, truths, kind).sum(dtype=np.float64) for kind in ("iou", "giou")]
    return np.array([len(boxes), sums[0], sums[task.iou_loss == "giou"]], np.float64)
