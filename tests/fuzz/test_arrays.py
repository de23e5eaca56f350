"""Anything given for a picture in memory: Detections, or an ImageError."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from darkpy import DarkpyError, Detections, ImageError, load
from tests.tiny import write_model


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    folder = write_model(tmp_path_factory.mktemp("model"))
    return load(folder / "tiny.cfg", folder / "tiny.weights")


class Odd(np.ndarray):
    """A kind of array of somebody else's."""


def endless():
    own = []
    own.append(own)
    return own


PICTURES = {
    "grey": lambda x: x[..., 0],
    "one channel": lambda x: x[..., :1],
    "upside down": lambda x: x[::-1],
    "mirrored": lambda x: x[:, ::-1],
    "red first": lambda x: x[..., ::-1],
    "grey, upside down": lambda x: x[::-2, ::-3, 0],
    "every second": lambda x: x[::2, ::3],
    "turned": lambda x: x.transpose(1, 0, 2),
    "Fortran's order": np.asfortranarray,
    "repeated": lambda x: np.broadcast_to(x[:1, :1], (1 << 19, 1 << 19, 3)),
    "repeated, grey": lambda x: np.broadcast_to(x[:1, :1, 0], (1 << 20, 1 << 20)),
    "masked": np.ma.masked_array,
    "a kind of its own": lambda x: x.view(Odd),
    "a matrix": lambda x: x[..., 0].view(np.matrix),
    "one pixel": lambda x: x[:1, :1],
}
OTHERS = {
    "two channels": lambda x: x[..., :2],
    "planes": lambda x: x.transpose(2, 0, 1),
    "float32": lambda x: x.astype(np.float32),
    "float64": lambda x: x / 255,
    "uint16": lambda x: x.astype(np.uint16),
    "int8": lambda x: x.view(np.int8),
    "bool": lambda x: x > 9,
    "objects": lambda x: x.astype(object),
    "words": lambda x: x.astype(str),
    "records": lambda x: x.view([("b", "u1"), ("g", "u1"), ("r", "u1")]),
    "times": lambda x: x.astype("M8[s]"),
    "one dimension": lambda x: x.reshape(-1),
    "no dimension": lambda x: x[0, 0, 0],
    "an array of no dimension": lambda x: np.array(x[0, 0, 0]),
    "a batch": lambda x: x[None],
    "no row": lambda x: x[:0],
    "no column": lambda x: x[:, :0],
    "no channel": lambda x: x[..., :0],
    "a list of rows": lambda x: x.tolist(),
    "nothing": lambda x: None,
    "a path": lambda x: "dog.jpg",
    "bytes": lambda x: b"dog.jpg",
    "a number": lambda x: 7,
    "a dict": lambda x: {"image": x},
    "a mixed list": lambda x: [x, None],
    "a mixed tuple": lambda x: (x, x[..., 0], "dog.jpg"),
    "lists in a list": lambda x: [[x], [x]],
    "a list of itself": lambda x: endless(),
}


def photo():
    """Return a picture that cannot be written to."""
    image = np.random.default_rng(6).integers(0, 256, (24, 32, 3), np.uint8)
    image.flags.writeable = False
    return image


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("what", PICTURES)
def test_any_layout_is_the_same_picture(what, boxed, detector, tried):
    image = PICTURES[what](photo())
    found = detector.detect(image, 0.1, boxed)
    if image.size < 1e6:
        whole = detector.detect(np.array(image), 0.1, boxed)
        np.testing.assert_array_equal(found.xyxy, whole.xyxy)
    assert len(found)
    tried("pictures: arrays")


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("what", OTHERS)
def test_what_is_no_picture(what, boxed, detector, tried):
    with pytest.raises(ImageError, match="expected an array"):
        detector.detect(OTHERS[what](photo()), 0.1, boxed)
    tried("pictures: arrays")


any_array = arrays.arrays(
    arrays.array_dtypes() | arrays.scalar_dtypes() | st.just(np.uint8),
    arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)
sides = st.integers(1, 9)
pictures = arrays.arrays(np.uint8, st.tuples(sides, sides, st.just(3)))


@settings(suppress_health_check=["function_scoped_fixture"], max_examples=200)
@given(image=any_array | pictures)
def test_drawn_arrays(image, detector, tried):
    try:
        assert isinstance(detector.detect(image, 0.1), Detections)
    except DarkpyError as error:
        assert str(error)
    tried("pictures: arrays")
