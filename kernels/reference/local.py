"""A convolution whose weights differ from place to place, and its gradients."""

from ..common.geometry import conv_output
from .conv2d import columns, inside

__all__ = ["local", "local_input_grad", "local_weight_grad"]


def local(x, w, b, *, stride, padding):
    """Multiply each window of x by the weights of its place and add b.

    x        (n, c, h, w)
    w        (h', w', f, c, k, k), as in a .weights file
    b        (f, h', w')
    returns  (n, f, h', w'), h' = (h + 2 padding - k) // stride + 1
    """
    rows, cols, f, c, k = w.shape[:5]
    seen = places(x, k, stride, padding)
    y = x.__array_namespace__().matmul(w.reshape(rows * cols, f, c * k * k), seen)
    return y.reshape(rows, cols, f, -1).transpose(3, 2, 0, 1) + b


def local_weight_grad(dy, x, *, size, stride, padding):
    """Return the gradients of w and b, given dy (n, f, h', w') and x."""
    n, f, rows, cols = dy.shape
    delta = dy.transpose(2, 3, 1, 0).reshape(rows * cols, f, n)
    seen = places(x, size, stride, padding).transpose(0, 2, 1)
    dw = x.__array_namespace__().matmul(delta, seen)
    return dw.reshape(rows, cols, f, x.shape[1], size, size), dy.sum(0)


def local_input_grad(dy, w, *, shape, stride, padding):
    """Return the gradient of x, of ``shape`` (n, c, h, w), given dy and w."""
    n, c, height, width = shape
    rows, cols, f, _, k = w.shape[:5]
    xp = dy.__array_namespace__()
    delta = dy.transpose(2, 3, 1, 0).reshape(rows * cols, f, n)
    seen = xp.matmul(w.reshape(rows * cols, f, c * k * k).transpose(0, 2, 1), delta)
    seen = seen.reshape(rows, cols, c, k, k, n).transpose(5, 2, 3, 4, 0, 1)
    dx = xp.zeros(shape, dy.dtype)
    for i in range(k):
        high, deep = meeting(height, stride, i - padding, rows)
        for j in range(k):
            left, wide = meeting(width, stride, j - padding, cols)
            dx[:, :, deep, wide] += seen[:, :, i, j, high, left]
    return dx


def places(x, k, stride, padding):
    """Lay out the window of each place: (places, c k k, n)."""
    rows, cols = (conv_output(n, k, stride, padding) for n in x.shape[2:])
    strides = (stride, stride)
    seen = [columns(one, k, strides, padding, 1, 0, rows, cols) for one in x]
    return (
        x.__array_namespace__().stack(seen, -1).reshape(-1, rows * cols, len(x)).transpose(1, 0, 2)
    )


def meeting(n, stride, offset, count):
    """Return the places, of ``count``, whose cell at ``offset`` is among n, and those cells."""
    first, last = inside(n, stride, offset, 0, count)
    last = max(first, last)
    start = first * stride + offset
    return slice(first, last), slice(start, start + (last - first) * stride, stride)
