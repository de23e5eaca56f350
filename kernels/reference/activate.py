"""Apply an activation of the table kernels/common/activations.py, and its gradient."""

from ..common.activations import ACTIVATIONS

__all__ = ["activate", "activate_grad"]


def activate(x, name):
    """Return the activation ``name`` of x; those over channels need x (n, c, h, w)."""
    return x if name == "linear" else ACTIVATIONS[name].value(x)


def activate_grad(dy, x, name):
    """Return the gradient of x, the argument of the activation, given that of its value."""
    row = ACTIVATIONS[name]
    if name == "linear":
        return dy
    return row.gradient(dy, x) if row.over_channels else dy * row.slope(x)
