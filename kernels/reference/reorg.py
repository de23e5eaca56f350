"""Move blocks of stride x stride cells into channels and back; each op is the other's gradient.

`reorg` is what YOLOv2's passthrough does: the same move, but on the map's memory taken for one of
another shape, so that neighbours are scattered. Weights were trained on it.
"""

__all__ = ["depth_to_space", "reorg", "reorg_inverse", "space_to_depth"]


def space_to_depth(x, *, stride):
    """Return y (n, s s c, h / s, w / s): y[(a s + b) c + k, j, i] = x[k, j s + a, i s + b]."""
    n, c, h, w = x.shape
    rows, cols = h // stride, w // stride
    blocks = x.reshape(n, c, rows, stride, cols, stride).transpose(0, 3, 5, 1, 2, 4)
    return blocks.reshape(n, stride * stride * c, rows, cols)


def depth_to_space(x, *, stride):
    """Return y (n, c / s / s, h s, w s), the inverse of `space_to_depth`."""
    n, c, h, w = x.shape
    less = c // stride // stride
    blocks = x.reshape(n, stride, stride, less, h, w).transpose(0, 3, 4, 1, 5, 2)
    return blocks.reshape(n, less, h * stride, w * stride)


def reorg(x, *, stride):
    """Return y (n, s s c, h / s, w / s): x taken for (n, c / s / s, h s, w s), space to depth."""
    n, c, h, w = x.shape
    taken = x.reshape(n, c // stride // stride, h * stride, w * stride)
    moved = space_to_depth(taken, stride=stride)
    return moved.reshape(n, c * stride * stride, h // stride, w // stride)


def reorg_inverse(x, *, stride):
    """Return y (n, c / s / s, h s, w s), the inverse of `reorg`."""
    n, c, h, w = x.shape
    less = c // stride // stride
    moved = depth_to_space(x.reshape(n, less, h * stride, w * stride), stride=stride)
    return moved.reshape(n, less, h * stride, w * stride)
