"""How much boxes overlap, and which way to move them that they overlap more (darknet's box.c).

A box is x, y, w, h, its centre and its size. The formulas are in the arrays' own dtype.
"""

import math

import numpy as np

__all__ = ["overlap", "overlap_slopes"]


def overlap(a, b, kind="iou"):
    """Return how much the boxes a (..., 4) overlap the boxes b (..., 4), broadcast together.

    kind   "iou"   intersection over union; 0 where either is empty
           "giou"  less the empty share of the enclosing box (https://arxiv.org/abs/1902.09630)
           "diou"  iou - (d2 / c2) ** .6, with the squares of the distance of the centres and of
                   the enclosing box's diagonal (https://arxiv.org/abs/1911.08287 has no exponent)
           "ciou"  iou - d2 / c2 - alpha v, with the difference v of the aspect ratios

    This is darknet's box_iou_kind. Where the enclosing box is a point, each kind is the iou.
    """
    with np.errstate(all="ignore"):  # boxes may be empty, or infinite
        return KINDS[kind](np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0))


def _intersection_and_union(a, b):
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    w = np.minimum(ax + aw / 2, bx + bw / 2) - np.maximum(ax - aw / 2, bx - bw / 2)
    h = np.minimum(ay + ah / 2, by + bh / 2) - np.maximum(ay - ah / 2, by - bh / 2)
    intersection = np.where((w < 0) | (h < 0), 0, w * h)
    return intersection, aw * ah + bw * bh - intersection


def _iou(a, b):
    intersection, union = _intersection_and_union(a, b)
    return np.where((intersection == 0) | (union == 0), 0, intersection / union)


def _enclosing(a, b):
    """Return width and height of the smallest box around both."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    w = np.maximum(ax + aw / 2, bx + bw / 2) - np.minimum(ax - aw / 2, bx - bw / 2)
    h = np.maximum(ay + ah / 2, by + bh / 2) - np.minimum(ay - ah / 2, by - bh / 2)
    return w, h


def _distance(a, b):
    """Return the squared distance of the centres, in squared diagonals of the enclosing box."""
    w, h = _enclosing(a, b)
    diagonal = w * w + h * h
    squared = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
    return np.where(diagonal == 0, 0, squared / diagonal)


def _giou(a, b):
    w, h = _enclosing(a, b)
    around = w * h
    _, union = _intersection_and_union(a, b)
    return _iou(a, b) - np.where(around == 0, 0, (around - union) / around)


def _diou(a, b):
    return _iou(a, b) - _distance(a, b) ** 0.6


def _ciou(a, b):
    share, (w, h) = _iou(a, b), _enclosing(a, b)
    v = 4 / math.pi**2 * (np.arctan(b[2] / b[3]) - np.arctan(a[2] / a[3])) ** 2
    alpha = v / (1 - share + v + 1e-6)
    return np.where((w == 0) & (h == 0), share, share - (_distance(a, b) + alpha * v))


KINDS = {"iou": _iou, "giou": _giou, "diou": _diou, "ciou": _ciou}


def overlap_slopes(a, b, kind="iou"):
    """Return the way that takes each box of a (k, 4) nearer to its one of b (k, 4): (k, 4).

    It is darknet's dx_box_iou, and only nearly the gradient of `overlap`: the intersection of boxes
    that lie apart is the product of two negative sides; w and h count in full what is half theirs;
    "diou" has no exponent; "ciou" takes v's slopes as if w ** 2 + h ** 2 were 1. What is 0 / 0 is
    nan.
    """
    (at, size), (aim, aim_size) = np.split(a, 2, -1), np.split(b, 2, -1)  # (k, 2): of x, of y
    with np.errstate(all="ignore"):
        low, high = at - size / 2, at + size / 2
        lows, highs = aim - aim_size / 2, aim + aim_size / 2
        shared = np.minimum(high, highs) - np.maximum(low, lows)
        around = np.maximum(high, highs) - np.minimum(low, lows)
        union = _product(high - low) + _product(highs - lows) - _product(shared)
        sides = high - low, shared, around, union
        lower = _edge_slopes(-1, *sides, low > lows, low < lows, kind)
        upper = _edge_slopes(1, *sides, high < highs, high > highs, kind)
        lower = np.where(low < high, lower, upper)
        slopes = np.concatenate([lower + upper, upper - lower], -1)
        if kind not in ("diou", "ciou"):
            return slopes
        term = _distance_slopes(aim - at, around, low < lows, high > highs)
        if kind == "ciou":
            term[:, 2:] += _shape_slopes(size, aim_size, _product(shared) / union)
        return _joined(slopes, term, (around > 0).any(-1, keepdims=True), shared)


def _edge_slopes(sign, size, shared, around, union, inside, outside, kind):
    """Return how iou, or giou, grows with the lower (sign -1) or the upper edges (k, 2)."""
    both = _product(shared)
    d_both = np.where(inside, sign * shared[:, ::-1], 0)
    d_union = sign * size[:, ::-1] - d_both
    way = np.where(union > 0, (union * d_both - both * d_union) / (union * union), 0)
    if kind != "giou":
        return way
    whole = _product(around)
    d_whole = np.where(outside, sign * around[:, ::-1], 0)
    term = (whole * d_union - union * d_whole) / (whole * whole)
    return _joined(way, term, whole > 0, shared)


def _product(sides):
    return sides[:, :1] * sides[:, 1:]


def _joined(slopes, term, defined, shared):
    """Add the term where it is defined; it stands alone where the boxes do not overlap."""
    apart = (shared <= 0).any(-1, keepdims=True)
    return np.where(apart, term, slopes + np.where(defined, term, 0))


def _distance_slopes(way, around, below, above):
    """Return the slopes of - d2 / c2 (k, 4), w and h with the sign that darknet gives them."""
    squared = (way * way).sum(-1, keepdims=True)
    diagonal = (around * around).sum(-1, keepdims=True)
    moved = above.astype(way.dtype) - below  # the enclosing side, as the box moves
    grown = (above.astype(way.dtype) + below) / 2  # as it grows
    by_place = 2 * way * diagonal - 2 * around * moved * squared
    by_size = 2 * around * grown * squared
    return np.concatenate([by_place, by_size], -1) / (diagonal * diagonal)


def _shape_slopes(size, aim, share):
    """Return alpha times darknet's slopes of - v by w and h."""
    turn = np.arctan(aim[:, :1] / aim[:, 1:]) - np.arctan(size[:, :1] / size[:, 1:])
    v = 4 / math.pi**2 * turn * turn
    alpha = v / (1 - share + v + 1e-6)
    return alpha * (8 / math.pi**2) * turn * size[:, ::-1] * np.array([1, -1], size.dtype)
