"""Bands of rows of each block of channels, of up to four maps, for one kernel."""

import numba

from .call import call, store


def planes(a, task, scratch):
    """Call a kernel of ``emit/elementwise.py`` for one band of rows of one block of one picture.

    a  [kernel, blocks, bands, rows a band, rows, vectors a row, extra, then of each of four maps:
       address, bytes from picture to picture, block to block, row to row]
    """
    blocks, bands, each = a[1], a[2], a[3]
    band = task % bands
    block = task // bands % blocks
    image = task // (bands * blocks)
    first = band * each
    rows = min(first + each, a[4]) - first
    call(
        a[0],
        a[7] + image * a[8] + block * a[9] + first * a[10],
        a[11] + image * a[12] + block * a[13] + first * a[14],
        a[15] + image * a[16] + block * a[17] + first * a[18],
        a[19] + image * a[20] + block * a[21] + first * a[22],
        a[10],
        a[14],
        a[18],
        a[22],
        rows,
        a[5],
        a[6],
    )


def border(a, task, scratch):
    """Write zeros around one plane.

    a  [address, planes, image, plane, row, bytes of a cell, h, w, top, left, bottom, right]
    """
    row, cell, h, w = a[4], a[5], a[6], a[7]
    top, left, bottom, right = a[8], a[9], a[10], a[11]
    at = a[0] + task // a[1] * a[2] + task % a[1] * a[3]
    for i in range(-top, h + bottom):
        start = at + i * row - left * cell
        if 0 <= i < h:
            clear(start, left * cell)
            clear(at + i * row + w * cell, right * cell)
        else:
            clear(start, (left + w + right) * cell)


@numba.njit(inline="always")
def clear(address, size):
    for i in range(size // 4):
        store(address + 4 * i, 0.0)
