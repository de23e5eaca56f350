"""Sixteen filters times sixteen channels of weights, transposed in registers."""

from ..records import CELL, LANES
from .code import Code

TAP = LANES * CELL


def block(module, name, *, turned):
    """Write name(w, line, to, taps, room).

    w       16 filters, ``line`` bytes apart, each [16 channels][taps]
    to      [taps][16 channels][16 filters], or if ``turned`` [taps, from the last][16 filters][16
            channels]
    room    memory for as much, used if ``turned``
    """
    code = Code(module, name, 5)
    w, line, to, taps, room = code.args
    builder = code.builder
    where = room if turned else to

    def spread(i, tap, at):
        """Place sixteen numbers of each filter, which may be of several channels and taps."""
        begin = code.mul(i, CELL)
        lines = [code.load(code.add(w, code.mul(line, f)), begin, align=4) for f in range(LANES)]
        for one in transposed(code, lines):
            code.store(one, code.add(where, at))
            last = builder.icmp_signed("==", tap, final)
            tap = builder.select(last, code.integer(0), code.add(tap, 1))
            at = code.add(at, builder.select(last, back, code.integer(TAP)))
        return [tap, at]

    def turn(i, to):
        lines = [code.load(room, code.add(code.mul(i, TAP), c * CELL)) for c in range(LANES)]
        for f, one in enumerate(transposed(code, lines)):
            code.store(one, to, f * CELL)
        return [code.add(to, -TAP)]

    final = code.add(taps, -1)
    back = builder.sub(code.integer(CELL), code.mul(final, TAP))  # to the next channel's first tap
    code.loop(taps, [0, 0], spread)
    if turned:
        code.loop(taps, [code.add(to, code.mul(final, TAP))], turn)
    code.end()


def transposed(code, lines):
    """Return sixteen Vectors as columns of sixteen Vectors that are lines."""
    size = 1
    while size < LANES:  # in squares of size x size, exchange the two off the diagonal
        low = [k + LANES * (k & size != 0) - size * (k & size != 0) for k in range(LANES)]
        high = [one + size for one in low]
        lines = list(lines)
        for i in range(LANES):
            if not i & size:
                a, b = lines[i], lines[i + size]
                lines[i], lines[i + size] = code.shuffle(a, b, low), code.shuffle(a, b, high)
        size *= 2
    return lines
