"""Local response normalisation over channels (Krizhevsky et al. 2012, section 3.3).

y = x (kappa + alpha s) ^ -beta, where s sums the squares of the channels k - (size - 1) // 2 to
k + size // 2 that there are. alpha is not divided by size.
"""

__all__ = ["lrn", "lrn_grad"]


def lrn(x, *, size, alpha, beta, kappa):
    """Normalise x (n, c, h, w)."""
    return x * norms(x, size, alpha, kappa) ** -beta


def lrn_grad(dy, x, *, size, alpha, beta, kappa):
    """Return the gradient of x."""
    norm = norms(x, size, alpha, kappa)
    power = norm**-beta
    inner = windows(dy * x * power / norm, size // 2, (size - 1) // 2)
    return dy * power - (2 * alpha * beta) * x * inner


def norms(x, size, alpha, kappa):
    """Return kappa + alpha times the sum of squares in each window."""
    return kappa + alpha * windows(x * x, (size - 1) // 2, size // 2)


def windows(x, before, after):
    """Return the sums over the channels k - before to k + after."""
    c = x.shape[1]
    total = x.copy()
    for offset in range(-min(before, c - 1), min(after, c - 1) + 1):
        if offset < 0:
            total[:, -offset:] += x[:, :offset]
        elif offset > 0:
            total[:, :-offset] += x[:, offset:]
    return total
