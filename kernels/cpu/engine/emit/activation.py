"""Activations in vector code: the rows of kernels/common/activations.py, run on Vectors.

A row is Python in terms of numpy's functions of one element; here numpy is an object that writes
instructions. The exponential is the one of kernels/cpu/scalar.py (Cephes).
"""

import types

from llvmlite import ir

from ....common import activations
from ....common.activations import ACTIVATIONS
from .. import target
from .code import HALF, INTS, VECTOR, Vector

LOG2_E = 1.44269504
LN2_HIGH, LN2_LOW = 0.693359375, 2.12194440e-4
LEAST, MOST = -87.3, 89.0
SERIES = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)


class Numpy:
    """numpy's functions of one element, for Vectors."""

    def __init__(self, code):
        self.code = code
        self.where = code.where

    def minimum(self, a, b):
        return self.code.minimum(b, a)  # of b where a is no number, which is a

    def maximum(self, a, b):
        return self.code.maximum(b, a)

    def abs(self, x):
        return self.code.call("llvm.fabs.v16f32", x)

    def floor(self, x):
        return self.code.call("llvm.floor.v16f32", x)

    def sqrt(self, x):
        return self.code.call("llvm.sqrt.v16f32", x)

    def divide(self, a, b):
        """Return a / b of finite numbers; an estimate of 1 / b, and a step, may give it: 2 ulp."""
        code = self.code
        a, b = code.vector(a), code.vector(b)
        flags = "arcp", "contract", "ninf"
        return Vector(code, code.builder.fdiv(a.value, b.value, flags=flags))

    def exp(self, x):
        n, r = self._reduced(x)
        y = self._rest(r) + 1.0
        if "+avx512f" in target.host().features:
            y = self._scaled(y, n)
        else:
            half, other = self._halves(n)
            y = y * self._power_of_2(half) * self._power_of_2(other)
        return self.where(x < LEAST, 0.0, y)

    def expm1(self, x):
        n, r = self._reduced(x)
        half, other = self._halves(n)
        low, high = self._power_of_2(half), self._power_of_2(other)
        return (self._rest(r) * low + (low - 1.0 / high)) * high

    def tanh(self, x):
        t = self.expm1(-2.0 * self.abs(x))
        t = t / (t + 2.0)
        return self.where(x < 0.0, t, -t)

    def _scaled(self, x, n):
        """Return x times 2 to the power of n, Vectors, as AVX-512 gives it at once."""
        code, name = self.code, "llvm.x86.avx512.mask.scalef.ps.512"
        function = code.module.globals.get(name)
        if function is None:
            signature = ir.FunctionType(VECTOR, [VECTOR] * 3 + [ir.IntType(16), HALF])
            function = ir.Function(code.module, signature, name)
        all_, rounding = ir.Constant(ir.IntType(16), -1), ir.Constant(HALF, 4)  # the current one
        args = [x.value, n.value, ir.Constant(VECTOR, ir.Undefined), all_, rounding]
        return Vector(code, code.builder.call(function, args))

    def _reduced(self, x):
        """Return n (a Vector of whole numbers) and r for which x = n log(2) + r."""
        code = self.code
        x = code.maximum(LEAST, x)  # NaN stays NaN
        x = code.minimum(MOST, x)
        n = code.call("llvm.rint.v16f32", x * LOG2_E)
        return n, code.fma(n, LN2_LOW, code.fma(n, -LN2_HIGH, x))

    def _rest(self, r):
        """Return e^r - 1."""
        code = self.code
        p = code.vector(SERIES[0])
        for c in SERIES[1:]:
            p = code.fma(p, r, c)
        return code.fma(p, r * r, r)

    def _halves(self, n):
        builder = self.code.builder
        whole = builder.fptosi(n.value, INTS)
        half = builder.ashr(whole, ir.Constant(INTS, [1] * 16))
        return half, builder.sub(whole, half)

    def _power_of_2(self, n):
        builder = self.code.builder
        biased = builder.add(n, ir.Constant(INTS, [127] * 16))
        bits = builder.shl(biased, ir.Constant(INTS, [23] * 16))
        return Vector(self.code, builder.bitcast(bits, VECTOR))


def activate(code, x, name):
    """Return the activation ``name`` of a Vector."""
    if name == "linear":
        return x
    return formula(code, ACTIVATIONS[name].value)(x)


def slope(code, x, name):
    """Return the slope of the activation ``name`` at a Vector that went into it."""
    if name == "linear":
        return code.vector(1.0)
    return formula(code, ACTIVATIONS[name].slope)(x)


def formula(code, row):
    """Return a row's function with numpy's names bound to vector code."""
    numpy = Numpy(code)
    sigmoid = rebound(activations.sigmoid, np=numpy, F=float)
    return rebound(row, np=numpy, F=float, sigmoid=sigmoid)


def rebound(function, **values):
    return types.FunctionType(function.__code__, {**function.__globals__, **values})
