"""Numbers that are finite, and those that are not."""

import numpy as np

from darkpy.train.finite import is_finite


def test_large_values_are_finite_though_their_sum_is_not():
    assert is_finite(np.full(8, 3e38, np.float32))
    assert not is_finite(np.array([np.inf, -np.inf], np.float32))
