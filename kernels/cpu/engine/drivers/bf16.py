"""Convolutions and what goes with them over bf16 maps: cells of 32 channels, 64 bytes."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .call import call, load


def rows(a, task, scratch):
    """Compute one band of rows of one picture for some groups of 32 filters.

    A kernel computes the sums of one pair of runs, and biases, activates and stores those of the
    pair before, which is why the last call is of a kernel of no run.

    a  [kernels of two runs (or 0), of one and of none, that configure and release tiles (or 0),
       x, w, bias, y, r, blocks of x, rows and columns of taps, x_plane, x_row, x_tap, y_plane,
       bytes of a group in w, y and r, strides of rows and columns in bytes of x, y_row, r_row,
       lines and width (of y, and before pooling), cells of a run, rows of a line, bands, groups a
       task, groups, tasks over groups, x_image, y_image, r_image, pool (0 or 1), lines of the cache
       to fetch in a call, 1 if the last group has 16 filters, 1 if runs go on from row to row,
       cells of x in a row of them]
    """
    two, one, none, configure, release = a[0], a[1], a[2], a[3], a[4]
    blocks, taps, cols, x_plane, x_row, x_tap = a[10], a[11], a[12], a[13], a[14], a[15]
    down, right, y_row, r_row = a[20], a[21], a[22], a[23]
    width, cells, bands, each, groups, shares = a[25], a[26], a[28], a[29], a[30], a[31]
    pool, lines, pitch = a[35], a[36], a[39]
    share = task % shares
    band = task // shares % bands
    image = task // (shares * bands)
    first = band * a[24] // bands * a[27]
    end = (band + 1) * a[24] // bands * a[27]
    length = width
    if a[38]:
        length += (end - first - 1) * pitch
        end = first + 1
    y_wrap, r_wrap = y_row - 64 * pitch, r_row - 64 * pitch
    tail = (width, pitch, y_wrap, r_wrap, scratch)
    steps = (blocks, taps, cols, x_plane, x_row, x_tap)
    done = (a[7], 0, 0, 0, 0, cells, cells, 0, 0, 0)
    if configure:
        call(configure)
    for g in range(share * each, min((share + 1) * each, groups)):
        x0 = a[5] + image * a[32]
        w = a[6] + g * a[17]
        bias = a[7] + g * 128
        y0 = a[8] + image * a[33] + g * a[18]
        r0 = a[9] + image * a[34] + g * a[19]
        y_plane = a[16] if g + 1 < groups or not a[37] else 0
        following = w + a[17] if g + 1 < groups else w
        last = following + a[17] - lines * 64
        ahead = following
        i = first
        start = 0
        while i < end:
            j = min(start, length - cells)
            row = start // pitch
            col = start - row * pitch
            x = x0 + i * down + j * right
            y = y0 + (i + row >> pool) * y_row + (col >> pool) * 64
            r = r0 + (i + row) * r_row + col * 64
            skip = start - j
            after = start + cells
            i2, start2 = i, after
            if pool:
                i2, start2 = i + 1, start
            elif after >= length:
                i2, start2 = i + 1, 0
            if two and i2 < end:
                j2 = min(start2, length - cells)
                row = start2 // pitch
                col2 = start2 - row * pitch
                x2 = x0 + i2 * down + j2 * right
                y2 = y0 + (i2 + row) * y_row + col2 * 64
                r2 = r0 + (i2 + row) * r_row + col2 * 64
                call(two, x, x2, w, ahead, *steps, *done, *tail)
                done = (bias, y, y2, r, r2, skip, start2 - j2, col, col2, y_plane)
                if pool:
                    i2, start2 = i, after
                    if after >= length:
                        i2, start2 = i + 2, 0
                elif start2 + cells >= length:
                    i2, start2 = i2 + 1, 0
                else:
                    start2 += cells
            else:
                call(one, x, x, w, ahead, *steps, *done, *tail)
                done = (bias, y, y, r, r, skip, cells, col, col, y_plane)
            i, start = i2, start2
            ahead = min(ahead + lines * 64, last)
    call(none, 0, 0, 0, 0, *steps, *done, *tail)
    if release:
        call(release)


def pack(a, task, scratch):
    """Write the weights of 32 filters and a block of channels as bf16.

    a  [w, packed, filters, channels, rows and columns of taps, blocks, columns that a step has side
       by side (8, or 0 for one), steps]
    """
    filters, channels, taps, blocks, beside, steps = a[2], a[3], a[4], a[5], a[6], a[7]
    group, block = task // blocks, task % blocks
    to = a[1] + task * taps * steps * 2048
    for row in range(taps):
        for step in range(steps):
            for at in range(1024):  # [2][16 pairs][16 filters][2]
                lane = at >> 4 & 30 | at & 1
                f = group * 32 + (at >> 9 << 4 | at >> 1 & 15)
                c, col = block * 32 + lane, step
                if beside:
                    c, col = lane & 3, step * beside + (lane >> 2)
                value = 0.0
                if f < filters and c < channels and col < taps:
                    value = load(a[0] + 4 * (((f * channels + c) * taps + row) * taps + col))
                store_rounded(to, value)
                to += 2


def interleave(a, task, scratch):
    """Write one row of a planar float32 map as cells of 4 bf16.

    a  [kernel, vectors, numbers of a row, height, x, x_image, x_plane, x_row, y, y_image, y_row]
    """
    i, image = task % a[3], task // a[3]
    x = a[4] + image * a[5] + i * a[7]
    call(a[0], x, a[6], a[8] + image * a[9] + i * a[10], a[2], a[1])


def maximum(a, task, scratch):
    """Write one row of one block of maxima of windows, clipped to the map.

    a  [kernel, blocks, height and width of x, height and width of y, size, strides of rows and
       columns, cells before the first, x, x_image, x_plane, x_row, y, y_image, y_plane, y_row]
    """
    width, size, right, before = a[3], a[6], a[8], a[9]
    i = task % a[4]
    block = task // a[4] % a[1]
    image = task // (a[4] * a[1])
    top = max(i * a[7] - before, 0)
    rows = min(i * a[7] - before + size, a[2]) - top
    x = a[10] + image * a[11] + block * a[12] + top * a[13]
    y = a[14] + image * a[15] + block * a[16] + i * a[17]
    j = 0
    while j < a[5]:
        left = max(j * right - before, 0)
        cols = min(j * right - before + size, width) - left
        count = 1
        if cols == size:
            count = min((width - size - left) // right, a[5] - 1 - j) + 1
        call(a[0], x + left * 64, y + j * 64, count, rows, cols, a[13])
        j += count


@intrinsic
def store_rounded(typing, address, value):
    """Write a float32 to an address as bf16, rounded to the nearest, ties to even."""

    def generate(context, builder, signature, values):
        short, word = ir.IntType(16), ir.IntType(32)
        bits = builder.bitcast(values[1], word)
        odd = builder.and_(builder.lshr(bits, word(16)), word(1))
        sum_ = builder.add(builder.add(bits, word(0x7FFF)), odd)
        high = builder.trunc(builder.lshr(sum_, word(16)), short)
        builder.store(high, builder.inttoptr(values[0], short.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), generate
