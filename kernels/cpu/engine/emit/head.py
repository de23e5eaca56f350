"""Vector code of detection heads: the logistic of some channels, softmax of a run."""

from ..records import CELL, LANES
from .activation import Numpy, activate
from .code import Code
from .elementwise import load, store, sweep


def decode(code, x, on, scale, shift):
    """Return x, or its logistic in lanes where ``on`` is 1, times ``scale`` plus ``shift``."""
    value = code.where(on > 0.5, activate(code, x, "logistic"), x)
    return code.fma(value, scale, shift)


def planar(module, name, *, whole, rest):
    """Write what ``drivers/elementwise.py`` calls: `decode`, with 3 numbers at the second map."""

    def body(code, at, count):
        how = [code.spread(at[1], 4 * i) for i in range(3)]
        store(code, decode(code, load(code, at[0], count, 4), *how), at[3], count, 4)

    sweep(module, name, body, [CELL, 0, 0, CELL], whole, rest)


def softmax(module, name, *, temperature):
    """Write name(x, vectors): softmax of x / temperature, in place, of so many Vectors at x."""
    code = Code(module, name, 2)
    x, vectors = code.args
    temperature = float(temperature)

    def colder(x):
        return x if temperature == 1 else x / temperature

    def greatest(_, at, most):
        return [code.add(at, CELL), code.maximum(code.load(at), most)]

    most = code.loop(vectors, [x, code.load(x)], greatest)[1]
    most = across(code, most, code.maximum)

    def power(_, at, total):
        value = Numpy(code).exp(colder(code.load(at) - most))
        code.store(value, at)
        return [code.add(at, CELL), total + value]

    total = across(code, code.loop(vectors, [x, code.vector(0.0)], power)[1], lambda a, b: a + b)

    def share(_, at):
        code.store(code.load(at) / total, at)
        return [code.add(at, CELL)]

    code.loop(vectors, [x], share)
    code.end()


def across(code, x, together):
    """Return what ``together`` makes of all lanes of x, in every lane."""
    for distance in (8, 4, 2, 1):
        x = together(x, code.shuffle(x, x, [i ^ distance for i in range(LANES)]))
    return x
