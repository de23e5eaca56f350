"""What all losses have in common: the factor of their gradients, for what is of 16 bits."""

import numpy as np
import pytest

from darkpy.kernels import cuda
from darkpy.kernels.cuda.device import Map
from tests.kernels.cases import CASES
from tests.kernels.cuda.agree import around, device, from_map, to_map

OPS = (
    *("yolo_loss", "gaussian_yolo_loss", "region_loss", "detection_loss"),
    *("cost_loss", "softmax_loss"),
)
FIRST = [next(case for case in CASES if case.op == op) for op in OPS]
FIGURES = {"yolo_loss": 3, "gaussian_yolo_loss": 3, "region_loss": 5, "detection_loss": 5}


@pytest.mark.parametrize("case", FIRST, ids=str)
def test_a_factor_is_of_the_gradient_and_not_of_the_figures(case):
    on, (y, *others), found = device(), case.draw(), []
    held = to_map(on, y, "float") if y.ndim == 4 else y
    for factor in (None, np.array([512], np.float32)):
        gradient = around(on, y.shape, "float") if y.ndim == 4 else np.empty_like(y)
        figures = np.zeros(FIGURES.get(case.op, 1), np.float32)
        out, numbers = (gradient, figures), {**case.numbers, "factor": factor}
        on.run(getattr(cuda, case.op)(on, out, held, *others, **numbers))
        found.append((from_map(gradient) if isinstance(gradient, Map) else gradient, figures))
    (gradient, figures), (larger, same) = found
    assert gradient.any()
    np.testing.assert_array_equal(larger, 512 * gradient)
    np.testing.assert_array_equal(figures, same)
