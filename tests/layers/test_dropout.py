import numpy as np
import pytest

from darkpy.layers.dropout import Dropout
from tests.layers.gradient import check_layer, drawn, run


def test_does_nothing_outside_training(rng):
    x = drawn((2, 3, 4, 4), rng)
    for layer in (Dropout(probability=0.7), Dropout(probability=0.7, dropblock=True)):
        np.testing.assert_array_equal(run(layer, x)[1], x)


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.75])
def test_zeroes_the_share_asked_for_and_keeps_the_mean(probability):
    x = np.ones((4, 20, 30, 30))
    y = run(Dropout(probability=probability), x, train=True)[1]
    kept = y != 0
    # 72 000 draws: three standard deviations of a share are at most 3 sqrt(1 / 4 / 72 000) = .006
    assert abs(1 - kept.mean() - probability) < 0.006
    np.testing.assert_allclose(y[kept], 1 / (1 - probability))
    check_layer(Dropout(probability=probability), (3, 4, 5))


def test_everything_may_drop_out():
    assert not run(Dropout(probability=1.0), np.ones((1, 2, 3, 4)), train=True)[1].any()


def test_the_seed_alone_decides():
    x = np.ones((1, 2, 8, 8), np.float32)
    one, same, other = (run(Dropout(), x, train=True, seed=s)[1] for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def in_squares(dropped, size):
    """Tell whether every dropped cell of a map lies in a dropped square of this size."""
    h, w = dropped.shape
    covered = np.zeros_like(dropped)
    for i in range(h - size + 1):
        for j in range(w - size + 1):
            if dropped[i : i + size, j : j + size].all():
                covered[i : i + size, j : j + size] = True
    return (covered == dropped).all()


@pytest.mark.parametrize(
    ("keys", "size"),
    [
        ({"dropblock_size_abs": 3}, 3),
        ({"dropblock_size_rel": 0.25}, 4),
        ({"dropblock_size_abs": 2, "dropblock_size_rel": 0.5}, 2),
        ({}, 7),
    ],
)
def test_dropblock_drops_squares(keys, size):
    layer = Dropout(probability=0.1, dropblock=True, **keys)
    y = run(layer, np.ones((3, 8, 16, 20)), train=True)[1]
    assert 0 < (y == 0).mean() < 1
    assert all(in_squares(one == 0, size) for image in y for one in image)
    np.testing.assert_allclose(y.mean((1, 2, 3)), 1)  # what is kept makes up for what is not
    check_layer(layer, (2, 5, 6))


def test_dropblock_drops_about_the_share_asked_for():
    layer = Dropout(probability=0.1, dropblock=True, dropblock_size_abs=3)
    y = run(layer, np.ones((4, 50, 20, 20)), train=True)[1]
    # The paper's chance takes no account of squares that overlap: a little less drops out.
    assert 0.085 < (y == 0).mean() < 0.1
