"""Batch normalisation as [convolutional], [connected] and [batchnorm] share it.

Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167; darknet's batchnorm_layer.c with the
decisions of docs/compatibility.md: one epsilon, variance of n - 1, rolling averages of .99 / .01.
"""

from __future__ import annotations

from .base import Array, Context


def norm_params(n: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what normalising ``n`` channels needs beside the biases."""
    return {"scales": (n,), "rolling_mean": (n,), "rolling_variance": (n,)}


def normalize(ctx: Context, x: Array) -> tuple[Array, tuple[Array, ...]]:
    """Normalise x and return it with what `normalize_grad` needs.

    In training the statistics are the batch's, and the rolling ones move towards them in place.
    """
    p, ops = ctx.params, ctx.ops
    if not ctx.train:
        mean, variance = p["rolling_mean"], p["rolling_variance"]
        return ops.batchnorm(x, p["scales"], p["biases"], mean, variance), ()
    mean, variance = ops.batch_statistics(x)
    ops.roll_average(p["rolling_mean"], mean)
    ops.roll_average(p["rolling_variance"], variance)
    y = ops.batchnorm(x, p["scales"], p["biases"], mean, variance)
    return y, (x, mean, variance)


def normalize_grad(ctx: Context, dy: Array, saved: tuple[Array, ...]) -> Array:
    """Return the gradient of the input; add those of scales and biases."""
    dx, dscales, dbiases = ctx.ops.batchnorm_grad(dy, saved[0], ctx.params["scales"], *saved[1:])
    ctx.add_grad("scales", dscales)
    ctx.add_grad("biases", dbiases)
    return dx
