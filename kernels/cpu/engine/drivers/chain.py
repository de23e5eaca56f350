"""Chains of convolutions that hand each other rows within the first cache: stripes of y."""

from numba.extending import register_jitable

from .call import call, put, store, word

CHUNKS, GROUPS = 40, 56  # where the numbers of the two kinds of chunks, and of groups, begin
CHUNK, GROUP = 8, 11  # and how many each has


def rows(a, task, scratch):
    """Compute a stripe of rows of y of one picture, for one chunk of channels after the other.

    a  [stripes, rows of y, stride, size, padding, rows of x, then address, image, plane and row of
       x, of y and of r; blocks of x that are expanded (0: none are), steps in each, weights,
       biases, bytes of weights a block of filters; bytes of a block and of a row of the ring,
       address of a row of zeros; weights and biases of the channels alone, bytes of weights a
       block; kernel, tiles, bytes of y that they fill, last kernel, whether there is one; weights
       (0: none) and biases of the projection, bytes of weights a block of filters; blocks of
       channels, bytes of a block of what is projected, its offset in scratch; then for both kinds
       of chunks: blocks, how many chunks, blocks of filters a call, kernel and number of wide
       tiles, of narrow tiles, bytes before those; then for both kinds of groups of filters of the
       projection: blocks, how many groups, wide tiles, narrow tiles, bytes before those, kernels
       for both of the first chunk, of others, of the last; steps in a block of what is projected]
    """
    stripe, image = task % a[0], task // a[0]
    first, last = stripe * a[1] // a[0], (stripe + 1) * a[1] // a[0]
    x, y, r = a[6] + image * a[7], a[10] + image * a[11], a[14] + image * a[15]
    stride, size, padding = a[2], a[3], a[4]
    ring = scratch + 64
    if a[18]:
        clear(ring, a[23], size * a[24] // a[23], padding * 64)
    block = 0
    for kind in range(CHUNKS, CHUNKS + 2 * CHUNK, CHUNK):
        for _ in range(a[kind + 1]):
            ready = max(0, first * stride - padding)
            for row in range(first, last):
                top = row * stride - padding
                while a[18] and ready < min(a[5], top + size):
                    expand(a, kind, block, x + ready * a[9], ring + ready % size * a[24])
                    ready += 1
                apart(a, kind, block, top, scratch, x, y + row * a[13])
                if a[34]:
                    project(a, kind, block, scratch + a[39], y + row * a[13], r + row * a[17])
            block += a[kind]


@register_jitable
def clear(ring, plane, planes, side):
    """Write zeros on both sides of each row of the ring."""
    for i in range(planes):
        for k in range(0, side, 4):
            store(ring + i * plane + k, 0.0)
            store(ring + (i + 1) * plane - side + k, 0.0)


@register_jitable
def expand(a, kind, block, x, to):
    """Compute one row of a chunk's channels."""
    to += a[4] * 64
    for i in range(0, a[kind], a[kind + 2]):
        w, s = a[20] + (block + i) * a[22], a[21] + (block + i) * 64
        y = to + i * a[23]
        for narrow in range(2):
            if a[kind + 4 + 2 * narrow]:
                far = narrow * a[kind + 7]
                call(
                    a[kind + 3 + 2 * narrow], x + far, w, s, y + far, y + far,
                    a[kind + 4 + 2 * narrow], a[18], a[19], a[8], a[22], a[23], a[23],
                )  # fmt: skip


@register_jitable
def apart(a, kind, block, top, scratch, x, y):
    """Compute one row of a chunk's channels, each of them alone: for the projection, or of y."""
    ring, lines = scratch + 64, scratch
    side = a[4] * 64
    for i in range(a[kind]):
        for k in range(a[3]):
            row = top + k
            if a[18] == 0:
                at = x + (block + i) * a[8] + row * a[9] - side
            elif row < 0 or row >= a[5]:
                at = a[25]
            else:
                at = ring + row % a[3] * a[24] + i * a[23]
            put(lines + 8 * k, at)
        w, s = a[26] + (block + i) * a[28], a[27] + (block + i) * 64
        to = scratch + a[39] + i * a[38] if a[34] else y + (block + i) * a[12]
        if a[30]:
            call(a[29], lines, w, s, to, a[30], a[3])
        if a[33]:
            for k in range(a[3]):
                put(lines + 8 * k, word(lines + 8 * k) + a[31] * a[2])
            call(a[32], lines, w, s, to + a[31], 1, a[3])


@register_jitable
def project(a, kind, block, x, y, r):
    """Add what a chunk's channels give to one row of y, for all filters."""
    part = 5 if block == 0 else 9 if block + a[kind] == a[37] else 7
    filters = 0
    for group in range(GROUPS, GROUPS + 2 * GROUP, GROUP):
        for _ in range(a[group + 1]):
            w, s = a[34] + filters * a[36] + block * 1024, a[35] + filters * 64
            to, other = y + filters * a[12], r + filters * a[16]
            for narrow in range(2):
                if a[group + 2 + narrow]:
                    far = narrow * a[group + 4]
                    call(
                        a[group + part + narrow], x + far, w, s, to + far, other + far,
                        a[group + 2 + narrow], a[kind], a[78], a[38], a[36], a[12], a[16],
                    )  # fmt: skip
            filters += a[group]
