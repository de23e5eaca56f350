import threading

import numpy as np
import pytest

from darkpy.data import loader as loader_module
from darkpy.data.augment import Augmentation, sample
from darkpy.data.loader import Loader
from darkpy.errors import DataError
from tests.data.coloured import coloured_set

ALL = Augmentation(
    flip=True, jitter=0.3, resize=1.5, hue=0.1, blur=5, gaussian_noise=9, mix="mosaic"
)
NET = (48, 64)


@pytest.fixture
def coloured(tmp_path):
    return coloured_set(tmp_path)


def batches(dataset, augmentation=ALL, **options):
    options = {"seed": 1, "batch": 3, "size": NET, "stop": 6} | options
    with Loader(dataset, augmentation, **options) as loader:
        return list(loader)


def same(one, other):
    return (
        one.iteration == other.iteration
        and one.paths == other.paths
        and one.images.tobytes() == other.images.tobytes()
        and all((a == b).all() for a, b in zip(one.truths, other.truths, strict=True))
    )


def test_batches_are_samples_in_their_order(coloured):
    found = batches(coloured)
    assert [batch.iteration for batch in found] == list(range(6))
    for batch in found:
        assert batch.images.shape == (3, 3, *NET) and batch.images.dtype == np.float32
        for slot in range(3):
            made = sample(coloured, ALL, 1, 3 * batch.iteration + slot, NET)
            assert (batch.images[slot] == made.planes).all()
            assert (batch.truths[slot] == made.truths).all()
            assert batch.paths[slot] == made.path


@pytest.mark.parametrize("options", [{"workers": 1}, {"workers": 3}, {"workers": 8, "ahead": 5}])
def test_batches_do_not_depend_on_the_workers(coloured, options):
    pairs = zip(batches(coloured, workers=2), batches(coloured, **options), strict=True)
    assert all(same(one, other) for one, other in pairs)


def test_batches_do_not_depend_on_the_start(coloured):
    whole = batches(coloured)
    for start in (1, 4, 5):
        pairs = zip(whole[start:], batches(coloured, start=start), strict=True)
        assert all(same(one, other) for one, other in pairs)
    assert batches(coloured, start=6) == batches(coloured, start=9) == []


def test_batch_and_size_may_be_functions(coloured):
    options = {"batch": lambda k: 1 + k % 3, "size": lambda k: (32 + 16 * (k // 2), 64)}
    found = batches(coloured, **options)
    shapes = [batch.images.shape for batch in found]
    assert [shape[0] for shape in shapes] == [1, 2, 3, 1, 2, 3]
    assert [shape[2] for shape in shapes] == [32, 32, 48, 48, 64, 64]
    for start in (2, 5):
        assert same(found[start], batches(coloured, start=start, **options)[0])


@pytest.mark.parametrize("batch", [4, lambda k: 2 + k % 2])
def test_an_epoch_has_every_picture_once(coloured, batch):
    found = batches(coloured, Augmentation(), batch=batch, stop=30)
    paths = [path for one in found for path in one.paths]
    for at in range(0, len(paths) - 5, 6):
        assert sorted(paths[at : at + 6]) == coloured.paths


def test_another_seed_is_another_training(coloured):
    one, other = batches(coloured, stop=1)[0], batches(coloured, seed=2, stop=1)[0]
    assert (one.images != other.images).any()


def test_grey_pictures(coloured):
    (found,) = batches(coloured, Augmentation(channels=1), stop=1)
    assert found.images.shape == (3, 1, *NET)
    assert 0.1 < found.images.max() < 1


@pytest.fixture
def made(monkeypatch):
    """Return the list of what is asked of `sample` in the test."""
    asked = []

    def noted(*arguments):
        asked.append(arguments)
        return sample(*arguments)

    monkeypatch.setattr(loader_module, "sample", noted)
    return asked


def loading():
    """Return the threads of loaders; other tests may have begun others."""
    return [one for one in threading.enumerate() if one.name.startswith("darkpy-load")]


def test_no_more_is_made_than_asked_for(coloured, made):
    with Loader(coloured, ALL, seed=1, batch=3, size=NET, ahead=1) as loader:
        assert made == []
        next(loader)
        next(loader)
        assert len(made) <= 9
    assert len(made) <= 9


def test_what_goes_wrong_in_a_thread_is_raised(coloured, tmp_path):
    loader = Loader(coloured, ALL, seed=1, batch=3, size=NET)
    next(loader)
    assert loading()
    damaged = tmp_path / "damaged"
    for path in coloured.paths:
        damaged.write_bytes(b"no picture")
        damaged.replace(path)  # at once: a file opened to be written is empty for a moment
    with pytest.raises(DataError, match="is not a picture"):
        for _ in range(9):
            next(loader)
    assert not loading()
    assert list(loader) == []


def test_close_makes_no_picture_more_and_leaves_no_thread(coloured, made):
    loader = Loader(coloured, ALL, seed=1, batch=lambda k: 1 + 900 * k, size=NET, workers=2)
    next(loader)  # two batches of hundreds are under way
    loader.close()
    loader.close()
    assert len(made) < 500
    assert not loading()
    assert list(loader) == []
