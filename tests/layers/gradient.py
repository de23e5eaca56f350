"""Run a layer alone, and check what its backward says against what its forward does."""

from types import SimpleNamespace

import numpy as np

from darkpy.kernels import ops
from darkpy.layers import Layer, Shape
from darkpy.run import Context

STEP = 1e-5
# In float64 a central difference of this step is wrong by its square, times the third derivative,
# and by rounding, 1e-16 / 1e-5 of the sum: 1e-7 of the largest gradient leaves room for both.
TOLERANCE = 1e-7
SINGLE = 2e-4  # of the largest value: float32 sums of some hundred terms
STATISTICS = ("rolling_mean", "rolling_variance")  # not learned


def drawn(shape, rng, dtype=np.float64):
    """Return numbers around zero; no two are equal."""
    return rng.normal(0, 1, shape).astype(dtype)


def draw_params(layer, shapes, rng):
    """Return parameters as a new layer has them, float64 and moved at random."""
    params = {}
    for name, shape in layer.params(*shapes).items():
        start = layer.initial(name, shape, rng)
        assert start.shape == shape and start.dtype == np.float32, name
        params[name] = start + 0.3 * drawn(shape, rng)
    if "rolling_variance" in params:
        params["rolling_variance"] = np.abs(params["rolling_variance"]) + 0.5
    return params


def gapped(x):
    """Return x as a view with gaps between rows, channels and pictures."""
    n, c, h, w = x.shape
    wide = np.full((n, c + 1, h + 1, w + 3), np.nan, x.dtype)
    view = wide[:, :c, 1:, 2 : 2 + w]
    view[...] = x
    return view


def over_m(x):
    """Return mean and variance of each channel, for which darknet's gradient is the derivative."""
    return x.mean((0, 2, 3)), x.var((0, 2, 3))


PLAIN = ops("reference")
DERIVABLE = SimpleNamespace(**{**vars(PLAIN), "batch_statistics": over_m})


def run(layer, *xs, params=None, train=False, seed=0, kernels=PLAIN):
    """Run a layer forward; return its context and its output. Parameters are copied."""
    params = {name: value.copy() for name, value in (params or {}).items()}
    ctx = Context(kernels, params, train, np.random.default_rng(seed))
    return ctx, layer.forward(ctx, *xs)


def check_layer(layer: Layer, *shapes, batch=2, seed=0, straight_through=False):
    """Check a layer's shape rule, dtypes, strides, and its gradients in float64.

    shapes            (c, h, w) of each input
    straight_through  its gradients are not the derivatives of its forward: they are run only

    Returns the context after the way back.
    """
    rng = np.random.default_rng(seed)
    shapes = [Shape(*shape) for shape in shapes]
    params = draw_params(layer, shapes, rng)
    xs = [drawn((batch, *shape), rng) for shape in shapes]
    before = [x.copy() for x in xs]
    ctx, y = run(layer, *xs, params=params, train=True, kernels=DERIVABLE)
    assert y.shape == (batch, *layer.shape(*shapes)) and y.dtype == np.float64
    dy = drawn(y.shape, rng)
    dxs = layer.backward(ctx, dy)
    assert [dx.shape for dx in dxs] == [x.shape for x in xs]
    assert set(ctx.grads) == set(params) - set(STATISTICS)
    for x, was in zip(xs, before, strict=True):
        np.testing.assert_array_equal(x, was, "an input was written into")
    check_single(layer, xs, params, dy, y, dxs)
    if not straight_through:
        check_differences(layer, xs, params, dy, [*dxs, *ctx.grads.values()], list(ctx.grads))
    return ctx


def check_single(layer, xs, params, dy, y, dxs):
    """Check that float32 stays float32 and means the same, on views with gaps too."""
    params = {name: value.astype(np.float32) for name, value in params.items()}
    xs = [gapped(x.astype(np.float32)) for x in xs]
    ctx, single = run(layer, *xs, params=params, train=True, kernels=DERIVABLE)
    given = layer.backward(ctx, gapped(dy.astype(np.float32)))
    for got, want in zip([single, *given], [y, *dxs], strict=True):
        assert got.dtype == np.float32
        scale = max(1, np.abs(want).max())
        np.testing.assert_allclose(got, want, rtol=0, atol=SINGLE * scale)
    assert all(grad.dtype == np.float32 for grad in ctx.grads.values())


def check_differences(layer, xs, params, dy, gradients, learned):
    """Compare gradients, of every input and then every parameter, with central differences."""

    def loss():
        _, y = run(layer, *xs, params=params, train=True, kernels=DERIVABLE)
        return float((y * dy).sum())

    names = [f"input {i}" for i in range(len(xs))] + learned
    values = [*xs, *(params[name] for name in learned)]
    for name, value, gradient in zip(names, values, gradients, strict=True):
        assert gradient.shape == value.shape, name
        slopes = np.empty(value.size)
        for i in range(value.size):
            was = value.flat[i]
            value.flat[i] = was + STEP
            above = loss()
            value.flat[i] = was - STEP
            slopes[i] = (above - loss()) / (2 * STEP)
            value.flat[i] = was
        scale = max(1, np.abs(slopes).max())
        difference = np.abs(slopes - gradient.reshape(-1)).max() / scale
        assert difference < TOLERANCE, f"{name}: gradient differs by {difference:.1e}"
