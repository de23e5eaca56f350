"""Weight gradients: sums over the cells of all pictures, for some filters and some channels."""

import numba

from .call import call, load, store

LANES, CELL = 16, 64


def blocked(a, task, scratch):
    """Sum a part of all bands of rows, for some filters and some blocks of channels of a group.

    a  [kernels of 1, 2 and 3 Vectors, most Vectors, filters a call, x at the first tap, dy, sums,
       dw, size, x_step, x_tap_row, x_tap, x_plane, x_image, dy_plane, dy_image, dy_row, h, w, rows
       a band, bands, bands in all, parts, bytes of a part, filters a task, blocks a task, tasks
       over filters, tasks over blocks, filters of a group, channels of a group]; sums is 0 where
       there is one part, which then fills dw itself
    """
    each, size, parts = a[4], a[9], a[23]
    part = task % parts
    tile = task // parts
    first, filters, block, blocks = extent(a, tile)
    sums = a[7] + task * a[24] if a[7] else scratch
    clear(sums, a[24])
    taps = size * size
    slots = size if size > 1 else blocks
    apart = a[12] if size > 1 else a[13]
    for band in range(a[22] * part // parts, a[22] * (part + 1) // parts):
        image, top = band // a[21], band % a[21] * a[20]
        rows = min(a[20], a[18] - top)
        x = a[5] + image * a[14] + block * a[13] + top * a[10]
        dy = a[6] + image * a[16] + top * a[17]
        for line in range(size * (blocks if size > 1 else 1)):
            b, row = line // size, line % size
            slot = 0
            while slot < slots:
                many = min(a[3], 2 if slots - slot == 4 else slots - slot)
                v = x + b * a[13] + row * a[11] + slot * apart
                for i in range(0, filters, each):
                    f = first + i
                    at = (i // each * blocks + b) * taps + row * size + slot
                    call(
                        a[many - 1], v, dy + f // LANES * a[15] + f % LANES * 4,
                        sums + at * each * CELL, rows, a[19], apart, a[10], a[17], 0, 0,
                        each * CELL,
                    )  # fmt: skip
                slot += many
    if a[7] == 0:
        fill(a, tile, sums)


def winograd(a, task, scratch):
    """Do what `blocked` does for windows of 3 x 3 at stride 1, by Winograd's products.

    a  [those of `blocked`, but: tiles at once, 0, tiles in all in the place of rows a band, bands
       and bands in all; then transform of x, of dy, and back, m, tiles of a line, tiles of a
       picture, tiles of a line at once, v, d, bytes of lines, of u; v is 0 where a task transforms
       its own tiles]
    """
    each, size, total, parts = a[4], a[20], a[22], a[23]
    part, tile = task % parts, task // parts
    first, filters, block, blocks = extent(a, tile)
    sums = a[7] + task * a[24]
    u = scratch + a[40]
    v = u + a[41]
    if a[7] == 0:
        sums = v
        v += a[24]
    over, under = blocks, (filters + LANES - 1) // LANES
    if a[38]:
        over, under = (a[30] + LANES - 1) // LANES, (a[29] + LANES - 1) // LANES
    v_plane, d_plane = (over * size + 1) * CELL, (under * size + 1) * CELL
    s = a[34] + 2
    d = v + s * s * v_plane
    if a[38]:
        v, d = a[38] + block * size * CELL, a[39] + first // LANES * size * CELL
    plane = ((filters + each - 1) // each * blocks * each + 1) * CELL
    clear(u, s * s * plane)
    at, end = total * part // parts, total * (part + 1) // parts
    while at < end:
        count = min(size, end - at)
        skip = at * CELL
        if a[38] == 0:
            skip = 0
            transforms(a, at, count, block, blocks, v, v_plane, scratch, 0)
            transforms(a, at, count, first // LANES, under, d, d_plane, scratch, 1)
        for place in range(s * s):
            for i in range(0, filters, each):
                spread = d + skip + place * d_plane + (first + i) // LANES * size * CELL
                spread += (first + i) % LANES * 4 - first // LANES * size * CELL
                to = u + place * plane + i * blocks * CELL
                b = 0
                while b < blocks:
                    many = min(a[3], 2 if blocks - b == 4 else blocks - b)
                    call(
                        a[many - 1], v + skip + place * v_plane + b * size * CELL, spread, to + b *
                        each * CELL, 1, count, size * CELL, 0, 0, 0, 0, each * CELL,
                    )  # fmt: skip
                    b += many
        at += count
    for i in range((filters + each - 1) // each * blocks):
        call(a[33], u + i * each * CELL, sums + i * 9 * each * CELL, each, plane, each * CELL)
    if a[7] == 0:
        fill(a, tile, sums)


def transform(a, task, scratch):
    """Transform all tiles of a block of x, or of dy; the arguments are those of `winograd`."""
    blocks, of_dy = (a[30] + LANES - 1) // LANES, (a[29] + LANES - 1) // LANES
    size = a[20]
    if task < blocks:
        plane = (blocks * size + 1) * CELL
        transforms(a, 0, size, task, 1, a[38] + task * size * CELL, plane, scratch, 0)
    else:
        task -= blocks
        plane = (of_dy * size + 1) * CELL
        transforms(a, 0, size, task, 1, a[39] + task * size * CELL, plane, scratch, 1)


@numba.njit(inline="always")
def transforms(a, first, count, block, blocks, to, plane, lines, of_dy):
    """Transform some tiles of some blocks of x, or of dy."""
    m, wide, picture, reach, size = a[34], a[35], a[36], a[37], a[20]
    height, width = a[18], a[19]
    t = first
    while t < first + count:
        image, line, left = t // picture, t % picture // wide, t % wide
        some = min(min(wide - left, first + count - t), reach)
        if of_dy:
            dy = a[6] + image * a[16] + block * a[15] + line * m * a[17] + left * m * CELL
            cols = min(some * m, width - left * m)
            call(
                a[32], dy, to + (t - first) * CELL, lines, cols, some * m - cols, min(m, height -
                line * m), some, blocks, a[15], a[17], plane, size * CELL,
            )  # fmt: skip
        else:
            x = a[5] + image * a[14] + block * a[13] + left * m * CELL
            cols = min(some * m + 2, width + 2 - left * m)
            call(
                a[31], x + line * m * a[10], x, to + (t - first) * CELL, lines, cols, some * m + 2 -
                cols, min(m + 2, height + 2 - line * m), some, blocks, a[13], a[10], plane, size *
                CELL,
            )  # fmt: skip
        t += some


def finish(a, task, scratch):
    """Add up the parts of a task of `blocked`, or `winograd`, and fill its share of dw."""
    fill(a, task, a[7] + task * a[23] * a[24])


@numba.njit(inline="always")
def extent(a, tile):
    """Return a task's first filter, filters, first block of channels and blocks."""
    over_filters, over_blocks = a[27], a[28]
    group = tile // (over_filters * over_blocks)
    first = tile // over_blocks % over_filters * a[25]
    filters = min(a[25], a[29] - first)
    low = group * a[30] // LANES
    end = (group * a[30] + a[30] + LANES - 1) // LANES
    block = min(low + tile % over_blocks * a[26], end)
    return group * a[29] + first, filters, block, min(a[26], end - block)


@numba.njit(inline="always")
def clear(address, size):
    for i in range(size // 4):
        store(address + i * 4, 0.0)


@numba.njit(inline="always")
def fill(a, tile, sums):
    """Add up the parts that begin at ``sums``; write what is in a task's filters and channels."""
    each, taps, parts = a[4], a[9] * a[9], a[23]
    first, filters, block, blocks = extent(a, tile)
    begin = first // a[29] * a[30]
    low, high = max(block * LANES, begin), min((block + blocks) * LANES, begin + a[30])
    for i in range(filters):
        start = sums + (i // each * blocks * taps * each + i % each) * CELL
        to = a[8] + (first + i) * a[30] * taps * 4
        for c in range(low, high):
            b = c // LANES - block
            lane = start + b * taps * each * CELL + c % LANES * 4
            for tap in range(taps):
                value = load(lane + tap * each * CELL)
                for part in range(1, parts):
                    value += load(lane + tap * each * CELL + part * a[24])
                store(to + ((c - begin) * taps + tap) * 4, value)


def planar(a, task, scratch):
    """Sum a part of all bands of rows, for a block of filters and all taps of a planar map.

    a  [kernel, groups of taps a kernel takes, x at the first tap, dy, sums, dw, size, channels of
       x, x_step, x_tap_row, x_plane, x_image, dy_plane, dy_image, dy_row, h, w, rows a band, bands,
       bands in all, parts, bytes of a part, filters, filters of a group, channels of a group]
    """
    size, parts = a[6], a[20]
    part, block = task % parts, task // parts
    sums = a[4] + task * a[21] if a[4] else scratch
    clear(sums, a[21])
    for band in range(a[19] * part // parts, a[19] * (part + 1) // parts):
        image, top = band // a[18], band % a[18] * a[17]
        rows = min(a[17], a[15] - top)
        dy = a[3] + image * a[13] + block * a[12] + top * a[14]
        x = a[2] + image * a[11] + top * a[8]
        for line in range(0, a[7] * size, a[1]):
            call(
                a[0], dy, x + line // size * a[10] + line % size * a[9], sums + line * size * CELL,
                rows, a[16], 0, a[14], a[8], a[10], a[9], 0,
            )  # fmt: skip
    if a[4] == 0:
        fill_planar(a, block, sums)


def finish_planar(a, task, scratch):
    """Add up the parts of a block of filters of `planar`, whose arguments these are; fill dw."""
    fill_planar(a, task, a[4] + task * a[20] * a[21])


@numba.njit(inline="always")
def fill_planar(a, block, sums):
    taps = a[6] * a[6]
    for f in range(block * LANES, min((block + 1) * LANES, a[22])):
        begin = f // a[23] * a[24]
        for tap in range(a[24] * taps):
            at = sums + (begin * taps + tap) * CELL + f % LANES * 4
            value = load(at)
            for part in range(1, a[20]):
                value += load(at + part * a[21])
            store(a[5] + (f * a[24] * taps + tap) * 4, value)
