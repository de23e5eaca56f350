"""One row per activation: its value and its slope, as Python, and as CUDA C.

A row's `value` and `slope` are written with numpy's functions of one element and `sigmoid`, so
that the same lines run on numpy and CuPy arrays (which answer numpy's functions themselves) and,
compiled by Numba, on single numbers. Constants are float32: they leave arrays of float32 and
float64 what they are. The argument is what goes into the activation, never what came out; slopes
are the true derivatives. Names and formulas are those of darknet's activations.c. In CUDA C they
are expressions, or statements that return; where networks spend their time they divide by
__fdividef, which is right to 2 units of the last place.
"""

import numpy as np

F = np.float32
ACTIVATIONS = {}  # name in a .cfg -> row


def activation(*names):
    """Register a row under its names in a .cfg; the first is the row's own."""

    def register(row):
        row.name = names[0]
        for name in names:
            ACTIVATIONS[name] = row
        return row

    return register


def sigmoid(x):
    """Return 1 / (1 + e^-x), to full precision on both sides and without an overflow."""
    e = np.exp(-np.abs(x))
    return np.divide(np.where(x < F(0), e, F(1)), F(1) + e)


class Elementwise:
    """A row that acts on each number alone."""

    over_channels = False


@activation("linear")
class linear(Elementwise):
    """The identity."""

    @staticmethod
    def value(x):
        return x * F(1)

    @staticmethod
    def slope(x):
        return x * F(0) + F(1)

    cuda_value = "x"
    cuda_slope = "1.f"


@activation("logistic")
class logistic(Elementwise):
    """1 / (1 + e^-x)."""

    @staticmethod
    def value(x):
        return sigmoid(x)

    @staticmethod
    def slope(x):
        s = sigmoid(x)
        return s * (F(1) - s)

    cuda_value = "__fdividef(1.f, 1.f + expf(-x))"
    cuda_slope = "float e = expf(-fabsf(x)), s = __fdividef(1.f, 1.f + e); return e * s * s;"


@activation("loggy")
class loggy(Elementwise):
    """2 / (1 + e^-x) - 1, which is tanh(x / 2)."""

    @staticmethod
    def value(x):
        return np.tanh(F(0.5) * x)

    @staticmethod
    def slope(x):
        t = np.tanh(F(0.5) * x)
        return F(0.5) * (F(1) - t * t)

    cuda_value = "tanhf(.5f * x)"
    cuda_slope = "(.5f * (1.f - tanhf(.5f * x) * tanhf(.5f * x)))"


@activation("relu")
class relu(Elementwise):
    """max(x, 0)."""

    @staticmethod
    def value(x):
        return np.where(x > F(0), x, x * F(0))

    @staticmethod
    def slope(x):
        return np.where(x > F(0), x * F(0) + F(1), x * F(0))

    cuda_value = "x > 0.f ? x : 0.f"
    cuda_slope = "x > 0.f ? 1.f : 0.f"


@activation("relu6")
class relu6(Elementwise):
    """min(max(x, 0), 6)."""

    @staticmethod
    def value(x):
        return np.minimum(np.maximum(x, F(0)), F(6))

    @staticmethod
    def slope(x):
        return np.where((x > F(0)) & (x < F(6)), x * F(0) + F(1), x * F(0))

    cuda_value = "fminf(fmaxf(x, 0.f), 6.f)"
    cuda_slope = "(x > 0.f && x < 6.f) ? 1.f : 0.f"


@activation("elu")
class elu(Elementwise):
    """x, or e^x - 1 below zero (Clevert et al. 2015, https://arxiv.org/abs/1511.07289)."""

    @staticmethod
    def value(x):
        return np.where(x >= F(0), x, np.expm1(np.minimum(x, F(0))))

    @staticmethod
    def slope(x):
        return np.where(x >= F(0), x * F(0) + F(1), np.exp(np.minimum(x, F(0))))

    cuda_value = "x >= 0.f ? x : expm1f(x)"
    cuda_slope = "x >= 0.f ? 1.f : expf(x)"


@activation("selu")
class selu(Elementwise):
    """A scaled elu (Klambauer et al. 2017, https://arxiv.org/abs/1706.02515)."""

    @staticmethod
    def value(x):
        return F(1.0507) * np.where(x >= F(0), x, F(1.6732) * np.expm1(np.minimum(x, F(0))))

    @staticmethod
    def slope(x):
        low = F(1.6732) * np.exp(np.minimum(x, F(0)))
        return F(1.0507) * np.where(x >= F(0), x * F(0) + F(1), low)

    cuda_value = "1.0507f * (x >= 0.f ? x : 1.6732f * expm1f(x))"
    cuda_slope = "1.0507f * (x >= 0.f ? 1.f : 1.6732f * expf(x))"


@activation("gelu")
class gelu(Elementwise):
    """The tanh form of gelu (Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415)."""

    @staticmethod
    def value(x):
        return F(0.5) * x * (F(1) + np.tanh(F(0.797885) * x + F(0.035677) * x * x * x))

    @staticmethod
    def slope(x):
        t = np.tanh(F(0.797885) * x + F(0.035677) * x * x * x)
        inner = F(0.797885) + F(3) * F(0.035677) * x * x
        return F(0.5) * (F(1) + t) + F(0.5) * x * (F(1) - t * t) * inner

    cuda_value = ".5f * x * (1.f + tanhf(.797885f * x + .035677f * x * x * x))"
    cuda_slope = (
        "(.5f * (1.f + tanhf(.797885f * x + .035677f * x * x * x)) + .5f * x * (1.f - "
        "tanhf(.797885f * x + .035677f * x * x * x) * tanhf(.797885f * x + .035677f * x * x * x))"
        " * (.797885f + .107031f * x * x))"
    )


@activation("relie")
class relie(Elementwise):
    """x, or x / 100 below zero."""

    @staticmethod
    def value(x):
        return np.where(x > F(0), x, F(0.01) * x)

    @staticmethod
    def slope(x):
        return np.where(x > F(0), x * F(0) + F(1), x * F(0) + F(0.01))

    cuda_value = "x > 0.f ? x : .01f * x"
    cuda_slope = "x > 0.f ? 1.f : .01f"


@activation("ramp")
class ramp(Elementwise):
    """max(x, 0) + x / 10."""

    @staticmethod
    def value(x):
        return np.maximum(x, F(0)) + F(0.1) * x

    @staticmethod
    def slope(x):
        return np.where(x > F(0), x * F(0) + F(1.1), x * F(0) + F(0.1))

    cuda_value = "fmaxf(x, 0.f) + .1f * x"
    cuda_slope = "x > 0.f ? 1.1f : .1f"


@activation("leaky", "revleaky")
class leaky(Elementwise):
    """x, or x / 10 below zero (Maas, Hannun, Ng 2013)."""

    @staticmethod
    def value(x):
        return np.maximum(x, F(0.1) * x)  # two instructions; np.where takes three

    @staticmethod
    def slope(x):
        return np.where(x > F(0), x * F(0) + F(1), x * F(0) + F(0.1))

    cuda_value = "x > 0.f ? x : .1f * x"
    cuda_slope = "x > 0.f ? 1.f : .1f"


@activation("tanh")
class tanh(Elementwise):
    """The hyperbolic tangent."""

    @staticmethod
    def value(x):
        return np.tanh(x)

    @staticmethod
    def slope(x):
        t = np.tanh(x)
        return F(1) - t * t

    cuda_value = "tanhf(x)"
    cuda_slope = "(1.f - tanhf(x) * tanhf(x))"


@activation("plse")
class plse(Elementwise):
    """A sigmoid of three straight lines: slope 1/8 within -4..4, 1/100 outside."""

    @staticmethod
    def value(x):
        low = F(0.01) * (x + F(4))
        high = F(0.01) * (x - F(4)) + F(1)
        return np.where(x < F(-4), low, np.where(x > F(4), high, F(0.125) * x + F(0.5)))

    @staticmethod
    def slope(x):
        outside = (x < F(-4)) | (x > F(4))
        return np.where(outside, x * F(0) + F(0.01), x * F(0) + F(0.125))

    cuda_value = "x < -4.f ? .01f * (x + 4.f) : x > 4.f ? .01f * (x - 4.f) + 1.f : .125f * x + .5f"
    cuda_slope = "(x < -4.f || x > 4.f) ? .01f : .125f"


@activation("stair")
class stair(Elementwise):
    """floor(x / 2), climbing by x - floor(x) where floor(x) is odd."""

    @staticmethod
    def value(x):
        n = np.floor(x)
        half = np.floor(F(0.5) * x)
        odd = n - F(2) * np.floor(F(0.5) * n)
        return half + odd * (x - n)

    @staticmethod
    def slope(x):
        n = np.floor(x)
        return n - F(2) * np.floor(F(0.5) * n)

    cuda_value = "floorf(.5f * x) + (floorf(x) - 2.f * floorf(.5f * floorf(x))) * (x - floorf(x))"
    cuda_slope = "(floorf(x) - 2.f * floorf(.5f * floorf(x)))"


@activation("hardtan")
class hardtan(Elementwise):
    """x, kept within -1..1."""

    @staticmethod
    def value(x):
        return np.minimum(np.maximum(x, F(-1)), F(1))

    @staticmethod
    def slope(x):
        return np.where((x > F(-1)) & (x < F(1)), x * F(0) + F(1), x * F(0))

    cuda_value = "fminf(fmaxf(x, -1.f), 1.f)"
    cuda_slope = "(x > -1.f && x < 1.f) ? 1.f : 0.f"


@activation("lhtan")
class lhtan(Elementwise):
    """x within 0..1, with slope 1/1000 outside."""

    @staticmethod
    def value(x):
        high = F(0.001) * (x - F(1)) + F(1)
        return np.where(x < F(0), F(0.001) * x, np.where(x > F(1), high, x))

    @staticmethod
    def slope(x):
        return np.where((x > F(0)) & (x < F(1)), x * F(0) + F(1), x * F(0) + F(0.001))

    cuda_value = "x < 0.f ? .001f * x : x > 1.f ? .001f * (x - 1.f) + 1.f : x"
    cuda_slope = "(x > 0.f && x < 1.f) ? 1.f : .001f"


@activation("swish")
class swish(Elementwise):
    """x times its sigmoid (Ramachandran et al. 2017, https://arxiv.org/abs/1710.05941)."""

    @staticmethod
    def value(x):
        return x * sigmoid(x)

    @staticmethod
    def slope(x):
        s = sigmoid(x)
        return s + x * s * (F(1) - s)

    cuda_value = "__fdividef(x, 1.f + expf(-x))"
    cuda_slope = "float s = __fdividef(1.f, 1.f + expf(-x)); return s * (1.f + x * (1.f - s));"


@activation("mish")
class mish(Elementwise):
    """x tanh(log(1 + e^x)) (Misra 2019, https://arxiv.org/abs/1908.08681), by one exponential.

    With e = e^x: tanh(log(1 + e)) = (e e + 2 e) / (e e + 2 e + 2). Above 20 it is 1 in float32,
    where darknet's threshold on the softplus stands too.
    """

    @staticmethod
    def value(x):
        e = np.exp(np.minimum(x, F(20)))
        n = e * (e + F(2))
        return x * np.divide(n, n + F(2))

    @staticmethod
    def slope(x):
        e = np.exp(np.minimum(x, F(20)))
        n = e * (e + F(2))
        t = n / (n + F(2))
        return t + x * (F(1) - t * t) * e / (F(1) + e)

    cuda_value = (
        "float e = expf(fminf(x, 20.f)), n = e * (e + 2.f); return x * __fdividef(n, n + 2.f);"
    )
    cuda_slope = (
        "float e = expf(fminf(x, 20.f)), n = e * (e + 2.f), r = __fdividef(1.f, n + 2.f);"
        " return n * r + 4.f * x * (e * r) * ((1.f + e) * r);"
    )


@activation("hard_mish")
class hard_mish(Elementwise):
    """x, or x^2 / 2 + x within -2..0, or 0."""

    @staticmethod
    def value(x):
        middle = np.where(x > F(-2), x * x * F(0.5) + x, x * F(0))
        return np.where(x > F(0), x, middle)

    @staticmethod
    def slope(x):
        middle = np.where(x > F(-2), x + F(1), x * F(0))
        return np.where(x > F(0), x * F(0) + F(1), middle)

    cuda_value = "x > 0.f ? x : x > -2.f ? .5f * x * x + x : 0.f"
    cuda_slope = "x > 0.f ? 1.f : x > -2.f ? x + 1.f : 0.f"


class OverChannels:
    """A row whose value at a pixel depends on all channels there; arrays are (n, c, h, w).

    Each divides non-negative `parts(x)` by their sum and darknet's 1e-4.
    """

    over_channels = True
    epsilon = F(1e-4)

    @classmethod
    def value(cls, x):
        p = cls.parts(x)
        return p / (p.sum(1, keepdims=True) + cls.epsilon)

    @classmethod
    def gradient(cls, dy, x):
        """Return the gradient of x given that of the value, by the full derivative."""
        p = cls.parts(x)
        total = p.sum(1, keepdims=True) + cls.epsilon
        dp = dy / total - (dy * p).sum(1, keepdims=True) / (total * total)
        return cls.parts_gradient(dp, p, x)


@activation("normalize_channels", "norm_chan")
class normalize_channels(OverChannels):
    """relu(x) over its sum."""

    @staticmethod
    def parts(x):
        return np.maximum(x, F(0))

    @staticmethod
    def parts_gradient(dp, p, x):
        return np.where(x > F(0), dp, dp * F(0))


@activation("normalize_channels_softmax", "norm_chan_softmax")
class normalize_channels_softmax(OverChannels):
    """e^x over its sum."""

    @staticmethod
    def parts(x):
        return np.exp(x)

    @staticmethod
    def parts_gradient(dp, p, x):
        return dp * p


@activation("normalize_channels_softmax_maxval", "norm_chan_softmax_maxval")
class normalize_channels_softmax_maxval(OverChannels):
    """e^(x - largest) over its sum."""

    @staticmethod
    def parts(x):
        return np.exp(x - x.max(1, keepdims=True))

    @staticmethod
    def parts_gradient(dp, p, x):
        dx = dp * p
        largest = x == x.max(1, keepdims=True)
        share = (largest / largest.sum(1, keepdims=True)).astype(x.dtype)
        return dx - share * dx.sum(1, keepdims=True)
