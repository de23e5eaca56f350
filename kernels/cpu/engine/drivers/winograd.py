"""Winograd's convolution: blocks of tiles times groups of filters."""

from .call import call


def weights(a, task, scratch):
    """Transform the weights of 16 filters.

    a  [kernel, w, u, filters, channels, blocks of channels, bytes of w from filter to filter, from
    channel to channel,
       blocks of filters of a group, places, channels a task, tasks of a filter block, blocks of
       filters]
    """
    filters, channels, depth, group, places, each, shares = (
        a[3],
        a[4],
        a[5] * 16,
        a[8],
        a[9],
        a[10],
        a[11],
    )
    block = task // shares
    first = task % shares * each
    count = min(each, depth - first)
    inside = max(0, min(count, channels - first))
    base = block // group * group
    wide = min(group, a[12] - base) * 64
    u = a[2] + base * places * depth * 64 + (block - base) * 64 + first * wide
    w = a[1] + block * 16 * a[6] + min(first, channels - 1) * a[7]
    call(a[0], w, u, min(16, filters - block * 16), inside, count, a[6], a[7], depth * wide, wide)


def tiles(a, task, scratch):
    """Transform a block of tiles, multiply it with groups of filters, and transform back.

    a  [transform, multiply, multiply of the last group, restore, what to do (1 transform, 2
    multiply and restore),
       v or 0 (in scratch), x, u, bias, y, r, m, tiles a block, tiles, tiles of a picture, tiles of
       a line,
       rows of the map, columns, blocks of x, blocks of filters, x_image, x_plane, x_row, y_image,
       y_plane,
       y_row, r_image, r_plane, r_row, v_block, v_plane, bytes of v a block of tiles, out_plane,
       blocks of filters
       of a group, groups whose products are made together, groups (or blocks of x) a task, tasks
       of a
       block of tiles, tiles of a line at once, 1 if pooled, bytes of the lines]
    """
    do, m, size, total, each, wide = a[4], a[11], a[12], a[13], a[14], a[15]
    height, width, depth, filters = a[16], a[17], a[18], a[19]
    v_block, v_plane, out_plane, group, together = a[29], a[30], a[32], a[33], a[34]
    block = task // a[36]
    share = task % a[36]
    own = block * size
    end = min(own + size, total)
    first = min(own, total - size)
    s = m + 2
    places = s * s
    out_group = places * out_plane
    out = scratch + a[39]
    v = a[5] + block * a[31]
    if a[5] == 0:
        v = out + together * out_group
    if do & 1:
        start, blocks = 0, depth
        if do == 1:
            start = share * a[35]
            blocks = min(a[35], depth - start)
        t = first
        while t < first + size:
            image = t // each
            line = t % each // wide
            at = t % wide
            count = min(min(wide - at, first + size - t), a[37])
            x = a[6] + image * a[20] + start * a[21] + at * m * 64
            cols = min(count * m + 2, width + 2 - at * m)
            call(
                a[0],
                x + line * m * a[22],
                x,
                v + (t - first) * 64 + start * v_block,
                scratch,
                cols,
                count * m + 2 - cols,
                min(s, height + 2 - line * m),
                count,
                blocks,
                a[21],
                a[22],
                v_plane,
                v_block,
            )
            t += count
    if do & 2:
        groups = (filters + group - 1) // group
        g = 0
        stop = groups
        if do == 2:
            g = share * a[35]
            stop = min(g + a[35], groups)
        points = places
        if together > 1:
            points = 1
        while g < stop:
            last = min(g + together, stop)
            p = 0
            while p < places:
                for i in range(g, last):
                    few = min(group, filters - i * group)
                    kernel = a[1]
                    if few < group:
                        kernel = a[2]
                    call(
                        kernel,
                        v + p * v_plane,
                        a[7] + (i * group * places + p * few) * depth * 1024,
                        out + (i - g) * out_group + p * out_plane,
                        points,
                        size,
                        depth,
                        v_plane,
                        v_block,
                        out_plane,
                        size * 64,
                    )
                p += points
            for i in range(g, last):
                few = min(group, filters - i * group)
                t = own
                while t < end:
                    image = t // each
                    line = t % each // wide
                    at = t % wide
                    count = min(min(wide - at, end - t), a[37])
                    y = (
                        image * a[23]
                        + i * group * a[24]
                        + (line * m >> a[38]) * a[25]
                        + (at * m >> a[38]) * 64
                    )
                    r = image * a[26] + i * group * a[27] + line * m * a[28] + at * m * 64
                    call(
                        a[3],
                        out + (i - g) * out_group + (t - first) * 64,
                        a[8] + i * group * 64,
                        a[9] + y,
                        a[10] + r,
                        scratch,
                        few,
                        count,
                        min(m, height - line * m),
                        min(count * m, width - at * m),
                        out_plane,
                        size * 64,
                        a[24],
                        a[25],
                        a[27],
                        a[28],
                    )
                    t += count
            g = last
