"""Data gradients: bands of rows of one kind of cells, for groups of blocks of channels."""

from .call import call


def phase(a, task, scratch):
    """Compute a band of rows of cells of a picture for a group of blocks of channels of dx.

    a  [kernel of wide and of narrow tiles, how many of them, cells of a wide one, stride of
       columns; dy, w, dx, dy_image, dx_image; rows of cells, rows a band, bands, groups of blocks,
       blocks of a group; channels of dx and of dy in a group of the convolution, blocks of dy, and
       those that a channel of dx sees; rows and columns of taps; dy_plane, dy_line, dy_row, dy_tap,
       w_plane, w_row, w_tap, w_block, dx_plane, dx_row]
    """
    groups, bands, seen = a[14], a[13], a[19]
    group, band, image = task % groups, task // groups % bands, task // (groups * bands)
    top = band * a[12]
    height = min(a[12], a[11] - top)
    block = group * a[15]
    first = min(block * 16 // a[16] * a[17] // 16, a[18] - seen)
    dy = a[6] + image * a[9] + top * a[23] + first * a[22]
    dx = a[8] + image * a[10] + top * a[31] + block * a[30]
    w = a[7] + block * a[29]
    for narrow in range(2):
        if a[2 + narrow]:
            call(
                a[narrow], dy, w, dx, height, a[2 + narrow], seen, a[20], a[21], a[22], a[23],
                a[24], a[25], a[26], a[27], a[28], a[29], a[30], a[31],
            )  # fmt: skip
        dy += a[2] * a[4] * 64
        dx += a[2] * a[4] * a[5] * 64
