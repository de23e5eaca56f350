"""Between planar maps and blocked ones; moves of cells to other channels."""

import numba

from .call import call, load, store


def turn(a, task, scratch):
    """Turn a band of rows of one block of one picture.

    a  [kernel, its last, those of the last block, blocks, bands, rows a band, rows, tiles, cells of
       the tiles, cells left, table, its bytes a block, bytes from channel to channel, address,
       image, block, row, cell of x, and of y]
    """
    blocks, bands, each = a[4], a[5], a[6]
    band = task % bands
    block = task // bands % blocks
    image = task // (bands * blocks)
    main, last = a[0], a[1]
    if block == blocks - 1:
        main, last = a[2], a[3]
    first = band * each
    rows = min(first + each, a[7]) - first
    table = a[11] + block * a[12]
    x = a[14] + image * a[15] + block * a[16] + first * a[17]
    y = a[19] + image * a[20] + block * a[21] + first * a[22]
    if a[8]:
        call(main, x, y, table, a[13], a[17], a[22], rows, a[8])
    if a[10]:
        call(last, x + a[9] * a[18], y + a[9] * a[23], table, a[13], a[17], a[22], rows, 1)


@numba.njit
def place(a, i, channel):
    """Return where a channel of a picture begins; a[i:] has a map's plane, channels a block."""
    block = a[i + 1]
    return channel // block * a[i] + channel % block * 4


def move(a, task, scratch):
    """Copy one channel of the deep map from, or to, every stride-th cell of one of the wide map.

    a  [channels of the deep map and of the wide, h, w, stride, whether from the wide to the deep,
       address, image, row of the deep map, its plane and channels a block, and of the wide]
    """
    wide_channels, s = a[1], a[4]
    channel = task % a[0]
    image = task // a[0]
    offset = channel // wide_channels
    deep = a[6] + image * a[7] + place(a, 9, channel)
    wide = a[11] + image * a[12] + place(a, 14, channel % wide_channels)
    wide += offset // s * a[13] + offset % s * a[15] * 4
    for i in range(a[2]):
        for j in range(a[3]):
            one = deep + i * a[8] + j * a[10] * 4
            other = wide + i * s * a[13] + j * s * a[15] * 4
            if a[5]:
                store(one, load(other))
            else:
                store(other, load(one))
