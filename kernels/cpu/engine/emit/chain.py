"""Vector code of chains: tiles of one row of a convolution of 1 x 1, whose sums may be parts.

What a chain reads and writes lies in the first cache, so nothing is fetched ahead.
"""

from ..records import CELL
from .code import Code
from .correlate import finish, sums


def pointwise(module, name, *, filters, cells, unroll, begin, activation, residual):
    """Write name(x, w, s, y, r, tiles, blocks, steps, x_plane, w_block, y_plane, r_plane).

    filters   blocks of 16 filters; w has [filter block][block of x][16 of x][16 filters]
    cells     of a tile
    unroll    channels of x a step
    begin     what sums begin with: "bias", a Vector a block at s, or "sums", what lies at y
    residual  "none"; "after" adds the map at r to what the activation gives, "before" to what goes
              in
    tiles, blocks, steps  tiles of the row; blocks of x; channels of a block, divided by ``unroll``
    w_block   bytes from a block of filters to the next
    """
    code = Code(module, name, 12)
    x, w, s, y, r, tiles, blocks, steps, x_plane, w_block, y_plane, r_plane = code.args
    spots = [(0, p * CELL) for p in range(cells)]

    def tile(_, x, y, r):
        outs = [code.add(y, code.mul(y_plane, i)) for i in range(filters)]
        others = [code.add(r, code.mul(r_plane, i)) for i in range(filters)]
        if begin == "sums":
            start = [code.load(one, p * CELL) for one in outs for p in range(cells)]
        else:
            start = [code.load(s, i * CELL) for i in range(filters) for _ in range(cells)]
        taken = sums(
            code, x, w, start, (blocks, 1, 1, steps), (x_plane, 0, 0, w_block),
            filters=filters, unroll=unroll, spots=spots,
        )  # fmt: skip
        for i in range(filters):
            part = taken[i * cells : (i + 1) * cells]
            finish(code, part, outs[i], others[i], activation, residual)
        far = cells * CELL
        return [code.add(one, far) for one in (x, y, r)]

    code.loop(tiles, [x, y, r], tile)
    code.end()
