"""Each formula of size once: outputs of convolutions and pools, the batch-norm epsilon."""

BATCHNORM_EPSILON = 1e-5  # under the root, forward and backward
ROLLING_MOMENTUM = 0.01  # share of the new statistics in the rolling ones


def conv_output(n: int, size: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Return how often a window of ``size`` fits ``n`` cells padded on both sides; 0 if never."""
    return max(0, (n + 2 * padding - dilation * (size - 1) - 1) // stride + 1)


def pool_output(n: int, size: int, stride: int, padding: int) -> int:
    """Return the positions of a pool on ``n`` cells with ``padding`` in all, both sides together.

    Window i begins at i * stride - padding // 2 (darknet's maxpool_layer.c).
    """
    return max(0, (n + padding - size) // stride + 1)
