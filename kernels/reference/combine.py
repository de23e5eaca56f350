"""Put maps together: biases, sums, and runs of channels."""

__all__ = ["add", "bias", "bias_grad", "channels", "channels_grad", "concat", "concat_grad"]


def bias(x, b):
    """Add b (c,) to each channel of x (n, c, h, w)."""
    return x + b[:, None, None]


def bias_grad(dy):
    """Return the gradient (c,) of the biases."""
    return dy.sum((0, 2, 3))


def add(*xs):
    """Return the sum of maps of one shape."""
    return sum(xs[1:], xs[0])


def concat(*xs):
    """Lay maps (n, c_i, h, w) one behind the other: (n, sum of c_i, h, w)."""
    return xs[0] if len(xs) == 1 else xs[0].__array_namespace__().concatenate(xs, 1)


def concat_grad(dy, *, counts):
    """Return the gradient of each map, given how many channels each has."""
    parts, start = [], 0
    for count in counts:
        parts.append(dy[:, start : start + count])
        start += count
    return tuple(parts)


def channels(x, *, start, count):
    """Return ``count`` channels of x from ``start``."""
    return x[:, start : start + count]


def channels_grad(dy, *, start, channels):
    """Return the gradient of a map of ``channels`` of which those from ``start`` were taken."""
    n, count, h, w = dy.shape
    dx = dy.__array_namespace__().zeros((n, channels, h, w), dy.dtype)
    dx[:, start : start + count] = dy
    return dx
