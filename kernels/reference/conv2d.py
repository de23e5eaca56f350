"""Two-dimensional convolution (a correlation, as everywhere in the field) and its gradients.

By columns and a matrix product, a band of rows at a time so that the columns stay below BAND
values whatever the size of the map.
"""

import numpy as np

from ..common.geometry import conv_output

__all__ = [
    "binarize_weights",
    "blur_kernel",
    "conv2d",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "signs",
]

BAND = 1 << 23


def conv2d(x, w, *, stride=(1, 1), padding=0, dilation=1, groups=1):
    """Correlate x with w over zero padding.

    x         (n, c, h, w)
    w         (f, c // groups, k, k), as in a .weights file
    stride    (y, x); padding is on all four sides, in cells of x
    returns   (n, f, h', w'), h' = (h + 2 padding - dilation (k - 1) - 1) // stride + 1
    """
    n, c, height, width = x.shape
    f, k = w.shape[0], w.shape[2]
    rows = conv_output(height, k, stride[0], padding, dilation)
    cols = conv_output(width, k, stride[1], padding, dilation)
    xp = x.__array_namespace__()
    y = xp.empty((n, f, rows, cols), x.dtype)
    matrix = w.reshape(groups, f // groups, -1)
    for image in range(n):
        for top, count in bands(c * k * k, rows, cols):
            band = columns(x[image], k, stride, padding, dilation, top, count, cols)
            product = xp.matmul(matrix, band.reshape(groups, -1, count * cols))
            y[image, :, top : top + count] = product.reshape(f, count, cols)
    return y


def conv2d_weight_grad(dy, x, *, size, stride=(1, 1), padding=0, dilation=1, groups=1):
    """Return the gradient of w, (f, c // groups, size, size), given dy (n, f, h', w') and x."""
    n, c = x.shape[:2]
    f, rows, cols = dy.shape[1:]
    xp = x.__array_namespace__()
    dw = xp.zeros((groups, f // groups, c // groups * size * size), x.dtype)
    for image in range(n):
        for top, count in bands(c * size * size, rows, cols):
            band = columns(x[image], size, stride, padding, dilation, top, count, cols)
            band = band.reshape(groups, -1, count * cols)
            delta = dy[image, :, top : top + count].reshape(groups, f // groups, count * cols)
            dw += xp.matmul(delta, band.transpose(0, 2, 1))
    return dw.reshape(f, c // groups, size, size)


def conv2d_input_grad(dy, w, *, shape, stride=(1, 1), padding=0, dilation=1, groups=1):
    """Return the gradient of x, of ``shape`` (n, c, h, w), given dy (n, f, h', w') and w."""
    n, c, height, width = shape
    f, rows, cols = dy.shape[1:]
    k = w.shape[2]
    xp = dy.__array_namespace__()
    dx = xp.zeros((n, c, height + 2 * padding, width + 2 * padding), dy.dtype)
    matrix = w.reshape(groups, f // groups, -1).transpose(0, 2, 1)
    for image in range(n):
        for top, count in bands(c * k * k, rows, cols):
            delta = dy[image, :, top : top + count].reshape(groups, f // groups, count * cols)
            band = xp.matmul(matrix, delta).reshape(c, k, k, count, cols)
            for i in range(k):
                first = top * stride[0] + i * dilation
                high = slice(first, first + (count - 1) * stride[0] + 1, stride[0])
                for j in range(k):
                    left = j * dilation
                    wide = slice(left, left + (cols - 1) * stride[1] + 1, stride[1])
                    dx[image, :, high, wide] += band[:, i, j]
    return dx[:, :, padding : padding + height, padding : padding + width]


def bands(depth, rows, cols):
    """Cut ``rows`` into bands (top, count) whose columns of ``depth`` stay within BAND values."""
    most = max(1, BAND // max(1, depth * cols))
    return [(top, min(most, rows - top)) for top in range(0, rows, most)]


def columns(x, k, stride, padding, dilation, top, count, cols):
    """Lay out the windows of output rows top..top + count: (c, k, k, count, cols)."""
    c, height, width = x.shape
    xp = x.__array_namespace__()
    out = xp.zeros((c, k, k, count, cols), x.dtype)
    for i in range(k):
        r0, r1 = inside(height, stride[0], i * dilation - padding, top, top + count)
        rows = slice(r0 * stride[0] + i * dilation - padding, None, stride[0])
        for j in range(k):
            c0, c1 = inside(width, stride[1], j * dilation - padding, 0, cols)
            if r1 <= r0 or c1 <= c0:
                continue
            wide = slice(c0 * stride[1] + j * dilation - padding, None, stride[1])
            out[:, i, j, r0 - top : r1 - top, c0:c1] = x[:, rows, wide][:, : r1 - r0, : c1 - c0]
    return out


def inside(n, stride, offset, first, last):
    """Return the part of positions first..last whose cell, stride * i + offset, lies in 0..n."""
    low = max(first, -(offset // stride))
    high = min(last, (n - 1 - offset) // stride + 1)
    return low, high


def binarize_weights(w):
    """Return per filter its mean magnitude with the signs of w (darknet's binarize_weights)."""
    mean = abs(w).mean((1, 2, 3), keepdims=True)
    return np.where(w > 0, mean, -mean)


def signs(x):
    """Return 1 where x is positive and -1 elsewhere, in the dtype of x."""
    return (np.float32(2) * (x > 0) - np.float32(1)).astype(x.dtype)


def blur_kernel(like, kind):
    """Return the depthwise weights (c, 1, k, k) of [convolutional] antialiasing=1 or 2.

    ``like`` (n, c, h, w) gives the channels and the dtype.
    """
    line = np.array([1, 2, 1] if kind == 1 else [1, 1], like.dtype)
    kernel = np.outer(line, line) / line.sum() ** 2
    xp = like.__array_namespace__()
    return xp.asarray(np.broadcast_to(kernel, (like.shape[1], 1, *kernel.shape)).copy())
