import struct

import cv2
import numpy as np
import pytest

from darkpy.data.header import ends_early, too_much


def encoded(extension, image, *options):
    return cv2.imencode(extension, image, options)[1].tobytes()


def photo(h, w):
    return np.random.default_rng(0).integers(0, 256, (h, w, 3), np.uint8)


def with_size(extension, w, h):
    """Return a small file whose header tells of another size."""
    data = bytearray(encoded(extension, photo(20, 30)))
    if extension == ".png":
        struct.pack_into(">II", data, 16, w, h)
    elif extension == ".bmp":
        struct.pack_into("<ii", data, 18, w, h)
    elif extension == ".jpg":
        struct.pack_into(">HH", data, data.find(b"\xff\xc0") + 5, h, w)
    else:
        struct.pack_into("<HH", data, 6, w, h)
    return bytes(data)


@pytest.mark.parametrize("extension", [".png", ".bmp", ".jpg"])
def test_a_header_that_tells_of_too_much(extension):
    assert too_much(with_size(extension, 30000, 20000)) == "30000 x 20000 pixels"
    assert too_much(with_size(extension, 3000, 2000)) == ""


def test_a_gif_and_a_bmp_upside_down():
    gif = b"GIF89a" + struct.pack("<HH", 60000, 50000) + b"\0\0\0"
    assert too_much(gif) == "60000 x 50000 pixels"
    assert too_much(with_size(".bmp", 30000, -20000)) == "30000 x 20000 pixels"


def test_an_old_bmp():
    header = struct.pack("<IHHHH", 12, 640, 480, 1, 24)
    assert too_much(b"BM" + bytes(12) + header + bytes(100)) == ""


@pytest.mark.parametrize("extension", [".png", ".bmp", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("kind", ["black", "noise"])
def test_real_pictures_are_believed(extension, kind):
    size = (5000, 5000)
    image = np.zeros(size, np.uint8) if kind == "black" else photo(64, 64)
    assert too_much(encoded(extension, image)) == ""


def test_the_densest_pictures_are_believed():
    black = np.zeros((6000, 6000), np.uint8)
    bilevel = encoded(".png", black, cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 9)
    progressive = encoded(
        ".jpg", black, cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_OPTIMIZE, 1
    )
    assert len(bilevel) < black.size / 4000  # so that the test means something
    assert len(progressive) < black.size / 100
    assert too_much(bilevel) == too_much(progressive) == ""


@pytest.mark.parametrize("length", range(0, 40))
def test_any_beginning_of_a_file_will_do(length):
    for extension in (".png", ".bmp", ".jpg"):
        claimed = too_much(encoded(extension, photo(20, 30))[:length])
        assert claimed == "" or (extension == ".png" and claimed.startswith("a part of 13 bytes"))


def test_the_parts_of_a_png():
    data = encoded(".png", photo(20, 30))
    assert too_much(data) == too_much(data + b"trailing, and more than that") == ""
    assert too_much(data[:-12]) == ""  # without its last part, which is empty
    assert too_much(data[:-20]).startswith("a part of ")
    at = data.find(b"IDAT") - 4
    damaged = data[:at] + b"\xf0\0\0\0" + data[at + 4 :]
    assert too_much(damaged) == f"a part of {0xF0 << 24} bytes at byte {at}"


def test_the_end_of_a_jpeg():
    data = encoded(".jpg", photo(20, 30))
    assert not ends_early(data)
    assert not ends_early(data + b"trailing")
    assert ends_early(data[:-1])
    assert ends_early(data[: len(data) // 2])
    assert not ends_early(encoded(".png", photo(20, 30))[:-5])
    thumbnail = b"\xff\xe2" + struct.pack(">H", len(data) + 2) + data
    assert ends_early(data[:2] + thumbnail + data[2:-1])
