import logging
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkpy.data.image import prepare, read_image, recoloured, to_planar
from darkpy.errors import ImageError
from darkpy.kernels import ops

REFERENCE, CPU = ops("reference"), ops("cpu")

# The loops below do the same arithmetic in the same order, one float32 at a time; a compiler may
# fuse a multiplication and an addition, so that a few parts in ten million are allowed.
TOLERANCE = 1e-6


def resize_by_loops(planes, h, w):
    """Resize with the loops of darknet's image.c:resize_image, and mend the last row."""
    f = np.float32
    c, old_h, old_w = planes.shape
    part = np.zeros((c, old_h, w), f)
    for x in range(w):
        if x == w - 1 or old_w == 1:
            part[:, :, x] = planes[:, :, old_w - 1]
            continue
        at = f(x) * (f(old_w - 1) / f(w - 1))
        left = int(at)
        share = at - f(left)
        part[:, :, x] = (1 - share) * planes[:, :, left] + share * planes[:, :, left + 1]
    out = np.zeros((c, h, w), f)
    for y in range(h):
        if y == h - 1 or old_h == 1:
            out[:, y] = part[:, old_h - 1]
            continue
        at = f(y) * (f(old_h - 1) / f(h - 1))
        above = int(at)
        share = at - f(above)
        out[:, y] = (1 - share) * part[:, above] + share * part[:, above + 1]
    return out


def letterbox_by_loops(planes, h, w):
    """Fit and embed as darknet's image.c:letterbox_image does."""
    c, old_h, old_w = planes.shape
    if np.float32(w) / np.float32(old_w) < np.float32(h) / np.float32(old_h):
        new_w, new_h = w, max(1, old_h * w // old_w)
    else:
        new_w, new_h = max(1, old_w * h // old_h), h
    inner = resize_by_loops(planes, new_h, new_w)
    out = np.full((c, h, w), 0.5, np.float32)
    for y in range(new_h):
        for x in range(new_w):
            out[:, (h - new_h) // 2 + y, (w - new_w) // 2 + x] = inner[:, y, x]
    return out


sides = st.integers(1, 40)


def picture(h, w, c=3):
    return np.random.default_rng(0).integers(0, 256, (h, w, c), np.uint8)


@given(sides, sides, sides, sides, st.sampled_from([1, 3]))
def test_resizing_equals_darknets_loops(old_h, old_w, h, w, c):
    image = picture(old_h, old_w, c)
    got = prepare(image, (c, h, w), False, REFERENCE)
    assert got.dtype == np.float32
    expected = resize_by_loops(to_planar(image), h, w)
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(prepare(image, (c, h, w), False, CPU), got)


@given(sides, sides, sides, sides)
def test_letterbox_equals_darknets_loops(old_h, old_w, h, w):
    image = picture(old_h, old_w)
    got = prepare(image, (3, h, w), True, REFERENCE)
    expected = letterbox_by_loops(to_planar(image), h, w)
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(prepare(image, (3, h, w), True, CPU), got)


@pytest.mark.parametrize(("old", "new"), [(240, 416), (400, 608), (375, 500), (3000, 416)])
def test_the_last_row_and_column_are_the_pictures_own(old, new):
    image = picture(old, old, 1)
    planes = to_planar(image)
    got = REFERENCE.resize_picture(image, h=new, w=new)
    assert got[0, -1, -1] == planes[0, -1, -1]
    last = REFERENCE.resize_picture(image[-1:], h=1, w=new)
    np.testing.assert_array_equal(got[:, -1], last[:, 0])
    np.testing.assert_allclose(got, resize_by_loops(planes, new, new), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("ops", [REFERENCE, CPU], ids=["reference", "cpu"])
def test_a_picture_of_the_networks_size_is_not_mixed(ops):
    image = picture(7, 9)
    np.testing.assert_array_equal(prepare(image, (3, 7, 9), False, ops), to_planar(image))


def test_a_very_long_picture_stays_one_row_high():
    got = prepare(np.full((1, 20000, 3), 255, np.uint8), (3, 416, 416), True, CPU)
    np.testing.assert_array_equal(got[:, 207], 1)
    assert (got == 1).sum() == 3 * 416
    assert (got == 0.5).sum() == 3 * 415 * 416


@pytest.mark.parametrize("ops", [REFERENCE, CPU], ids=["reference", "cpu"])
@pytest.mark.parametrize("letter_box", [False, True])
def test_what_is_prepared_is_written_where_it_is_wanted(letter_box, ops):
    batch = np.full((3, 3, 19, 21), np.nan, np.float32)
    image = picture(12, 30)
    got = prepare(image, (3, 19, 21), letter_box, ops, out=batch[1])
    assert np.shares_memory(got, batch)
    np.testing.assert_array_equal(batch[1], prepare(image, (3, 19, 21), letter_box, ops))
    assert np.isnan(batch[[0, 2]]).all()


def test_planes_are_red_first_and_divided_in_float32():
    image = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, 2)
    image[..., 0] = 0  # blue
    planes = to_planar(image)
    assert planes.shape == (3, 1, 256)
    assert planes.flags.c_contiguous
    expected = [np.float32(value) / np.float32(255) for value in range(256)]
    np.testing.assert_array_equal(planes[0, 0], expected)
    assert not planes[2].any()


def test_prepare_takes_any_layout_and_leaves_the_picture_alone(rng):
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    before = image.copy()
    flipped = image[::-1, ::-1]
    for shape in ((3, 20, 30), (3, 11, 13), (1, 11, 13)):
        expected = prepare(np.ascontiguousarray(flipped), shape, False, CPU)
        np.testing.assert_array_equal(prepare(flipped, shape, False, CPU), expected)
    np.testing.assert_array_equal(image, before)


def test_prepare_changes_the_channels_as_opencv_does(rng):
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    np.testing.assert_array_equal(
        prepare(image, (1, 20, 30), False, CPU), to_planar(grey[..., None])
    )
    for given_grey in (grey, grey[..., None]):
        three = prepare(given_grey, (3, 20, 30), False, CPU)
        np.testing.assert_array_equal(three, np.repeat(to_planar(grey[..., None]), 3, 0))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "got NoneType; did the file open"),
        ("dog.jpg", "got str"),
        (np.zeros((4, 4, 3), np.float32), "got float32"),
        (np.zeros((4, 4, 4), np.uint8), r"got shape \(4, 4, 4\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"got shape \(2, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"got shape \(0, 4, 3\)"),
        (np.zeros(4, np.uint8), r"got shape \(4,\)"),
    ],
)
def test_what_is_no_picture_is_refused(image, message):
    with pytest.raises(ImageError, match=message):
        prepare(image, (3, 8, 8), False, CPU)


def test_a_network_of_other_channels_is_refused():
    with pytest.raises(ImageError, match="the network takes 4 channels"):
        recoloured(np.zeros((4, 4, 3), np.uint8), 4)


# Files.


def photo(h=48, w=64):
    """A smooth picture, which a lossy format keeps nearly."""
    y, x = np.mgrid[:h, :w]
    return np.stack([4 * x, 5 * y, 255 - 2 * x - 2 * y], -1).clip(0, 255).astype(np.uint8)


def encoded(extension, image):
    return cv2.imencode(extension, image)[1].tobytes()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(w, h):
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0))


def write(tmp_path, data, name="picture"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("extension", [".png", ".bmp", ".jpg", ".webp", ".tif", ".ppm"])
def test_reading_gives_what_opencv_reads(tmp_path, extension):
    path = write(tmp_path, encoded(extension, photo()), f"собака 犬{extension}")
    image = read_image(path)
    assert (image.shape, image.dtype) == ((48, 64, 3), np.uint8)
    np.testing.assert_array_equal(image, cv2.imdecode(np.fromfile(path, np.uint8), 1))
    assert np.abs(image.astype(int) - photo()).max() < 40  # webp and jpg lose a little
    assert read_image(str(path), channels=1).shape == (48, 64, 1)


@pytest.mark.parametrize(
    "image",
    [
        np.full((5, 7), 90, np.uint8),
        np.full((5, 7), 90 * 257, np.uint16),
        np.full((5, 7, 3), 90 * 257, np.uint16),
        np.full((5, 7, 4), 90, np.uint8),
        np.full((1, 1, 3), 90, np.uint8),
        np.full((1, 20000, 3), 90, np.uint8),
        np.full((20000, 1, 3), 90, np.uint8),
    ],
    ids=["grey", "16 bits grey", "16 bits", "alpha", "1x1", "20000x1", "1x20000"],
)
def test_odd_pictures_become_plain_ones(tmp_path, image):
    path = write(tmp_path, encoded(".png", image))
    for channels in (1, 3):
        got = read_image(path, channels)
        assert got.shape == (*image.shape[:2], channels)
        assert (got == 90).all()


def exif(orientation):
    entry = struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0)
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    data = b"Exif\0\0" + tiff
    return b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data


TURNED = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("channels", [1, 3])
def test_exif_turns_the_picture(tmp_path, orientation, channels):
    plain = encoded(".jpg", photo())
    turned = plain[:2] + exif(orientation) + plain[2:]
    expected = TURNED[orientation](read_image(write(tmp_path, plain, "plain.jpg"), channels))
    got = read_image(write(tmp_path, turned, "turned.jpg"), channels)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("missing", [1, 2, 20, 0.5])
def test_a_jpeg_that_ends_early_is_read_with_a_warning(tmp_path, caplog, missing):
    data = encoded(".jpg", photo(400, 600))
    kept = len(data) // 2 if missing == 0.5 else len(data) - missing
    path = write(tmp_path, data[:kept])
    with caplog.at_level(logging.WARNING):
        image = read_image(path)
    assert f"{path}: the JPEG ends early" in caplog.text
    whole = read_image(write(tmp_path, data, "whole"))
    same = (image == whole).all((1, 2))
    assert image.shape == whole.shape
    assert same[: 400 if missing in (1, 2) else 40].all()


def test_a_whole_jpeg_gives_no_warning(tmp_path, caplog):
    data = encoded(".jpg", photo())
    thumbnail = encoded(".jpg", photo(8, 8))
    within = b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    for name, more in (("plain", data), ("thumbnail", data[:2] + within + data[2:])):
        read_image(write(tmp_path, more + b"trailing", name))
    assert caplog.text == ""
    read_image(write(tmp_path, data[:2] + within + data[2:-2], "cut"))
    assert "ends early" in caplog.text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\0", "is not a picture"),
        (b"\0" * 5000, "is not a picture"),
        (b"hello, world\n" * 100, "is not a picture"),
        (b"\xff\xd8\xff", "is not a picture"),
        (b"\xff\xd8" + b"\xff\xe0\0\0" * 100_000, "is not a picture"),
        (
            encoded(".png", photo())[:200],
            "claims a part of .* bytes at byte .*, but ends after 200",
        ),
        (encoded(".bmp", photo())[:200], "is not a picture"),
        (png_header(2**31 - 1, 2**31 - 1), "claims 2147483647 x 2147483647 pixels"),
        (png_header(65536, 32768), "claims 65536 x 32768 pixels, but ends after 33"),
        (png_header(640, 480), "is not a picture"),
        (b"P6 2000000 2000000 255\n", "cannot be decoded"),
    ],
)
def test_what_cannot_be_decoded_is_named(tmp_path, data, message):
    path = write(tmp_path, data)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.jpg: cannot be read: No such file"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match="expected a picture, got a folder"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="cannot be read"):
        read_image("a\0b.jpg")
    with pytest.raises(ImageError, match="cannot be read"):
        read_image("a" * 5000)


def test_other_channels_cannot_be_read(tmp_path):
    with pytest.raises(ImageError, match="expected 1 or 3 channels of a picture; asked for 4"):
        read_image(write(tmp_path, encoded(".png", photo())), channels=4)


FILES = {kind: encoded(kind, photo(16, 24)) for kind in (".png", ".jpg", ".webp", ".ppm")}


@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
    st.floats(0, 1),
)
def test_damaged_files_give_a_picture_or_an_image_error(tmp_path_factory, kind, changes, kept):
    data = bytearray(FILES[kind])
    for at, value in changes:
        data[int(at * len(data))] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data[: max(1, int(kept * len(data)))])
    try:
        image = read_image(path)
    except ImageError as error:
        assert str(error).startswith(str(path))
    else:
        assert (image.ndim, image.dtype, image.size > 0) == (3, np.uint8, True)


@pytest.mark.parametrize("name", [b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51\0\x2f"])
def test_a_jpeg_2000_is_not_given_to_an_opencv_that_dies_of_it(tmp_path, monkeypatch, name):
    monkeypatch.setattr(cv2, "__version__", "4.11.0")
    with pytest.raises(ImageError, match=r"JPEG 2000 needs OpenCV 4\.12"):
        read_image(write(tmp_path, name + bytes(99)))
    monkeypatch.setattr(cv2, "__version__", "4.12.0-dev")
    with pytest.raises(ImageError, match="is not a picture that OpenCV can decode"):
        read_image(write(tmp_path, b"almost" + name))
