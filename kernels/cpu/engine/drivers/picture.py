"""A picture of bytes as resized planes of float32."""

import numba

from .call import byte, call, load, store, word

NOWHERE = 1 << 62  # bytes, beyond any picture


def resize(a, task, scratch):
    """Resize a whole picture: mix the pixels along each old row that is needed, then mix rows.

    a        [kernel that mixes rows, picture, channels, bytes from one to the next; of rows: (h, 2)
             int64 bytes to the two old ones, (h, 2) float32 their shares; of columns: the same; 256
             float32 that bytes mean; address, plane and row of the planes, h, w, bytes of a plane
             of a mixed row]
    scratch  two mixed rows of all planes
    """
    c, w, stride = a[2], a[13], a[14]
    above, below = scratch, scratch + c * stride
    at_above = at_below = NOWHERE
    for i in range(a[12]):
        first, second = word(a[4] + 16 * i), word(a[4] + 16 * i + 8)
        if first == at_below:
            above, below = below, above
            at_above, at_below = at_below, at_above
        if first != at_above:
            along(a, a[1] + first, above, w, stride)
            at_above = first
        if second not in (at_above, at_below):
            along(a, a[1] + second, below, w, stride)
            at_below = second
        other = above if second == at_above else below
        for k in range(c):
            y = a[9] + k * a[10] + i * a[11]
            call(a[0], above + k * stride, other + k * stride, y, a[5] + 8 * i, w // 16)


@numba.njit(inline="always")
def along(a, row, y, w, stride):
    """Mix the pixels of one old row: y has the last colour first."""
    colour, columns, shares, means = a[3], a[6], a[7], a[8]
    if a[2] == 3:
        for j in range(w):
            left, right = row + word(columns + 16 * j), row + word(columns + 16 * j + 8)
            p, q = load(shares + 8 * j), load(shares + 8 * j + 4)
            blend(means, left + 2 * colour, right + 2 * colour, p, q, y + 4 * j)
            blend(means, left + colour, right + colour, p, q, y + stride + 4 * j)
            blend(means, left, right, p, q, y + 2 * stride + 4 * j)
    else:
        for j in range(w):
            left, right = row + word(columns + 16 * j), row + word(columns + 16 * j + 8)
            blend(means, left, right, load(shares + 8 * j), load(shares + 8 * j + 4), y + 4 * j)


@numba.njit(inline="always")
def blend(means, left, right, p, q, y):
    store(y, load(means + 4 * byte(left)) * p + load(means + 4 * byte(right)) * q)
