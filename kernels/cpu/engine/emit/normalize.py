"""Sweeps over a band of rows of one block of channels: batch normalisation, there and back.

All are name(a, b, c, rows, cells, a_row, b_row, c_row, numbers, sums): up to three maps and their
strides from row to row, Vectors of numbers of the 16 channels, and where Vectors of sums go.
"""

from llvmlite import ir

from ..records import CELL
from .activation import activate, slope
from .code import INT, Code

COPIES = 4  # sums side by side, so that none waits for the one before


def moments(module, name):
    """Write a's mean m, the sum of a - m, which is rounding, and that of its squares.

    1 / cells is at ``numbers``.
    """
    code, a, _, _, numbers, to = begin(module, name)
    (total,) = sweep(code, [a], 1, lambda at, taken: [taken[0] + code.load(at[0])])
    mean = total * code.spread(numbers)

    def body(at, taken):
        less = code.load(at[0]) - mean
        return [taken[0] + less, code.fma(less, less, taken[1])]

    for i, value in enumerate([mean, *sweep(code, [a], 2, body)]):
        code.store(value, to, i * CELL)
    code.end()


def normalize(module, name, *, activation):
    """Write b, the activation of (a - mean) * factor + bias; numbers are these three."""
    code, a, b, _, numbers, _ = begin(module, name)
    mean, factor, bias = (code.load(numbers, i * CELL) for i in range(3))

    def body(at, _):
        z = code.fma(code.load(at[0]) - mean, factor, bias)
        code.store(activate(code, z, activation), at[1])
        return []

    sweep(code, [a, b], 0, body)
    code.end()


def slope_sums(module, name, *, activation):
    """Write the sums of dz and of dz * (b - mean); numbers are those of `normalize`.

    a is the gradient of what `normalize` made of b, dz that of what went into the activation.
    """
    code, a, b, _, numbers, to = begin(module, name)
    mean, factor, bias = (code.load(numbers, i * CELL) for i in range(3))

    def body(at, taken):
        less = code.load(at[1]) - mean
        dz = code.load(at[0]) * slope(code, code.fma(less, factor, bias), activation)
        return [taken[0] + dz, code.fma(dz, less, taken[1])]

    for i, total in enumerate(sweep(code, [a, b], 2, body)):
        code.store(total, to, i * CELL)
    code.end()


def differentiate(module, name, *, activation):
    """Write c, dz * along - (b - mean) * more - less; a and b are those of `slope_sums`.

    numbers  mean, factor, bias, along, more, less
    """
    code, a, b, c, numbers, _ = begin(module, name)
    mean, factor, bias, along, more, less = (code.load(numbers, i * CELL) for i in range(6))

    def body(at, _):
        deviation = code.load(at[1]) - mean
        dz = code.load(at[0]) * slope(code, code.fma(deviation, factor, bias), activation)
        code.store(code.fma(dz, along, code.fma(-more, deviation, -less)), at[2])
        return []

    sweep(code, [a, b, c], 0, body)
    code.end()


def normalize_pooled(module, name, *, activation, monotone):
    """Write b, the largest of each 2 x 2 cells of what `normalize` makes of a.

    monotone  whether a larger number never has the smaller activation
    """
    code, a, b, _, numbers, _ = begin(module, name)
    known = [code.load(numbers, i * CELL) for i in range(3)]

    def body(four, to, taken):
        _, _, most = window(code, four, known, activation, monotone)
        code.store(activate(code, most, activation) if monotone else most, to)
        return []

    windows(code, a, [b], 0, body)
    code.end()


def slope_sums_pooled(module, name, *, activation, monotone):
    """Write what `slope_sums` does, where a is the gradient of what `normalize_pooled` made of b.

    The first of the largest cells of a window has all of its gradient.
    """
    code, a, b, _, numbers, to = begin(module, name)
    known = [code.load(numbers, i * CELL) for i in range(3)]

    def body(four, at, taken):
        away, values, most = window(code, four, known, activation, monotone)
        less = away[3]
        for k in (2, 1, 0):
            less = code.where(code.equal(values[k], most), away[k], less)
        z = code.fma(less, *known[1:])
        dz = code.load(at) * slope(code, z, activation)
        return [taken[0] + dz, code.fma(dz, less, taken[1])]

    for i, total in enumerate(windows(code, b, [a], 2, body)):
        code.store(total, to, i * CELL)
    code.end()


def differentiate_pooled(module, name, *, activation, monotone):
    """Write c as `differentiate` does, where a is the gradient of what `normalize_pooled` made."""
    code, a, b, c, numbers, _ = begin(module, name)
    known = [code.load(numbers, i * CELL) for i in range(3)]
    along, more, less = (code.load(numbers, i * CELL) for i in range(3, 6))
    half = code.builder.ashr(c[1], ir.Constant(INT, 1))

    def body(four, at, to, taken):
        away, values, most = window(code, four, known, activation, monotone)
        left = code.load(at) * along
        for k, (deviation, value) in enumerate(zip(away, values, strict=True)):
            hit = code.equal(value, most)
            z = code.fma(deviation, *known[1:])
            dz = code.where(hit, left, 0.0) * slope(code, z, activation)
            left = code.where(hit, 0.0, left)
            place = code.add(to, half) if k > 1 else to
            code.store(dz + code.fma(-more, deviation, -less), place, k % 2 * CELL)
        return []

    windows(code, b, [a], 0, body, c)
    code.end()


def window(code, four, known, activation, monotone):
    """Return of four cells their differences from the mean, what is compared, and its largest."""
    mean, factor, bias = known
    away = [code.load(at) - mean for at in four]
    values = [code.fma(one, factor, bias) for one in away]
    if not monotone:
        values = [activate(code, one, activation) for one in values]
    one, other = code.maximum(values[0], values[1]), code.maximum(values[2], values[3])
    return away, values, code.maximum(one, other)


def windows(code, whole, halves, count, body, also=None):
    """Run body(addresses of 2 x 2 cells of a map, address in each half, .., sums) -> sums.

    whole, halves  maps as `begin` gives them, with rows and cells of the halves; of the whole two
                   rows are one
    also           a map like the whole one, whose address body gets after those of the halves
    """
    _, _, rows, cells = whole
    half = code.builder.ashr(whole[1], ir.Constant(INT, 1))
    maps = [whole, *halves, *([also] if also else [])]
    steps = [2 * CELL, *[CELL] * len(halves), 2 * CELL]
    many = len(maps)

    def each(_, *carried):
        at, taken = carried[:many], carried[many:]
        below = code.add(at[0], half)
        four = [at[0], code.add(at[0], CELL), below, code.add(below, CELL)]
        taken = body(four, *at[1:], taken)
        return [*(code.add(one, step) for one, step in zip(at, steps, strict=False)), *taken]

    def over_rows(_, *carried):
        taken = code.loop(cells, list(carried), each)[many:]
        moved = [code.add(one, map[1]) for one, map in zip(carried, maps, strict=False)]
        return [*moved, *taken]

    start = [*(one[0] for one in maps), *[code.vector(0.0)] * count]
    return code.loop(rows, start, over_rows)[many:]


def bias_sums(module, name, *, activation):
    """Write c, a times the activation's slope at b, and its sum; of "linear", the sum of a."""
    code, a, b, c, _, to = begin(module, name)

    def body(at, taken):
        dz = code.load(at[0])
        if activation != "linear":
            dz = dz * slope(code, code.load(at[1]), activation)
            code.store(dz, at[2])
        return [taken[0] + dz]

    (total,) = sweep(code, [a] if activation == "linear" else [a, b, c], 1, body)
    code.store(total, to)
    code.end()


def begin(module, name):
    """Return a sweep's code, three maps as (address, row, rows, cells), numbers and sums."""
    code = Code(module, name, 10)
    a, b, c, rows, cells, a_row, b_row, c_row, numbers, sums = code.args
    maps = [(at, row, rows, cells) for at, row in ((a, a_row), (b, b_row), (c, c_row))]
    return code, *maps, numbers, sums


def sweep(code, maps, count, body):
    """Run body(addresses, sums) -> sums on every cell; return ``count`` sums over all cells."""
    _, _, rows, cells = maps[0]
    many = len(maps)
    fours = code.builder.sdiv(cells, ir.Constant(INT, COPIES))
    rest = code.builder.srem(cells, ir.Constant(INT, COPIES))

    def moved(at, cells):
        return [code.add(one, CELL * cells) for one in at]

    def four(_, *carried):
        at, taken = carried[:many], carried[many:]
        for k in range(COPIES):
            part = taken[k * count : (k + 1) * count]
            taken = (*taken[: k * count], *body(moved(at, k), part), *taken[(k + 1) * count :])
        return [*moved(at, COPIES), *taken]

    def one(_, *carried):
        at, taken = carried[:many], carried[many:]
        return [*moved(at, 1), *body(at, taken[:count]), *taken[count:]]

    def over_rows(_, *carried):
        at = carried[:many]
        reached = code.repeat(fours, carried, four)
        taken = code.repeat(rest, reached, one)[many:]
        return [
            *(code.add(place, row) for place, (_, row, *_) in zip(at, maps, strict=True)),
            *taken,
        ]

    zeros = [code.vector(0.0)] * (COPIES * count)
    taken = code.loop(rows, [*(place for place, *_ in maps), *zeros], over_rows)[many:]
    return [sum(taken[i + count : COPIES * count : count], taken[i]) for i in range(count)]
