"""What to multiply a map by so that parts of it drop out, and the rest makes up for them.

Numbers are drawn on the host, so that every device drops the same cells.
"""

import numpy as np

__all__ = ["dropblock_mask", "dropout_mask"]


def dropout_mask(x, rng, *, probability):
    """Return 0 with ``probability`` and 1 / (1 - probability) elsewhere, for each number of x."""
    kept = rng.random(x.shape, np.float32) >= np.float32(probability)
    rest = 1 / (1 - probability) if probability < 1 else 0.0
    return x.__array_namespace__().asarray(kept * x.dtype.type(rest))


def dropblock_mask(x, rng, *, probability, size):
    """Return 0 in random squares of size x size, and 1 / the share kept of its picture elsewhere.

    A square begins at each place with the chance that drops ``probability`` of a map in all
    (Ghiasi et al. 2018, https://arxiv.org/abs/1810.12890, equation 1).
    """
    n, c, h, w = x.shape
    rows, cols = h - size + 1, w - size + 1
    chance = probability * h * w / (size * size * rows * cols)
    corners = rng.random((n, c, rows, cols), np.float32) < np.float32(chance)
    high = np.zeros((n, c, h, cols), bool)
    for i in range(size):
        high[:, :, i : i + rows] |= corners
    dropped = np.zeros(x.shape, bool)
    for i in range(size):
        dropped[..., i : i + cols] |= high
    share = 1 - dropped.mean((1, 2, 3), keepdims=True)
    mask = ~dropped / np.maximum(share, 1 / (c * h * w))
    return x.__array_namespace__().asarray(mask.astype(x.dtype))
