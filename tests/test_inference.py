"""Networks that run: by plans or not, several inputs at once, and where their parameters are."""

import threading

import numpy as np
import pytest

import darkpy
from darkpy import NetworkError, WeightsError
from tests.conftest import ROOT
from tests.plan import networks
from tests.tiny import write_model


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path)


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (48, 80, 3), np.uint8)


def test_activations_are_maps_where_they_are_maps(tmp_path, rng):
    (tmp_path / "x.cfg").write_text(
        "[net]\nwidth=6\nheight=4\nchannels=3\n[convolutional]\nfilters=3\n"
        "[avgpool]\n[connected]\noutput=5\n[dropout]\n[softmax]\n"
    )
    detector = darkpy.load(tmp_path / "x.cfg")
    x = rng.random((3, 4, 6), np.float32)
    shapes = [y.shape for y in detector.activations(x)]
    assert shapes == [(3, 4, 6), (3, 1, 1), (5,), (5,), (5,)]
    outputs = detector.forward(x)
    assert list(outputs) == [4] and outputs[4].sum() == pytest.approx(1, abs=1e-6)
    with pytest.raises(NetworkError, match="has no detection head"):
        detector.detect(np.zeros((4, 6, 3), np.uint8))


@pytest.fixture
def large(tmp_path):
    """A detector whose plan is made; it lets its parameters go."""
    cfg = ROOT / "cfg" / "shapes.cfg"
    network = darkpy.Network.from_cfg(cfg)
    darkpy.write_weights(network, networks.params(network), tmp_path / "large.weights")
    detector = darkpy.load(cfg, tmp_path / "large.weights")
    assert detector.planned
    return detector


def test_parameters_that_a_plan_has_packed_are_read_anew_when_asked_for(large, image):
    x = large.prepare(image)
    own = large.forward(x)
    assert not any(large._params)
    last = large.activations(x)[-1]
    np.testing.assert_allclose(own[len(large.network.nodes) - 1], last, rtol=0, atol=1e-4)
    want = networks.params(large.network)
    for mine, theirs in zip(large.params, want, strict=True):
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[name], theirs[name]) for name in theirs)


def test_parameters_that_were_asked_for_are_kept(large, image):
    kept = large.params
    large.detect(image)
    assert any(kept) and kept is large.params


def test_parameters_of_a_file_that_has_changed_are_not_taken_for_the_old_ones(
    large, image, tmp_path
):
    large.detect(image)
    darkpy.write_weights(
        large.network, networks.params(large.network, 5), tmp_path / "large.weights"
    )
    with pytest.raises(WeightsError, match=r"large.weights: has changed since it was loaded"):
        large.activations(large.prepare(image))
    assert len(large.detect(image, 0.0)) >= 0  # the plan goes on


def test_threads_that_ask_for_a_plan_and_for_parameters_at_once_find_both(large, image):
    x = large.prepare(image)
    found = []
    threads = [
        threading.Thread(target=lambda ask=ask: found.append(len(ask(x))))
        for ask in (large.forward, large.activations) * 3
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == len(threads)


def test_many_pictures_go_through_a_plan_at_once(folder, image, monkeypatch):
    monkeypatch.setattr(darkpy.Detector, "planned", True)
    detector = darkpy.load(folder / "tiny.cfg", folder / "tiny.weights")
    images = [np.roll(image, n, 1) for n in range(10)]
    many = detector.detect(images, 0.1)
    assert detector.at_once == 8 and sorted(detector._plans) == [1, 8]
    assert len({one.xyxy.tobytes() for one in many}) == 10
    for one, found in zip(images, many, strict=True):
        alone = detector.detect(one, 0.1)
        np.testing.assert_array_equal(found.class_id, alone.class_id)
        # sums in another order: float32 pixels of a picture of 80
        np.testing.assert_allclose(found.xyxy, alone.xyxy, atol=1e-3)
    detector.plan_of(3)
    assert sorted(detector._plans) == [1, 3]


def test_large_maps_go_through_alone(folder, monkeypatch):
    monkeypatch.setattr(darkpy.Detector, "planned", True)
    monkeypatch.setattr("darkpy.inference.MAPS_AT_ONCE", 200_000)
    detector = darkpy.load(folder / "tiny.cfg")
    assert 1 <= detector.at_once < 8
