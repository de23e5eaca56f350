"""Masks of what drops out: which numbers are drawn, and what becomes of them."""

import numpy as np
import pytest

from darkpy.kernels import cuda
from darkpy.kernels.cuda.dropout import Draws, first_state
from tests.kernels.cuda import agree as tools
from tests.kernels.cuda.agree import device

# By the width of a word: the multipliers of Philox, and what is added to its key each round.
MULTIPLIERS = {
    32: (0xD2511F53, 0xCD9E8D57),
    64: (0xD2E7470EE14C6C93, 0xCA5A826395121157),
}
STEPS = {32: (0x9E3779B9, 0xBB67AE85), 64: (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)}
SEED, STREAM = 0x0123456789ABCDEF, 5


def philox(counter, key, width):
    """Return what ten rounds of Philox 4x``width`` make of a counter of four words."""
    mask = (1 << width) - 1
    c, k = list(counter), list(key)
    for _ in range(10):
        left, right = (m * c[i] for m, i in zip(MULTIPLIERS[width], (0, 2), strict=True))
        c = [(right >> width) ^ c[1] ^ k[0], right & mask, (left >> width) ^ c[3] ^ k[1]]
        c.append(left & mask)
        k = [(one + step) & mask for one, step in zip(k, STEPS[width], strict=True)]
    return c


def test_ten_rounds_are_those_of_numpy(rng):
    counter, key = (rng.integers(0, 1 << 64, n, np.uint64) for n in (4, 2))
    found = np.random.Philox(counter=counter, key=key).random_raw(4)
    following = [int(counter[0]) + 1, *map(int, counter[1:])]  # numpy counts before it draws
    assert philox(following, map(int, key), 64) == found.tolist()


# The known answers of its authors: https://github.com/DEShawResearch/random123, kat_vectors.
@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (
            [(1 << 32) - 1] * 4,
            [(1 << 32) - 1] * 2,
            [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
        ),
    ],
)
def test_ten_rounds_of_words_of_32_bits(counter, key, answer):
    assert philox(counter, key, 32) == answer


def drawn(pixels, c, step, seed=SEED, stream=STREAM):
    """Return the numbers (pixels, c) that a step draws."""
    key = (seed & 0xFFFFFFFF, seed >> 32)
    groups = -(-c // 4)
    rows = [
        philox((i, stream, step & 0xFFFFFFFF, step >> 32), key, 32) for i in range(pixels * groups)
    ]
    words = np.array(rows, np.uint32).reshape(pixels, 4 * groups)[:, :c]
    return (words >> 8) * np.float32(2**-24)


@pytest.mark.parametrize("type_", ["float", "half", "bf16"])
def test_drops_what_the_counter_says(type_):
    on, shape, step = device(), (2, 11, 3, 4), (1 << 32) - 1
    y, state = tools.around(on, shape, type_), first_state(on, SEED, step)
    mask = cuda.dropout_mask(on, y, y, Draws(state, STREAM), probability=0.25)
    calls = on.bind([*mask, *cuda.next_step(on, state)])
    for i in range(2):
        for call in calls:
            call()
        kept = drawn(24, 11, step + i).reshape(2, 3, 4, 11).transpose(0, 3, 1, 2) >= 0.25
        truth = tools.rounded(kept / np.float32(0.75), type_)
        np.testing.assert_array_equal(tools.from_map(y), truth)


# Of 122,880 numbers the share dropped is right to 5 standard deviations, 0.0065.
def test_drops_its_share():
    on = device(check=False)
    y = on.map((3, 40, 32, 32), "half")
    draws = Draws(first_state(on, 7), 0)
    on.run(cuda.dropout_mask(on, y, y, draws, probability=0.3))
    x = tools.from_map(y)
    assert abs((x == 0).mean() - 0.3) < 0.0065
    assert abs(x.mean() - 1) < 0.01
    assert abs(np.corrcoef(x[0, 0].ravel(), x[0, 1].ravel())[0, 1]) < 5 / 32


def test_all_or_nothing():
    on = device()
    y, draws = on.map((1, 5, 2, 2), "float"), Draws(first_state(on, 7), 0)
    for probability, value in ((0.0, 1), (1.0, 0)):
        on.run(cuda.dropout_mask(on, y, y, draws, probability=probability))
        assert (tools.from_map(y) == value).all()


def squares(numbers, chance, size, h, w):
    """Return which of the cells (n, c, h, w) drop, given what is drawn for each corner."""
    corners = numbers < np.float32(chance)
    dropped = np.zeros((*corners.shape[:2], h, w), bool)
    for i in range(size):
        for j in range(size):
            dropped[..., i : i + corners.shape[2], j : j + corners.shape[3]] |= corners
    return dropped


@pytest.mark.parametrize(("type_", "size"), [("float", 3), ("half", 2)])
def test_drops_squares(type_, size):
    on, (n, c, h, w) = device(), (2, 11, 6, 7)
    y = tools.around(on, (n, c, h, w), type_)
    draws = Draws(first_state(on, SEED), STREAM)
    on.run(cuda.dropblock_mask(on, y, y, draws, probability=0.3, size=size))
    rows, cols = h - size + 1, w - size + 1
    numbers = drawn(n * rows * cols, c, 0).reshape(n, rows, cols, c).transpose(0, 3, 1, 2)
    dropped = squares(numbers, 0.3 * h * w / (size * size * rows * cols), size, h, w)
    truth = ~dropped / (1 - dropped.mean((1, 2, 3), keepdims=True))
    assert 0.1 < dropped.mean() < 0.5
    np.testing.assert_allclose(tools.from_map(y), truth, rtol=tools.TOLERANCE[type_])


def test_a_map_that_drops_whole():
    on = device()
    y, draws = on.map((1, 5, 2, 2), "float"), Draws(first_state(on, 7), 0)
    on.run(cuda.dropblock_mask(on, y, y, draws, probability=1.0, size=2))
    assert (tools.from_map(y) == 0).all()
