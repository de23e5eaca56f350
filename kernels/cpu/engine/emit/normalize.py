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
