"""The loss of a [region] (YOLO9000, https://arxiv.org/abs/1612.08242); darknet's region_layer.c.

Boxes are x, y, w, h in shares of the picture. Truths are few and are gone through one by one, as
in darknet: of two that fall to the same box the later counts.
"""

from typing import NamedTuple

import numpy as np

from ..common.activations import ACTIVATIONS
from ..common.overlap import overlap
from .best_overlap import best_overlap

__all__ = ["region_loss"]

WARM_UP = 0.01  # of the pull towards the anchors at the beginning of a training
logistic = ACTIVATIONS["logistic"].value


class Rules(NamedTuple):
    """The keys of a [region] that say what its boxes learn.

    thresh      IoU with a truth beyond which a box need not be empty
    classfix    boxes beyond ``thresh`` learn the class too, if above 0; by their objectness, if 2;
                with -1 all boxes learn their IoU as objectness
    bias_match  a truth is given to the anchor that fits it best, not to the box
    rescore     objectness learns the IoU, not 1
    """

    coord_scale: float = 1.0
    object_scale: float = 1.0
    noobject_scale: float = 1.0
    class_scale: float = 1.0
    thresh: float = 0.5
    classfix: int = 0
    bias_match: bool = False
    rescore: bool = False
    focal_loss: bool = False


def region_loss(y, truths, anchors, tree=None, *, warm_up=False, **rules):
    """Return the gradient by what `region` was given, and figures.

    y        as `region` gives it: (n, a * (5 + classes), h, w) in the order (h, w, a, ...)
    truths   (k, 6): index of the picture, class, box; x and y are above 0
    anchors  (a, 2): w, h in cells
    tree     (3, classes) of ints: of each class its parent or -1, and the first and the number of
             its siblings; a truth at an x beyond 1 is then a picture's class without a place
    warm_up  all boxes are pulled to the anchors
    rules    those of `Rules`
    returns  the gradient, in shape and order of y; and (5,) float64: the sums of the squared
             gradients of boxes, of objectness, of classes, the number of truths given to a box,
             and the sum of their IoU
    """
    head = _Head(y, truths, anchors, tree, Rules(**rules))
    with np.errstate(all="ignore"):  # what is predicted may be anything
        for picture in range(len(y)):
            own = truths[truths[:, 0] == picture, 1:]
            named = own[own[:, 1] > 1, 0]
            if len(named):
                head.assign_class(picture, int(named[0]))
                continue
            head.background(picture)
            if warm_up:
                head.warm_up(picture)
            for truth in own:
                head.assign(picture, int(truth[0]), truth[1:])
        parts = (head.delta[..., :4], head.delta[..., 4], head.delta[..., 5:])
        squares = [float((part.astype(np.float64) ** 2).sum()) for part in parts]
    return -head.delta.reshape(y.shape), np.array([*squares, len(head.ious), sum(head.ious)])


class _Head:
    """The boxes of a mini-batch and what they are to learn.

    y      (n, h, w, a, 5 + classes)
    delta  like y: darknet's, the gradient with its sign turned
    boxes  (n, h, w, a, 4), in shares of the picture
    best   (n, h, w, a): their best IoU with a truth; ``which`` is the index of that
    ious   of the boxes that were given a truth
    """

    def __init__(self, y, truths, anchors, tree, rules):
        n, _, h, w = y.shape
        self.y = y.reshape(n, h, w, len(anchors), -1)
        self.truths, self.anchors, self.tree, self.rules = truths, anchors, tree, rules
        self.delta = np.zeros_like(self.y)
        self.grid = np.array([w, h], y.dtype)
        self.ious = []
        corner = np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1)[:, :, None]
        with np.errstate(all="ignore"):
            centre = (corner.astype(y.dtype) + logistic(self.y[..., :2])) / self.grid
            size = np.exp(self.y[..., 2:4]) * anchors / self.grid
        self.boxes = np.concatenate([centre, size], -1)
        best, which = best_overlap(self.boxes.reshape(n, 1, -1, 4).swapaxes(2, 3), truths)
        self.best, self.which = best.reshape(n, h, w, -1), which.reshape(n, h, w, -1)

    def assign_class(self, picture, class_):
        """Teach a class without a place to the box that is surest of it."""
        y = self.y[picture].reshape(-1, self.y.shape[-1])
        share, above = y[:, 4].copy(), class_
        while above >= 0:
            share *= y[:, 5 + above]
            above = self.tree[0, above]
        self._classify(picture, np.unravel_index(share.argmax(), self.y.shape[1:4]), class_)

    def background(self, picture):
        """Teach boxes that they are empty, but for those that overlap a truth."""
        p, best, rules = self.y[picture, ..., 4], self.best[picture], self.rules
        slope = rules.noobject_scale * (1 - p) * p
        if rules.classfix == -1:
            self.delta[picture, ..., 4] = (best - p) * slope
            return
        is_near = best > rules.thresh
        self.delta[picture, ..., 4] = np.where(is_near, 0, -p * slope)
        if rules.classfix > 0:
            share = p if rules.classfix == 2 else np.ones_like(p)
            for place in zip(*np.nonzero(is_near & (best > 0)), strict=True):
                class_ = self.truths[self.which[picture][place], 1]
                self._classify(picture, place, int(class_), share[place])

    def warm_up(self, picture):
        """Pull all boxes to the middle of their cells and to the size of their anchors."""
        y, delta = self.y[picture], self.delta[picture]
        centre = logistic(y[..., :2])
        delta[..., :2] = WARM_UP * (0.5 - centre) * (1 - centre) * centre
        delta[..., 2:4] = -WARM_UP * y[..., 2:4]

    def assign(self, picture, class_, truth):
        """Teach ``truth`` (4,) to a box of the cell that its centre lies in."""
        rules, place = self.rules, np.minimum(truth[:2] * self.grid, self.grid - 1).astype(int)
        cell = picture, place[1], place[0]
        anchor = self._fittest(cell, truth[2:])
        y, delta = self.y[cell][anchor], self.delta[cell][anchor]
        iou = float(overlap(self.boxes[cell][anchor], truth))
        centre, aim = logistic(y[:2]), truth[:2] * self.grid - place
        delta[:2] = rules.coord_scale * (aim - centre) * (1 - centre) * centre
        aim = np.log(truth[2:] * self.grid / self.anchors[anchor])
        delta[2:4] = rules.coord_scale * (aim - y[2:4])
        sought = iou if rules.rescore else 1
        delta[4] = rules.object_scale * (sought - y[4]) * (1 - y[4]) * y[4]
        self._classify(picture, (*cell[1:], anchor), class_)
        self.ious.append(iou)

    def _fittest(self, cell, size):
        """Return the anchor whose shape in ``cell`` overlaps ``size`` (2,) most; 0 if none does."""
        sizes = self.anchors / self.grid if self.rules.bias_match else self.boxes[cell][:, 2:]
        shapes = np.concatenate([np.zeros_like(sizes), sizes], 1)
        fits = overlap(shapes, np.concatenate([np.zeros_like(size), size]))
        return int(np.where(fits > 0, fits, 0).argmax())

    def _classify(self, picture, place, class_, share=1):
        """Teach the box at ``place`` (row, column, anchor) its class; by a share of the scale."""
        p, delta = self.y[picture][place][5:], self.delta[picture][place][5:]
        scale = self.rules.class_scale * share
        if self.tree is None:
            delta[:] = -scale * p
            delta[class_] = scale * (1 - p[class_])
            if self.rules.focal_loss:
                pt = p[class_] + p.dtype.type(1e-15)
                delta *= -0.5 * (1 - pt) * (2 * pt * np.log(pt) + pt - 1)
            return
        while class_ >= 0:
            parent, first, count = self.tree[:, class_]
            group = slice(first, first + count)
            delta[group] = -scale * p[group]
            delta[class_] = scale * (1 - p[class_])
            class_ = parent
