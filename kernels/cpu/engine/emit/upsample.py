"""Vector code of upsampling, called by ``drivers/elementwise.py``; extra is y's bytes a row."""

from ..records import CELL
from .elementwise import sweep


def upsample(module, name, *, stride, scale):
    """Write each cell of x, times ``scale``, to a block of stride x stride cells of y."""
    scale = float(scale)

    def body(code, at, _):
        value = code.load(at[0])
        value = value if scale == 1 else value * scale
        for i in range(stride):
            row = code.add(at[3], code.mul(code.extra, i))
            for j in range(stride):
                code.store(value, row, j * CELL)

    sweep(module, name, body, [CELL, 0, 0, stride * CELL])


def upsample_grad(module, name, *, stride, scale):
    """Write the sum of each block of stride x stride cells of dy, times ``scale``, to dx."""
    scale = float(scale)

    def body(code, at, _):
        total = None
        for i in range(stride):
            row = code.add(at[0], code.mul(code.extra, i))
            for j in range(stride):
                one = code.load(row, j * CELL)
                total = one if total is None else total + one
        code.store(total if scale == 1 else total * scale, at[3])

    sweep(module, name, body, [stride * CELL, 0, 0, CELL])
