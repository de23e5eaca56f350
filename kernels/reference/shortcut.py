"""Add maps onto one of possibly another shape, each with a weight or not.

Channels count up to the fewer; a map twice as wide gives every second cell, one half as wide lands
on every second cell (shortcut_cpu of pjreddie's darknet, blas.c).
"""

__all__ = ["shortcut", "shortcut_grad", "weighted_shortcut", "weighted_shortcut_grad"]


def shortcut(x, *adds):
    """Add maps (n, c_i, h_i, w_i) onto a copy of x (n, c, h, w)."""
    y = x.copy()
    for add in adds:
        onto, taken = grid(x.shape, add.shape)
        y[onto] += add[taken]
    return y


def shortcut_grad(dy, *, shapes):
    """Return the gradient of each map added, given their shapes; that of x is dy."""
    grids = [(shape, *grid(dy.shape, shape)) for shape in shapes]
    return tuple(spread(dy[onto], shape, taken) for shape, onto, taken in grids)


def weighted_shortcut(w, x, *adds):
    """Return x w_0 and the maps added times w_i; w is (1, maps, c or 1, 1)."""
    y = x * share(w, 0, x)
    for i, add in enumerate(adds, 1):
        onto, taken = grid(x.shape, add.shape)
        part = add[taken]
        y[onto] += part * share(w, i, part)
    return y


def weighted_shortcut_grad(dy, w, x, *adds):
    """Return the gradients of w, x and each map added."""
    dw = w.__array_namespace__().zeros(w.shape, w.dtype)
    dxs = []
    for i, add in enumerate((x, *adds)):
        onto, taken = grid(dy.shape, add.shape)
        part, delta = add[taken], dy[onto]
        channels = (part * delta).sum((0, 2, 3))
        dw[0, i, : channels.size, 0] += channels if w.shape[2] > 1 else channels.sum()
        dxs.append(spread(delta * share(w, i, part), add.shape, taken))
    return dw, *dxs


def grid(out, add):
    """Return the indices, in maps of the shapes ``out`` and ``add``, of the cells that meet."""
    stride, sample = max(1, add[3] // out[3]), max(1, out[3] // add[3])
    c, h, w = (min(a, b) for a, b in zip(out[1:], add[1:], strict=True))

    def every(step):
        ends = ((h - 1) * step + 1, (w - 1) * step + 1)
        return (slice(None), slice(c), *(slice(0, end, step) for end in ends))

    return every(sample), every(stride)


def share(w, i, part):
    """Return the weights of map i as they multiply the channels of its part (n, c, h, w)."""
    return w[0, i, : part.shape[1], :, None]


def spread(part, shape, taken):
    """Return the gradient of a map of ``shape``, given that of the cells taken of it."""
    dx = part.__array_namespace__().zeros(shape, part.dtype)
    dx[taken] = part
    return dx
