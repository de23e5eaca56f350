"""Vector code for rows of pictures."""

from ..records import CELL, LANES
from .code import Code


def mix(module, name, *, whole, rest):
    """Write name(x0, x1, y, shares, vectors): y = x0 shares[0] + x1 shares[1], for one row.

    whole, rest  whether there are whole vectors, and what remains: y is written so far, x0 and x1
                 are read to the end of a vector

    Each product and the sum are rounded, as in array code.
    """
    code = Code(module, name, 5)
    x0, x1, y, shares, vectors = code.args
    p, q = code.spread(shares), code.spread(shares, 4)

    def body(at, count):
        value = code.load(at[0], align=4) * p + code.load(at[1], align=4) * q
        code.store_part(value, at[2], count)

    def each(_, *at):
        body(at, LANES)
        return [code.add(one, CELL) for one in at]

    at = code.loop(vectors, [x0, x1, y], each) if whole else [x0, x1, y]
    if rest:
        body(at, rest)
    code.end()
