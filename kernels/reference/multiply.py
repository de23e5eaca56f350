"""Multiply two maps, one of which may stand for all channels or for all cells."""

__all__ = ["multiply", "multiply_grad"]


def multiply(x, y):
    """Return x y, both (n, c, h, w); an axis of length 1 stands for all of the other's."""
    return x * y


def multiply_grad(dz, x, y):
    """Return the gradients of x and y, given that of x y."""
    return gathered(dz * y, x.shape), gathered(dz * x, y.shape)


def gathered(dx, shape):
    """Sum dx over the axes along which a map of ``shape`` was repeated."""
    axes = tuple(i for i, n in enumerate(shape) if n != dx.shape[i])
    return dx.sum(axes, keepdims=True) if axes else dx
