"""Detection heads whose output is in the order of pixels."""

from numba.extending import register_jitable

from .call import call, load, store, word

LEAST = -3.0e38


def region(a, task, scratch):
    """Decode one row of pixels: each anchor's values in turn, objectness and classes activated.

    a  [kernel of the logistic, kernel of softmax, x, image, plane, row, channels a block, y, image,
       height, width, anchors, classes, runs, their lengths]
    """
    block, high, wide, entries = a[6], a[9], a[10], 5 + a[12]
    channels = a[11] * entries
    i, image = task % high, task // high
    x = a[2] + image * a[3] + i * a[5]
    to = a[7] + image * a[8] + i * wide * channels * 4
    for j in range(wide):
        from_ = x + j * block * 4
        for first in range(0, channels, block):
            for k in range(min(block, channels - first)):
                store(to + (first + k) * 4, load(from_ + k * 4))
            from_ += a[4]
        for _ in range(a[11]):
            store(scratch, load(to + 16))
            call(a[0], scratch, 0, 0, scratch, 0, 0, 0, 0, 1, 1, 0)
            store(to + 16, load(scratch))
            runs(a[1], to + 20, a[13], a[14], scratch)
            to += 4 * entries


def softmax(a, task, scratch):
    """Do softmax over the runs of one picture's values.

    a  [kernel, y, image, runs, their lengths]
    """
    runs(a[0], a[1] + task * a[2], a[3], a[4], scratch)


@register_jitable
def runs(kernel, at, count, lengths, scratch):
    """Do softmax, in place, over runs that follow each other from an address on."""
    for run in range(count):
        length = word(lengths + 8 * run)
        vectors = (length + 15) // 16
        for k in range(vectors * 16):
            store(scratch + 4 * k, load(at + 4 * k) if k < length else LEAST)
        call(kernel, scratch, vectors)
        for k in range(length):
            store(at + 4 * k, load(scratch + 4 * k))
        at += 4 * length
