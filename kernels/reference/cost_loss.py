"""The losses of vectors: of a [softmax] and of a [cost]; darknet's blas.c."""

import numpy as np

__all__ = ["cost_loss", "softmax_loss"]

MASKED = -1234  # darknet's SECRET_NUM: nothing is to be learned where a truth is this


def softmax_loss(y, truth):
    """Return the gradient of the cross-entropy by what a softmax was given, and the cost.

    y        as `softmax` gives it; truth in its shape
    returns  y - truth, whatever the temperature; and the sum of -log y where truth is not 0, as
             darknet has it: with smoothed truths that is not the cross-entropy
    """
    seen = truth != MASKED
    with np.errstate(divide="ignore"):  # of what is impossible the cost is inf
        losses = -np.log(y[seen & (truth != 0)])
    return np.where(seen, y - truth, 0).astype(y.dtype), float(losses.sum(dtype=np.float64))


def cost_loss(x, truth, *, kind="sse", scale=1.0):
    """Return the gradient of a distance by x, times ``scale``, and the distance itself.

    x      in the shape of truth
    kind   "sse"     half the sum of squared differences, of which the cost is twice that
           "masked"  the same; nothing is learned where truth is -1234
           "smooth"  the difference in the gradient is limited to -1..1; https://arxiv.org/abs/1504.08083
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what is predicted may be anything
        difference = x - truth
        if kind == "masked":
            difference = np.where(truth == MASKED, 0, difference).astype(x.dtype)
        costs = difference * difference
        if kind == "smooth":
            size = np.abs(difference)
            costs = np.where(size < 1, costs, 2 * size - 1)
            difference = np.clip(difference, -1, 1)
        return scale * difference, float(costs.sum(dtype=np.float64))
