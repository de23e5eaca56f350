"""Give every picture the same map."""

__all__ = ["repeat", "repeat_grad"]


def repeat(w, x):
    """Return w (c, h, w) once for each picture of x (n, ...)."""
    return w.__array_namespace__().broadcast_to(w, (len(x), *w.shape)).copy()


def repeat_grad(dy):
    """Return the gradient of w."""
    return dy.sum(0)
