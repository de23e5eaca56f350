"""Weights packed block by block; where a block is not whole, over a copy with zeros."""

from .call import call, load, store


def blocks(a, task, scratch):
    """Pack the weights of one block of filters for one block of x.

    a  [kernel, w, packed, f, filters and channels of a group of w, taps, filters and channels of a
       group as packed, blocks of x that a filter sees, blocks of x, whether turned]
    """
    w, f, of, wide, taps, seen = a[1], a[3], a[4], a[5], a[6], a[9]
    out = task // seen
    into = min(out * 16 // a[7] * a[8] // 16, a[10] - seen) + task % seen
    filters, channels = (into, out) if a[11] else (out, into)
    first, group = filters * 16, filters * 16 // of
    channel = channels * 16 - group * wide
    start = w + (first * wide + channel) * taps * 4
    line = wide * taps * 4
    inside = first + 16 <= f and (first + 15) // of == group
    if not (inside and 0 <= channel and channel + 16 <= wide):
        for i in range(16):
            for j in range(16):
                there = channels * 16 + j - (first + i) // of * wide
                own = first + i < f and 0 <= there < wide
                for k in range(taps):
                    value = load(w + (((first + i) * wide + there) * taps + k) * 4) if own else 0.0
                    store(scratch + ((i * 16 + j) * taps + k) * 4, value)
        start, line = scratch, taps * 64
    call(a[0], start, line, a[2] + task * taps * 1024, taps, scratch + taps * 1024)


def first(a, task, scratch):
    """Pack one block of filters of a first layer.

    a  [w, packed, f, channels times taps]
    """
    for i in range(a[3]):
        for j in range(16):
            filter_ = task * 16 + j
            value = load(a[0] + (filter_ * a[3] + i) * 4) if filter_ < a[2] else 0.0
            store(a[1] + ((task * a[3] + i) * 16 + j) * 4, value)
