"""Darknet's losses of [yolo] and [Gaussian_yolo] in plain loops: slow, number by number.

A box is (x, y, w, h). Deltas are darknet's: what is added to the outputs, minus the gradient.
"""

import math
from dataclasses import dataclass, field

import numpy as np


def edges(box):
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2  # left, top, right, bottom


def overlap(a, b, kind="iou"):
    (al, at, ar, ab), (bl, bt, br, bb) = edges(a), edges(b)
    w, h = min(ar, br) - max(al, bl), min(ab, bb) - max(at, bt)
    both = w * h if w >= 0 and h >= 0 else 0
    union = a[2] * a[3] + b[2] * b[3] - both
    iou = both / union if both and union else 0
    cw, ch = max(ar, br) - min(al, bl), max(ab, bb) - min(at, bt)
    if kind == "giou":
        return iou - (cw * ch - union) / (cw * ch)
    distance = ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) / (cw**2 + ch**2)
    if kind == "diou":
        return iou - distance**0.6
    if kind == "ciou":
        v = 4 / math.pi**2 * (math.atan(b[2] / b[3]) - math.atan(a[2] / a[3])) ** 2
        return iou - distance - v / (1 - iou + v + 1e-6) * v
    return iou


def slopes(a, b, kind):
    """Return dx, dy, dw, dh of box a towards truth b, as darknet does."""
    (al, at, ar, ab), (bl, bt, br, bb) = edges(a), edges(b)
    iw, ih = min(ar, br) - max(al, bl), min(ab, bb) - max(at, bt)
    cw, ch = max(ar, br) - min(al, bl), max(ab, bb) - min(at, bt)
    both, w, h = iw * ih, ar - al, ab - at
    union = w * h + (br - bl) * (bb - bt) - both
    d_both = {
        "t": -iw if at > bt else 0,
        "b": iw if ab < bb else 0,
        "l": -ih if al > bl else 0,
        "r": ih if ar < br else 0,
    }
    d_union = {k: v - d_both[k] for k, v in {"t": -w, "b": w, "l": -h, "r": h}.items()}
    p = dict.fromkeys("tblr", 0.0)
    if union > 0:
        p = {k: (union * d_both[k] - both * d_union[k]) / union**2 for k in "tblr"}
    if kind == "giou":
        around = cw * ch
        d_around = {
            "t": -cw if at < bt else 0,
            "b": cw if ab > bb else 0,
            "l": -ch if al < bl else 0,
            "r": ch if ar > br else 0,
        }
        for k in "tblr":
            term = (around * d_union[k] - union * d_around[k]) / around**2
            p[k] = term if iw <= 0 or ih <= 0 else p[k] + term
    way = [p["l"] + p["r"], p["t"] + p["b"], p["r"] - p["l"], p["b"] - p["t"]]
    if kind not in ("diou", "ciou"):
        return way
    s, c = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2, cw**2 + ch**2
    right, left, below, above = float(ar > br), float(al < bl), float(ab > bb), float(at < bt)
    dcw_dx, dch_dy = right - left, below - above
    dcw_dw, dch_dh = (right + left) / 2, (below + above) / 2
    term = [
        (2 * (b[0] - a[0]) * c - 2 * cw * dcw_dx * s) / c**2,
        (2 * (b[1] - a[1]) * c - 2 * ch * dch_dy * s) / c**2,
        2 * cw * dcw_dw * s / c**2,
        2 * ch * dch_dh * s / c**2,
    ]
    if kind == "ciou":
        turn = math.atan(b[2] / b[3]) - math.atan(a[2] / a[3])
        v = 4 / math.pi**2 * turn**2
        alpha = v / (1 - both / union + v + 1e-6)
        term[2] += alpha * 8 / math.pi**2 * turn * a[3]
        term[3] -= alpha * 8 / math.pi**2 * turn * a[2]
    return term if iw <= 0 or ih <= 0 else [one + two for one, two in zip(way, term, strict=True)]


@dataclass
class Loops:
    """A [yolo] and a mini-batch: output (n, a, entries, h, w); after ``run`` delta like it."""

    layer: object
    output: np.ndarray
    truths: list
    width: int
    height: int
    ious: list = field(default_factory=list)
    lacks: list = field(default_factory=list)

    objectness = 4

    def run(self):
        n, _, h, w = self.output.shape
        a = len(self.layer.indices)
        self.y = self.output.reshape(n, a, -1, h, w).astype(float)
        self.delta = np.zeros_like(self.y)
        self.w, self.h = w, h
        counts = [max(1, count) for count in self.layer.counters_per_class]
        self.weights = [min(max(counts) / one, self.layer.max_delta) for one in counts]
        for b in range(n):
            for j in range(h):
                for i in range(w):
                    for k in range(a):
                        self.background(b, k, j, i)
            for truth in self.known(b):
                self.teach(b, truth)
            self.average(b)
        return self

    def known(self, b):
        """Return (class, box) of the truths that count; the class is the network's."""
        found = []
        for row in self.truths[b][: self.layer.max]:
            class_, box = int(row[0]), tuple(float(v) for v in row[1:])
            if not 0 <= class_ < self.layer.classes:
                continue
            if self.layer.map:
                class_ = self.layer.map[class_]
            found.append((class_, box))
        return found

    def weight(self, class_):
        return self.weights[class_] if self.weights else 1

    def prior(self, index):
        return self.layer.anchors[2 * index], self.layer.anchors[2 * index + 1]

    def box(self, b, k, j, i):
        x, y, w, h = self.y[b, k, :4, j, i]
        aw, ah = self.prior(self.layer.indices[k])
        if self.layer.new_coords:
            sides = w * w * 4 * aw / self.width, h * h * 4 * ah / self.height
        else:
            sides = math.exp(w) * aw / self.width, math.exp(h) * ah / self.height
        return (i + x) / self.w, (j + y) / self.h, *sides

    def nearest(self, b, k, j, i):
        """Return the best IoU with a truth, the truth, and whether a class is likely."""
        best, which = 0, None
        for truth in self.known(b):
            iou = overlap(self.box(b, k, j, i), truth[1])
            if iou > best:
                best, which = iou, truth
        return best, which, (self.y[b, k, self.objectness + 1 :, j, i] > 0.25).any()

    def background(self, b, k, j, i):
        keys, at = self.layer, (b, k, 4, j, i)
        best, truth, likely = self.nearest(b, k, j, i)
        p = self.y[at]
        self.delta[at] = keys.obj_normalizer * (0 - p)
        if likely and best > keys.ignore_thresh:
            if keys.objectness_smooth:
                self.delta[at] = max(self.delta[at], keys.obj_normalizer * (best - p))
            else:
                self.delta[at] = 0
        if best > keys.truth_thresh:
            self.settle(b, k, j, i, best, truth)

    def settle(self, b, k, j, i, best, truth):
        """A box that lies on a truth learns it."""
        keys, smooth = self.layer, self.layer.objectness_smooth
        at, class_ = (b, k, self.objectness, j, i), truth[0]
        aim = best**2 if smooth else 1
        self.delta[at] = keys.obj_normalizer * (aim - self.y[at])
        self.classify(b, k, j, i, class_)
        if smooth:
            own = (b, k, self.objectness + 1 + class_, j, i)
            self.delta[own] = self.weight(class_) * (aim - self.y[own])
        self.pull(b, k, j, i, truth)

    def classify(self, b, k, j, i, class_):
        keys = self.layer
        delta, p = self.delta[b, k, 5:, j, i], self.y[b, k, 5:, j, i]
        e = keys.label_smooth_eps
        if delta[class_]:
            delta[class_] = (1 * (1 - e) + 0.5 * e - p[class_]) * self.weight(class_)
            return
        if keys.focal_loss:
            pt = p[class_]
            grad = -(1 - pt) * (2 * pt * math.log(pt) + pt - 1)
        for c in range(keys.classes):
            y = float(c == class_)
            if keys.focal_loss:
                delta[c] = (y - p[c]) * 0.5 * grad
                continue
            delta[c] = y * (1 - e) + 0.5 * e - p[c]
            if self.weights and c == class_:
                delta[c] *= self.weights[c] * keys.cls_normalizer

    def tame(self, value):
        if not math.isfinite(value):
            return 0
        return min(max(value, -self.layer.max_delta), self.layer.max_delta)

    def pull(self, b, k, j, i, truth):
        keys, (class_, box) = self.layer, truth
        values, delta = self.y[b, k, :4, j, i], self.delta[b, k, :4, j, i]
        aw, ah = self.prior(keys.indices[k])
        normalizer = keys.iou_normalizer * self.weight(class_)
        if keys.iou_loss == "mse":
            w, h = box[2] * self.width / aw, box[3] * self.height / ah
            w, h = (math.sqrt(v / 4) if keys.new_coords else math.log(v) for v in (w, h))
            wanted = box[0] * self.w - i, box[1] * self.h - j, w, h
            for c in range(4):
                delta[c] += (2 - box[2] * box[3]) * (wanted[c] - values[c]) * normalizer
            return
        way = slopes(self.box(b, k, j, i), box, keys.iou_loss)
        if not keys.new_coords:
            way[2:] = way[2] * math.exp(values[2]), way[3] * math.exp(values[3])
        for c in range(4):
            delta[c] += self.tame(way[c] * normalizer)

    def place(self, box):
        return min(int(box[0] * self.w), self.w - 1), min(int(box[1] * self.h), self.h - 1)

    def takers(self, box):
        """Return the anchors that take a truth, the nearest first."""
        shape = 0, 0, box[2], box[3]

        def own(n):
            return 0, 0, self.prior(n)[0] / self.width, self.prior(n)[1] / self.height

        ious = [overlap(own(n), shape) for n in range(self.layer.num)]
        best = ious.index(max(ious))
        others = [
            n
            for n in range(self.layer.num)
            if n != best
            and self.layer.iou_thresh < 1
            and overlap(own(n), shape, self.layer.iou_thresh_kind) > self.layer.iou_thresh
        ]
        return [n for n in (best, *others) if n in self.layer.indices]

    def teach(self, b, truth):
        class_, box = truth
        i, j = self.place(box)
        for n in self.takers(box):
            k, o = self.layer.indices.index(n), self.objectness
            seen = self.box(b, k, j, i)
            self.ious.append(overlap(seen, box))
            kind = "giou" if self.layer.iou_loss == "giou" else "iou"
            self.lacks.append(1 - overlap(seen, box, kind))
            self.pull(b, k, j, i, truth)
            if self.replaces(self.delta[b, k, o, j, i]):
                wanted = self.layer.obj_normalizer * (1 - self.y[b, k, o, j, i])
                self.delta[b, k, o, j, i] = self.weight(class_) * wanted
            self.classify(b, k, j, i, class_)

    def replaces(self, objectness):
        return objectness == 0 or not self.layer.objectness_smooth

    def average(self, b):
        if self.layer.iou_thresh < 1:
            self.divide(b, lambda k, j, i: self.delta[b, k, 4, j, i] != 0)

    def divide(self, b, applies):
        o = self.objectness
        for k in range(self.delta.shape[1]):
            for j in range(self.h):
                for i in range(self.w):
                    count = (self.delta[b, k, o + 1 :, j, i] > 0).sum()
                    if count and applies(k, j, i):
                        self.delta[b, k, :o, j, i] /= count

    def parts(self):
        """Return box, objectness and classes of darknet's cost."""
        keys, o = self.layer, self.objectness
        squares = self.delta**2
        box, objectness = squares[:, :, :o].sum(), squares[:, :, o].sum()
        classes = squares[:, :, o + 1 :].sum()
        if o == 4 and keys.show_details and keys.iou_loss != "mse":
            lack = sum(self.lacks) / len(self.lacks) if self.lacks else 0
            box = keys.iou_normalizer * lack
            objectness, classes = keys.obj_normalizer * objectness, keys.obj_normalizer * classes
        return box, objectness, classes


class GaussianLoops(Loops):
    """The same of a [Gaussian_yolo], whose entries are mean and deviation of x, y, w, h in turn."""

    objectness = 8
    points = {"center": 0, "left_top": -0.5, "right_bottom": 0.5}  # noqa: RUF012

    def box(self, b, k, j, i):
        x, y, w, h = self.y[b, k, 0:8:2, j, i]
        aw, ah = self.prior(self.layer.indices[k])
        w, h = math.exp(w) * aw / self.width, math.exp(h) * ah / self.height
        p = self.points[self.layer.yolo_point]
        return (i + x) / self.w - p * w, (j + y) / self.h - p * h, w, h

    def background(self, b, k, j, i):
        keys, at = self.layer, (b, k, 8, j, i)
        best, truth, likely = self.nearest(b, k, j, i)
        p = self.y[at]
        self.delta[at] = keys.obj_normalizer * (0 - p)
        if likely and best > keys.ignore_thresh:
            self.delta[at] = 0
            if keys.objectness_smooth:
                self.delta[at] = keys.obj_normalizer * (best**2 - p)
                self.classify(b, k, j, i, truth[0])
        if best > keys.truth_thresh:
            self.settle(b, k, j, i, best, truth)

    def classify(self, b, k, j, i, class_):
        delta, p, e = (
            self.delta[b, k, 9:, j, i],
            self.y[b, k, 9:, j, i],
            self.layer.label_smooth_eps,
        )
        if delta[0]:  # whatever the class
            delta[class_] = (1 - 0.5 * e - p[class_]) * self.weight(class_)
            return
        for c in range(self.layer.classes):
            delta[c] = (c == class_) * (1 - e) + 0.5 * e - p[c]
            if self.weights and c == class_:
                delta[c] *= self.weights[c] * self.layer.cls_normalizer

    def pull(self, b, k, j, i, truth):
        keys, (class_, box) = self.layer, truth
        y, delta = self.y[b, k, :8, j, i], self.delta[b, k, :8, j, i]
        aw, ah = self.prior(keys.indices[k])
        p = self.points[keys.yolo_point]
        wanted = (
            (box[0] + p * box[2]) * self.w - i,
            (box[1] + p * box[3]) * self.h - j,
            math.log(box[2] * self.width / aw),
            math.log(box[3] * self.height / ah),
        )
        mean, deviation = [], []
        for c in range(4):
            mu, s = y[2 * c], y[2 * c + 1]
            z = (wanted[c] - mu) / s
            density = math.exp(-z * z / 2) / (math.sqrt(2 * math.pi) * (s + 0.3))
            t = 0.5 * density / (density + 1e-9) * (2 - box[2] * box[3])
            mean.append(t * z / s)
            deviation.append(t * (z * z / s - 1 / (s + 0.3)))
        if keys.iou_loss != "mse":
            mean = slopes(self.box(b, k, j, i), box, keys.iou_loss)
            mean[0], mean[1] = mean[0] + p * mean[2], mean[1] + p * mean[3]
            mean[2], mean[3] = mean[2] * math.exp(y[4]), mean[3] * math.exp(y[6])
        for c in range(4):
            delta[2 * c] += self.tame(mean[c] * keys.iou_normalizer * self.weight(class_))
            delta[2 * c + 1] += self.tame(deviation[c] * keys.uc_normalizer)

    def place(self, box):
        p = self.points[self.layer.yolo_point]
        i, j = int((box[0] + p * box[2]) * self.w), int((box[1] + p * box[3]) * self.h)
        return min(max(i, 0), self.w - 1), min(max(j, 0), self.h - 1)

    def replaces(self, objectness):
        return True

    def average(self, b):
        self.divide(b, lambda *_: True)
