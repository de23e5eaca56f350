"""Convolutions of each channel alone, and their gradients: bands of rows of one block."""

from .call import call, load, store


def rows(a, task, scratch):
    """Compute a band of rows of one block of one picture.

    a  [kernel, last kernel, tiles, cells of the tiles, cells left, w, bytes of w a block, bias,
       blocks, bands, rows a band, rows of y, x_row of taps, x_step of rows, bytes of x a cell of y,
       then address, image, plane of x; address, image, plane, row of y and of r; size; bytes of
       biases a block]
    """
    blocks, bands, each = a[8], a[9], a[10]
    band = task % bands
    block = task // bands % blocks
    image = task // (bands * blocks)
    first = band * each
    count = min(first + each, a[11]) - first
    w = a[5] + block * a[6]
    bias = a[7] + block * a[27]
    x = a[15] + image * a[16] + block * a[17] + first * a[13]
    y = a[18] + image * a[19] + block * a[20] + first * a[21]
    r = a[22] + image * a[23] + block * a[24] + first * a[25]
    if a[2]:
        call(a[0], x, w, bias, y, r, a[12], a[13], a[21], a[25], count, a[2], a[26])
    if a[4]:
        done = a[3]
        x += done * a[14]
        call(
            a[1],
            x,
            w,
            bias,
            y + done * 64,
            r + done * 64,
            a[12],
            a[13],
            a[21],
            a[25],
            count,
            1,
            a[26],
        )


def pack(a, task, scratch):
    """Write the weights (c, 1, k, k) of one block as [k][k][16], zeros beyond c.

    a  [w, packed, c, k * k, turned]
    """
    c, taps = a[2], a[3]
    to = a[1] + task * taps * 64
    for lane in range(16):
        channel = task * 16 + lane
        for k in range(taps):
            value = 0.0
            if channel < c:
                value = load(a[0] + (channel * taps + k) * 4)
            place = taps - 1 - k if a[4] else k
            store(to + place * 64 + lane * 4, value)


def input_grad(a, task, scratch):
    """Compute a band of rows of one block of the gradient of x.

    a  [kernel, last kernel, tiles, cells of the tiles, cells left, w, bytes of w a block, zeros,
       blocks, bands, rows a band, rows of dx, size, stride, padding, dilation,
       then address, image, plane, row of dy and of dx]
    """
    blocks, bands, each = a[8], a[9], a[10]
    size, stride, padding, dilation = a[12], a[13], a[14], a[15]
    band = task % bands
    block = task // bands % blocks
    image = task // (bands * blocks)
    dy0 = a[16] + image * a[17] + block * a[18]
    dx0 = a[20] + image * a[21] + block * a[22]
    for i in range(band * each, min((band + 1) * each, a[11])):
        first = 0
        while first < size and (i + padding - first * dilation) % stride:
            first += 1
        step = 1
        while step * dilation % stride:
            step += 1
        count = (size - first + step - 1) // step
        row = (i + padding - first * dilation) // stride
        dx = dx0 + i * a[23]
        if first >= size:
            call(a[7], 0, 0, 0, dx, 0, 0, 0, a[23], 1, a[3] + a[4], 0)
            continue
        dy = dy0 + row * a[19]
        w = a[5] + block * a[6] + first * size * 64
        far = -(step * dilation // stride) * a[19]
        if a[2]:
            call(a[0], dy, w, dx, far, step * size * 64, count, a[2])
        if a[4]:
            done = a[3]
            dy += done // stride * 64
            call(a[1], dy, w, dx + done * 64, far, step * size * 64, count, 1)


def weight_grad(a, task, scratch):
    """Sum dy x over a band of rows of one block of one picture, for all taps.

    a  [kernel, last kernel, lines a kernel, sums, blocks, bands, rows a band, rows of dy, columns,
       size, x_row of taps, x_step of rows, then address, image, plane, row of dy; address, image,
       plane of x]; sums are [picture and band][block][size][size][16]
    """
    blocks, bands, each, size = a[4], a[5], a[6], a[9]
    block = task % blocks
    part = task // blocks
    image, band = part // bands, part % bands
    first = band * each
    count = min(first + each, a[7]) - first
    dy = a[12] + image * a[13] + block * a[14] + first * a[15]
    x = a[16] + image * a[17] + block * a[18] + first * a[11]
    to = a[3] + task * size * size * 64
    line = 0
    while line < size:
        kernel = a[0]
        if line + a[2] > size:
            kernel = a[1]
        call(kernel, dy, x + line * a[10], to + line * size * 64, a[15], a[10], a[11], count, a[8])
        line += a[2]


def gather(a, task, scratch):
    """Add the sums of all bands of one block, and write them as (c, 1, k, k).

    a  [kernel, sums, parts, blocks, c, k * k, dw]
    """
    taps = a[5]
    from_ = a[1] + task * taps * 64
    for k in range(taps):
        call(a[0], from_ + k * 64, scratch + k * 64, a[2], a[3] * taps * 64)
    for lane in range(min(16, a[4] - task * 16)):
        to = a[6] + (task * 16 + lane) * taps * 4
        for k in range(taps):
            store(to + k * 4, load(scratch + k * 64 + lane * 4))
