"""Winograd's convolution: blocks of tiles times groups of filters."""

from numba.extending import register_jitable

from .call import call


def weights(a, task, scratch):
    """Transform the weights of 16 filters for some channels.

    a  [kernel, w, u, filters, channels, channels in whole blocks, bytes of w from filter to filter
       and from channel to channel, blocks of filters of a group, places, channels a task, tasks a
       block of filters, blocks of filters]
    """
    filters, channels, depth, group, places, each = a[3], a[4], a[5], a[8], a[9], a[10]
    block = task // a[11]
    first = task % a[11] * each
    count = min(each, depth - first)
    inside = max(0, min(count, channels - first))
    base = block // group * group
    wide = min(group, a[12] - base) * 64
    u = a[2] + base * places * depth * 64 + (block - base) * 64 + first * wide
    w = a[1] + block * 16 * a[6] + min(first, channels - 1) * a[7]
    few = min(16, filters - block * 16)
    call(a[0], w, u, few, inside, count, a[6], a[7], depth * wide, wide)


def tiles(a, task, scratch):
    """Transform a block of tiles, multiply it with a share of the filters, and transform back.

    The last block begins earlier where blocks are not whole; what others fill, it leaves alone.

    a  [kernels: transform_cells, multiply, multiply of the last group, restore_cells; 4: steps (1
       into, 2 products and back, 3 both), v (0: in scratch), x, u, bias, y, r, 11: m, tiles a
       block, tiles, of a picture, of a line, 16: rows and columns of x, blocks of x, of filters,
       20: x_image, x_plane, x_row, y_image, y_plane, y_row, r_image, r_plane, r_row,
       29: v_block, v_plane, bytes of v a block of tiles, out_plane, 33: filter blocks of a group,
       groups multiplied together, groups (or blocks of x) a task, tasks a block of tiles,
       37: tiles of a line at once, whether pooled, bytes of the lines, 40: rows and columns of the
       convolution, cells of x from a tile to the next, of a row of a tile]
    """
    places = a[43] * a[43]
    own = task // a[36] * a[12]
    share = task % a[36] * a[35]
    first = min(own, a[13] - a[12])
    out = scratch + a[39]
    v = out + a[34] * places * a[32]
    if a[5] != 0:
        v = a[5] + task // a[36] * a[31]
    if a[4] == 1:
        into(a, first, share, min(a[35], a[18] - share), v, scratch)
    if a[4] == 3:
        into(a, first, 0, a[18], v, scratch)
    if a[4] != 1:
        groups = (a[19] + a[33] - 1) // a[33]
        end = min(share + a[35], groups)
        for g in range(share, end, a[34]):
            last = min(g + a[34], end)
            products(a, g, last, places, v, out)
            back(a, g, last, places, first, own, out, scratch)


@register_jitable
def into(a, first, start, blocks, v, scratch):
    """Transform the cells of a block of tiles, for blocks of channels from ``start`` on."""
    step, s = a[42], a[43]
    t = first
    while t < first + a[12]:
        line, at = t % a[14] // a[15], t % a[15]
        count = min(min(a[15] - at, first + a[12] - t), a[37])
        x = a[6] + t // a[14] * a[20] + start * a[21] + at * step * 64
        to = v + (t - first) * 64 + start * a[29]
        wide = (count - 1) * step + s
        cols = min(wide, a[17] + 2 - at * step)
        rows = min(s, a[16] + 2 - line * step)
        call(
            a[0], x + line * step * a[22], x, to, scratch, cols, wide - cols, rows, count, blocks,
            a[21], a[22], a[30], a[29],
        )  # fmt: skip
        t += count


@register_jitable
def products(a, g, last, places, v, out):
    """Multiply a block of tiles with groups g..last; of several, place by place."""
    depth, group = a[18] * 1024, a[33]
    at_once = places if last - g == 1 else 1
    for p in range(0, places, at_once):
        for i in range(g, last):
            few = min(group, a[19] - i * group)
            kernel = a[1] if few == group else a[2]
            u = a[7] + (i * group * places + p * few) * depth
            following = u + few * depth  # the next place's
            if at_once == 1:  # the next group's, or the first one's of the next place
                j, q = (i + 1, p) if i + 1 < last else (g, p + 1)
                few = min(group, a[19] - j * group)
                following = a[7] + (j * group * places + q * few) * depth
            call(
                kernel, v + p * a[30], u, out + ((i - g) * places + p) * a[32], at_once, a[12],
                a[18], a[30], a[29], a[32], a[12] * 64, following - u,
            )  # fmt: skip


@register_jitable
def back(a, g, last, places, first, own, out, scratch):
    """Transform products back into y, from tile ``own`` on."""
    m, group, half = a[11], a[33], a[38]
    end = min(own + a[12], a[13])
    for i in range(g, last):
        few = min(group, a[19] - i * group)
        t = own
        while t < end:
            image, line, at = t // a[14], t % a[14] // a[15], t % a[15]
            count = min(min(a[15] - at, end - t), a[37])
            row, col = line * m, at * m
            y = (
                a[9]
                + image * a[23]
                + i * group * a[24]
                + (row >> half) * a[25]
                + (col >> half) * 64
            )
            r = a[10] + image * a[26] + i * group * a[27] + row * a[28] + col * 64
            call(
                a[3], out + (i - g) * places * a[32] + (t - first) * 64, a[8] + i * group * 64, y,
                r, scratch, few, count, min(m, a[40] - row), min(count * m, a[41] - col), a[32],
                a[12] * 64, a[24], a[25], a[27], a[28],
            )  # fmt: skip
            t += count
