import math

import cv2
import numpy as np
import pytest

from darkpy.data.tone import Tone, blurred, draw_scale, draw_tone, noisy, recolour, sparing

NOTHING = {"hue": 0.0, "saturation": 1.0, "exposure": 1.0, "blur": 0, "gaussian_noise": 0}
PLAIN = Tone(0.0, 1.0, 1.0, 0, 0)


def drawn(count=900, **keys):
    rng = np.random.default_rng(1)
    return [draw_tone(rng, **NOTHING | keys) for _ in range(count)]


def test_nothing_asked_for_changes_nothing(rng):
    image = rng.integers(0, 256, (4, 5, 3)).astype(np.uint8)
    assert set(drawn(50)) == {PLAIN}
    assert recolour(image, PLAIN) is image


def test_scale_is_even_between_1_and_most_or_one_by_it(rng):
    scales = np.array([draw_scale(rng, 1.5) for _ in range(2000)])
    above = scales[scales >= 1]
    assert 0.47 < len(above) / 2000 < 0.53
    assert abs(above.mean() - 1.25) < 0.01 and 1.49 < above.max() <= 1.5
    assert abs((1 / scales[scales < 1]).mean() - 1.25) < 0.01
    assert all(0.5 <= draw_scale(rng, 0.5) <= 2 for _ in range(50))


def test_each_key_has_its_draw():
    assert abs(np.array([one.hue for one in drawn(hue=0.1)])).max() == pytest.approx(0.1, 0.02)
    assert np.mean([one.hue for one in drawn(hue=0.1)]) == pytest.approx(0, abs=0.01)
    assert max(one.saturation for one in drawn(saturation=1.5)) == pytest.approx(1.5, 0.02)
    assert max(one.exposure for one in drawn(exposure=2.0)) == pytest.approx(2, 0.02)
    blurs = [one.blur for one in drawn(blur=9)]
    assert all(0.27 < blurs.count(code) / 900 < 0.4 for code in (0, 1, 9))
    noises = [one.noise for one in drawn(gaussian_noise=30)]
    assert set(noises) == {0, 30} and 0.45 < noises.count(30) / 900 < 0.55
    assert {one.noise for one in drawn(gaussian_noise=500)} == {0, 127}
    assert {one.noise for one in drawn(gaussian_noise=-5)} == {0}


@pytest.mark.parametrize("tone", [(0.1, 1.5, 0.7), (-0.3, 0.6, 1.9), (0.9, 1.0, 1.0)])
def test_recolour_works_in_bytes_that_end_at_0_and_255(tone, rng):
    image = rng.integers(0, 256, (6, 7, 3)).astype(np.uint8)
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    for pixel in hsv.reshape(-1, 3):
        h, s, v = map(int, pixel)
        hue, saturation, exposure = tone
        pixel[:] = [
            min(255, max(0, round(h + 179 * hue))),
            min(255, round(s * saturation)),
            min(255, round(v * exposure)),
        ]
    expected = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    assert (recolour(image, Tone(*tone, 0, 0)) == expected).all()


def test_a_grey_picture_has_exposure_only():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    found = recolour(image, Tone(0.3, 1.5, 1.5, 0, 0))
    assert found.shape == image.shape
    assert found.ravel().tolist() == [min(255, round(1.5 * level)) for level in range(256)]
    assert (recolour(image, Tone(0.3, 1.5, 1.0, 0, 0)) == image).all()


def test_blur_spares_small_objects():
    def truths(*sides):
        return np.array([[0, 0.5, 0.5, w, h] for w, h in sides], np.float32).reshape(-1, 5)

    net = (100, 200)
    assert sparing(9, truths((1, 1), (0.5, 0.36)), net) == 4  # 36 pixels high
    assert sparing(9, truths((0.05, 1)), net) == 1
    assert sparing(9, truths((0.03, 1)), net) == 0
    assert sparing(9, truths((1, 0.8)), net) == 9
    assert sparing(9, truths(), net) == 0
    assert sparing(1, truths((0.01, 0.01)), net) == 1
    assert sparing(0, truths((1, 1)), net) == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_blur_of_all_or_of_the_background(channels, rng):
    image = rng.integers(0, 256, (40, 60, channels)).astype(np.uint8)
    truths = np.array([[0, 0.5, 0.5, 0.5, 0.5]], np.float32)
    for blur, size in ((2, 3), (5, 5), (8, 9)):
        expected = cv2.GaussianBlur(image, (size, size), 0).reshape(image.shape)
        assert (blurred(image, blur, truths) == expected).all()
    soft = cv2.GaussianBlur(image, (17, 17), 0).reshape(image.shape)
    found = blurred(image, 1, truths)
    assert (found[10:30, 15:45] == image[10:30, 15:45]).all()
    found[10:30, 15:45] = soft[10:30, 15:45]
    assert (found == soft).all()


def test_noise_only_adds(rng):
    image = np.full((80, 90, 1), 100, np.uint8)
    added = noisy(image, 20, rng).astype(int) - 100
    assert added.shape == image.shape and added.min() == 0
    assert added.mean() == pytest.approx(20 / math.sqrt(2 * math.pi), 0.03)
    assert (added > 40).mean() == pytest.approx(0.0214, abs=0.005)
    assert noisy(np.full((9, 9, 3), 250, np.uint8), 127, rng).max() == 255
