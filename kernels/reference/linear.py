"""Multiply each picture, read as one vector, with a matrix; and the gradients."""

__all__ = ["linear", "linear_input_grad", "linear_weight_grad"]


def linear(x, w):
    """Return x wᵀ.

    x        (n, c, h, w), read as vectors in the order c, h, w
    w        (f, c * h * w), as in a .weights file
    returns  (n, f, 1, 1)
    """
    return (_rows(x) @ w.T)[:, :, None, None]


def linear_weight_grad(dy, x):
    """Return the gradient of w, (f, c * h * w), given dy (n, f, 1, 1) and x."""
    return _rows(dy).T @ _rows(x)


def linear_input_grad(dy, w, *, shape):
    """Return the gradient of x, of ``shape`` (n, c, h, w), given dy (n, f, 1, 1) and w."""
    return (_rows(dy) @ w).reshape(shape)


def _rows(x):
    return x.reshape(x.shape[0], -1)
