"""Direct convolution: bands of rows times groups of filters, vector code along the rows."""

from .call import call

SHAPE = 27  # where the numbers of the kernels begin
KINDS = SHAPE + 12  # and those of the two kinds of groups, eight each


def rows(a, task, scratch):
    """Compute one band of rows of one picture for some groups of blocks of filters.

    a  [x, w, bias, y, r, x_image, y_image, r_image, shares, bands, groups, height, bytes of x, of y
       and of r from a row of tiles to the next, y_plane, r_plane, bytes of w and of bias a block of
       filters, filters and channels of a group of the convolution, x_plane, blocks of x that a
       filter sees, blocks of x, tasks from a share and from a band to the next, 0, then what
       `tiles` of emit/correlate.py takes from ``blocks`` on, then for both kinds of groups: blocks
       of filters, how many groups, kernel and number of wide tiles, of narrow tiles, bytes of x and
       of y before the narrow ones]
    """
    shares, bands, groups, height = a[8], a[9], a[10], a[11]
    share = task // a[24] % shares
    band = task // a[25] % bands
    image = task // (shares * bands)
    top = band * height // bands
    count = (band + 1) * height // bands - top
    x0 = a[0] + image * a[5] + top * a[12]
    y0 = a[3] + image * a[6] + top * a[13]
    r0 = a[4] + image * a[7] + top * a[14]
    many, first = a[KINDS + 1], a[KINDS]
    for g in range(share * groups // shares, (share + 1) * groups // shares):
        if g < many:
            kind = KINDS
            block = g * first
        else:
            kind = KINDS + 8
            block = many * first + (g - many) * a[kind]
        seen = min(block * 16 // a[19] * a[20] // 16, a[23] - a[22])
        x = x0 + seen * a[21]
        y = y0 + block * a[15]
        r = r0 + block * a[16]
        w = a[1] + block * a[17]
        bias = a[2] + block * a[18]
        for narrow in range(2):
            kernel, tiles = a[kind + 2 + 2 * narrow], a[kind + 3 + 2 * narrow]
            if tiles:
                call(
                    kernel, x + narrow * a[kind + 6], w, bias, y + narrow * a[kind + 7],
                    r + narrow * a[kind + 7], count, tiles, a[27], a[28], a[29], a[30], a[31],
                    a[32], a[33], a[34], a[35], a[36], a[37], a[38],
                )  # fmt: skip
