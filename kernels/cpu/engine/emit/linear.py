"""Vector code of a matrix times vectors: one line of the matrix, read once for all of them."""

from ..records import CELL, LANES
from .code import Code
from .head import across


def dot(module, name, *, length, lines, images, streams):
    """Write name(w, w_line, x, x_image, y): the sums of products of lines of w with pictures.

    length   of a line and of each picture's x, float32 one after the other, at any address
    lines    how many of w, w_line bytes apart; their sums go 4 bytes apart
    images   how many pictures, x_image bytes apart; their sums go 64 bytes apart
    streams  sums of a line and a picture, which Vectors join in turn
    """
    code = Code(module, name, 5)
    w, w_line, x, x_image, y = code.args
    ws = [code.add(w, code.mul(w_line, i)) for i in range(lines)]
    xs = [code.add(x, code.mul(x_image, i)) for i in range(images)]
    pairs = [(line, image) for line in range(lines) for image in range(images)]
    steps, more = divmod(length // LANES, streams)

    def part(places, sums, stream, count):
        """Add what one Vector of each line and picture gives."""
        taken = [code.load_part(one, count, stream * CELL) for one in places]
        for i, (line, image) in enumerate(pairs):
            at = i * streams + stream
            sums[at] = code.fma(taken[line], taken[lines + image], sums[at])

    def step(_, *carried):
        places, sums = carried[: lines + images], list(carried[lines + images :])
        for stream in range(streams):
            part(places, sums, stream, LANES)
        return [*(code.add(one, streams * CELL) for one in places), *sums]

    carried = [*ws, *xs, *[code.vector(0.0)] * (len(pairs) * streams)]
    if steps:
        carried = code.loop(steps, carried, step)
    places, sums = carried[: lines + images], carried[lines + images :]
    for stream in range(more):
        part(places, sums, stream, LANES)
    if length % LANES:
        part(places, sums, more, length % LANES)
    for i, (line, image) in enumerate(pairs):
        first, *rest = sums[i * streams : (i + 1) * streams]
        for one in rest:
            first = first + one
        total = across(code, first, lambda a, b: a + b)
        code.store_part(total, code.add(y, image * CELL + line * 4), 1)
    code.end()
