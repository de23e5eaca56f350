"""Weights that are made of others, or of nothing."""

import numpy as np
import pytest

from darkpy.kernels.cuda import binarize_weights, blur_kernel
from tests.kernels.cuda.agree import REFERENCE, device, to_map


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 5, 3, 3), (2, 100, 3, 3)], ids=str)
def test_filters_are_signs_times_a_mean(shape):
    on = device()
    w = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    w[0, 0, 0, 0] = 0  # its sign is that of negative numbers
    y = on.upload(np.full(shape, np.nan, np.float32))
    on.run(binarize_weights(on, y, on.upload(w)))
    np.testing.assert_allclose(y, REFERENCE.binarize_weights(w.astype(float)), rtol=1e-5)


@pytest.mark.parametrize("kind", [1, 2])
def test_blur_is_exact(kind):
    on, like = device(), np.zeros((1, 5, 2, 2), np.float32)
    truth = REFERENCE.blur_kernel(like, kind)
    y = on.upload(np.full(truth.shape, np.nan, np.float32))
    on.run(blur_kernel(on, y, to_map(on, like, "float"), kind))
    np.testing.assert_array_equal(y, truth)
