"""Detection heads from blocked and planar maps, against the reference in float64."""

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cpu.engine import head
from tests.kernels.engine.maps import blocked, execute, planar

reference = ops("reference")
TOLERANCE = {"rtol": 2e-6, "atol": 1e-6}  # a few roundings of float32


def drawn(shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32) * 3


@pytest.mark.parametrize("make", [blocked, planar])
@pytest.mark.parametrize("side", [(13, 13), (3, 20)])
@pytest.mark.parametrize(
    "numbers",
    [{"classes": 80}, {"classes": 1, "scale_x_y": 1.05}, {"classes": 2, "new_coords": True}],
    ids=str,
)
def test_yolo(make, side, numbers):
    x = make(2, 3 * (5 + numbers["classes"]), *side, border=1)
    x.put(drawn(x.get().shape))
    for border in (0, (1, 0, 2, 3)):
        y = planar(2, x.map.c, *side, border=border)
        execute(head.yolo(x.map, y.map, **numbers))
        want = reference.yolo(x.get().astype(float), **numbers)
        np.testing.assert_allclose(y.get(), want, **TOLERANCE)
        y.check()


@pytest.mark.parametrize("make", [blocked, planar])
def test_gaussian_yolo(make):
    x = make(1, 3 * (9 + 4), 5, 6).put(drawn((1, 39, 5, 6)))
    y = planar(1, 39, 5, 6)
    execute(head.gaussian_yolo(x.map, y.map, classes=4, scale_x_y=1.2))
    want = reference.gaussian_yolo(x.get().astype(float), classes=4, scale_x_y=1.2)
    np.testing.assert_allclose(y.get(), want, **TOLERANCE)
    y.check()


@pytest.mark.parametrize("make", [blocked, planar])
@pytest.mark.parametrize("classes, counts", [(20, (20,)), (24, (3, 18)), (2, ())])
def test_region(make, classes, counts):
    channels = 2 * (5 + classes)
    x = make(2, channels, 4, 3, border=1).put(drawn((2, channels, 4, 3)))
    y = planar(2, channels, 4, 3)
    execute(head.region(x.map, y.map, classes=classes, counts=counts))
    want = reference.region(x.get().astype(float), classes=classes, counts=counts)
    np.testing.assert_allclose(y.get(), want, **TOLERANCE)
    y.check()


@pytest.mark.parametrize("counts, temperature", [((30,), 1.0), ((7, 16, 6), 2.5), ((1,), 1.0)])
def test_softmax(counts, temperature):
    y = planar(3, 30, 1, 1).put(drawn((3, 30, 1, 1)))
    numbers = {"counts": counts, "temperature": temperature}
    want = reference.softmax(y.get().astype(float), **numbers)
    execute(head.softmax(y.map, **numbers))
    np.testing.assert_allclose(y.get(), want, **TOLERANCE)
    y.check()
