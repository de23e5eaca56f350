"""Largest values of windows, and their gradient: bands of rows of one block."""

import numba

from .call import call


@numba.njit
def inside(place, size, n):
    """Return (first cell, cells) of a window from ``place`` on that lie within ``n`` cells."""
    first = max(0, place)
    return first, max(0, min(n, place + size) - first)


def rows(a, task, scratch):
    """Compute a band of rows of one block of one picture.

    a  [blocks, bands, rows a band, h and w of x, h and w of y, size, strides of rows and columns,
       cells before the first row and column, address, image, plane, row of x, and of y, kernel
       straight from x or 0, its last, kernel down, cells a tile of it, kernel along, its last,
       tiles of it, cells of the tiles, cells left, kernel that fills with the least, kernel down
       one cell]
    """
    blocks, bands, each = a[0], a[1], a[2]
    high, wide, size = a[3], a[4], a[7]
    band = task % bands
    block = task // bands % blocks
    image = task // (bands * blocks)
    x0 = a[12] + image * a[13] + block * a[14]
    y0 = a[16] + image * a[17] + block * a[18]
    tiles, done, rest = a[26], a[27], a[28]
    span = (a[6] - 1) * a[9] + size
    start = min(a[11], span)
    cells = min(wide, span - start)
    if start or start + cells < span:
        call(a[29], 0, 0, 0, scratch, 0, 0, 0, 0, 1, span, 0)
    for i in range(band * each, min((band + 1) * each, a[5])):
        first, count = inside(i * a[8] - a[10], size, high)
        y = y0 + i * a[19]
        x = x0 + first * a[15]
        if a[20] and count == size:
            if tiles:
                call(a[20], x, y, a[15], tiles)
            if rest:
                call(a[21], x + done * a[9] * 64, y + done * 64, a[15], 1)
            continue
        if cells > 0 and count > 0:
            across(a, x, scratch + start * 64, count, cells)
        else:
            call(a[29], 0, 0, 0, scratch, 0, 0, 0, 0, 1, span, 0)
        if tiles:
            call(a[24], scratch, y, 0, tiles)
        if rest:
            call(a[25], scratch + done * a[9] * 64, y + done * 64, 0, 1)


@numba.njit
def across(a, x, to, count, cells):
    """Write the largest of each column of ``count`` rows."""
    whole = cells // a[23]
    if whole:
        call(a[22], x, to, a[15], count, whole)
    done = whole * a[23]
    if done < cells:
        call(a[30], x + done * 64, to + done * 64, a[15], count, cells - done)


def grad(a, task, scratch):
    """Pass the gradient of y on to x, in a band of rows of dy of one block of one picture.

    a  [blocks, bands, rows of dy a band, h and w of x, h and w of dy, size, strides of rows and
       columns, cells before the first row and column, address, image, plane, row of dy, of x, of y
       and of dx, kernel of whole windows, of cut ones, that fills with 0, first column of whole
       windows, their count, whether windows cover the rows they lie in]; bands share no row of dx
    """
    blocks, bands, each = a[0], a[1], a[2]
    high, wide, size = a[3], a[4], a[7]
    band = task % bands
    block = task // bands % blocks
    image = task // (bands * blocks)
    dy0 = a[12] + image * a[13] + block * a[14]
    x0 = a[16] + image * a[17] + block * a[18]
    y0 = a[20] + image * a[21] + block * a[22]
    dx0 = a[24] + image * a[25] + block * a[26]
    clean = max(0, min(high, band * each * a[8] - a[10])) if band else 0
    for i in range(band * each, min((band + 1) * each, a[5])):
        first, count = inside(i * a[8] - a[10], size, high)
        if count == 0:
            continue
        need = first if a[33] else first + count
        if clean < need:
            call(a[30], 0, 0, 0, dx0 + clean * a[27], 0, 0, 0, a[27], need - clean, wide, 0)
        clean = max(clean, first + count)
        dy, y = dy0 + i * a[15], y0 + i * a[23]
        x, dx = x0 + first * a[19], dx0 + first * a[27]
        j = 0
        while j < a[6]:
            left, cols = inside(j * a[9] - a[11], size, wide)
            kernel, cells = a[29], 1
            if j == a[31] and a[32] > 0:
                kernel, cells = a[28], a[32]
            if cols:
                call(
                    kernel,
                    dy + j * 64,
                    x + left * 64,
                    y + j * 64,
                    dx + left * 64,
                    a[19],
                    a[27],
                    count,
                    cols,
                    cells,
                )
            j += cells
    last = high
    if band + 1 < bands:
        last = max(0, min(high, (band + 1) * each * a[8] - a[10]))
    if clean < last:
        call(a[30], 0, 0, 0, dx0 + clean * a[27], 0, 0, 0, a[27], last - clean, wide, 0)
