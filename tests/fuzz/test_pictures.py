"""Bad pictures: each is an array that can be looked at, or an ImageError."""

import base64
import random
import struct
import zlib

import cv2
import numpy as np
import pytest

from darkpy import Detections, ImageError, load
from darkpy.data.image import read_image
from darkpy.draw import draw
from tests.fuzz import spoil
from tests.fuzz.exercise import in_time
from tests.tiny import write_model

SLOW = pytest.mark.slow


def photo(height=24, width=32, channels=3, dtype=np.uint8):
    """Return a picture that does not compress to nothing."""
    most = np.iinfo(dtype).max
    image = np.random.default_rng(6).integers(0, most, (height // 4 + 1, width // 4 + 1, channels))
    return cv2.resize(image.astype(dtype), (width, height)).reshape(height, width, channels)


def encoded(extension, image, *options):
    """Return the bytes of a picture file, or None where this OpenCV does not write them."""
    try:
        done, data = cv2.imencode(extension, image, options)
    except cv2.error:
        return None
    return data.tobytes() if done else None


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, color, rows, *extra):
    """Return a PNG by hand: some of its kinds OpenCV does not write."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + data + chunk(b"IEND", b"")


def with_exif(jpeg, orientation):
    """Return a JPEG with an EXIF orientation."""
    tags = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x112, 3, 1, orientation, 0, 0)
    segment = b"Exif\0\0" + tags
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


CMYK = base64.b64decode(  # 8 x 8
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAbEhQXFBEbFxYXHhwbIChCKyglJShROj0wQmBVZWRfVV1baniZgWpxkHNbXYW1"
    "hpCeo6utq2eAvMm6pseZqKuk/8AAFAgACAAIBEMRAE0RAFkRAEsRAP/EABUAAQEAAAAAAAAAAAAAAAAAAAUG/8QAFBAB"
    "AAAAAAAAAAAAAAAAAAAAAP/aAA4EQwBNAFkASwAAPwAlQKM6/9k="
)
FRAMES = {  # 4 x 3, two frames
    "animated .gif": base64.b64decode(
        "R0lGODdhBAADAIEAAMgKCgAAAAAAAAAAACwAAAAABAADAAAICAABCBxIUGBAACH5BAEAAAEALAAAAAAEAAMAgQrI"
        "CgAAAAAAAAAAAAgIAAEIHEhQYEAAOw=="
    ),
    "animated .webp": base64.b64decode(
        "UklGRogAAABXRUJQVlA4WAoAAAACAAAAAwAAAgAAQU5JTQYAAAAAAAAAAABBTk1GKgAAAAAAAAAAAAMAAAIAAAAA"
        "AAJWUDhMEQAAAC8DgAAAB1CFIleh/4GI6H8AAEFOTUYqAAAAAAAAAAAAAwAAAgAAAAAAAFZQOEwRAAAALwOAAAAH"
        "UOQqVKH/gYjofwAA"
    ),
}
JPEG = encoded(".jpg", photo())
PLAIN = {
    **{one: encoded(one, photo()) for one in ".jpg .png .bmp .webp .tiff .ppm .gif .ras".split()},
    **{one: encoded(one, photo(64, 96)) for one in (".jp2", ".avif")},
}
ODD = {
    "progressive .jpg": encoded(".jpg", photo(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "grey .jpg": encoded(".jpg", photo(channels=1)),
    "cmyk .jpg": CMYK,
    **{f"turned {n} .jpg": with_exif(JPEG, n) for n in (0, 1, 3, 6, 8, 9, 65535)},
    "16 bits .png": encoded(".png", photo(dtype=np.uint16)),
    "16 bits, grey .png": encoded(".png", photo(channels=1, dtype=np.uint16)),
    "16 bits .tiff": encoded(".tiff", photo(dtype=np.uint16)),
    "floats .tiff": encoded(".tiff", photo().astype(np.float32)),
    "floats .hdr": encoded(".hdr", photo().astype(np.float32) / 255),
    "floats .pfm": encoded(".pfm", photo().astype(np.float32)),
    "grey .png": encoded(".png", photo(channels=1)),
    "alpha .png": encoded(".png", photo(channels=4)),
    "alpha .webp": encoded(".webp", photo(channels=4)),
    "grey and alpha .png": png(3, 2, 8, 4, b"\0abcdef" * 2),
    "palette .png": png(3, 2, 8, 3, b"\0\0\1\2" * 2, chunk(b"PLTE", bytes(9))),
    "palette too short .png": png(3, 2, 8, 3, b"\0\0\1\2" * 2, chunk(b"PLTE", bytes(3))),
    "1 bit .png": png(9, 2, 1, 0, b"\0\xaa\x80" * 2),
    "1 bit .bmp": encoded(".bmp", photo(channels=1)),
    **FRAMES,
}
SIZES = ((1, 1), (1, 20000), (20000, 1), (1, 2), (3, 3))
SIZED = {
    f"{h} x {w} {extension}": encoded(extension, photo(h, w))
    for h, w in SIZES
    for extension in (".jpg", ".png", ".bmp", ".tiff")
}
GOOD = {name: data for name, data in {**PLAIN, **ODD, **SIZED}.items() if data is not None}
SMALL = {name: data for name, data in GOOD.items() if len(data) < 20_000}


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    folder = write_model(tmp_path_factory.mktemp("model"))
    return load(folder / "tiny.cfg", folder / "tiny.weights")


@pytest.fixture
def attempt(detector, tmp_path, monkeypatch):
    """Read a picture, look at it, and return its shape, or None if it was refused."""
    monkeypatch.setenv("OPENCV_TEMP_PATH", str(tmp_path))  # OpenCV leaves some behind
    path = tmp_path / "picture.jpg"

    def attempt(data):
        path.write_bytes(data)
        shape = None
        with in_time(data[:200]):
            for channels in (3, 1):
                try:
                    image = read_image(path, channels)
                except ImageError as error:
                    assert str(error).startswith(str(path)) and len(str(error)) < 600
                    continue
                shape = image.shape
                assert image.dtype == np.uint8 and shape[2] == channels and image.size
                if image.size < 1 << 22:
                    for boxed in (False, True):
                        assert isinstance(detector.detect(image, 0.2, boxed), Detections)
        return shape

    return attempt


@pytest.mark.parametrize("name", GOOD)
def test_what_opencv_reads_is_looked_at(name, attempt, tried):
    if name == ".jp2" and cv2.__version__.startswith(("4.10.", "4.11.")):
        pytest.skip("refused where OpenCV dies of damaged ones")
    found = attempt(GOOD[name])
    said = cv2.imdecode(np.frombuffer(GOOD[name], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert found == (None if said is None else (*said.shape[:2], 1))
    tried("pictures: odd kinds")


@pytest.mark.parametrize("name", [*PLAIN, "progressive .jpg", "cmyk .jpg", *FRAMES])
def test_cut(name, attempt, tried):
    data = GOOD.get(name)
    if data is None:
        pytest.skip(f"this OpenCV writes no {name}")
    cuts = {*range(0, min(len(data), 64)), *range(0, len(data), max(1, len(data) // 40))}
    for cut in sorted(cuts):
        attempt(data[:cut])
        tried("pictures: cut")


@pytest.mark.parametrize("amount", [600, pytest.param(8000, marks=SLOW)])
def test_spoiled(amount, attempt, tried):
    draw, names = random.Random(7), sorted(SMALL)
    read = 0
    for _ in range(amount):
        change = draw.choice((spoil.bytes_, spoil.bytes_, spoil.truncated))
        read += attempt(change(SMALL[draw.choice(names)], draw)) is not None
        tried("pictures: spoiled")
    assert read > amount // 10


HUGE = (0xFFFF, 40_000, 0x7FFFFFFF, 0xFFFFFFFF)


def claiming(side):
    """Yield files of a few bytes that tell of pictures of side x side, and side x 1."""
    for w, h in ((side, side), (side, 1), (1, side), (side, 0)):
        yield png(w, h, 8, 2, b"\0\0\0\0")
        yield png(w, h, 16, 6, b"\0\0\0\0")
        yield b"BM" + struct.pack("<IIIIIIHH", 99, 0, 54, 40, w, h, 1, 24) + bytes(64)
        yield (
            b"BM"
            + struct.pack("<IIIIIIHH", 99, 0, 54, 40, w, h, 1, 8)
            + struct.pack("<I", 1)
            + bytes(60)
        )
        yield b"P6\n%d %d\n255\n" % (w, h) + bytes(30)
        yield b"P5 %d %d 65535 " % (w, h) + bytes(30)
        yield b"P4 %d %d\n" % (w, h)
        yield b"PF\n%d %d\n-1\n" % (w, h) + bytes(30)
        yield b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" % (w, h)
        yield b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (h, w) + bytes(30)
        yield struct.pack(">8I", 0x59A66A95, w, h, 24, 30, 1, 0, 0) + bytes(30)
        yield tiff(w, h)
        if side <= 0xFFFF:
            yield b"GIF89a" + struct.pack("<HHBBB", w, h, 0x80, 0, 0) + bytes(6) + b"," + bytes(9)
            sof = struct.pack(">HBHHB", 17, 8, h, w, 3) + b"\1\x11\0\2\x11\0\3\x11\0"
            yield JPEG[:2] + b"\xff\xc0" + sof + JPEG[JPEG.index(b"\xff\xda") :]
            at = JPEG.index(b"\xff\xc0") + 5
            yield JPEG[:at] + struct.pack(">HH", h, w) + JPEG[at + 4 :]
        canvas = (
            bytes(4) + (w & 0xFFFFFF).to_bytes(3, "little") + (h & 0xFFFFFF).to_bytes(3, "little")
        )
        yield b"RIFF" + struct.pack("<I", 99) + b"WEBPVP8X" + struct.pack("<I", 10) + canvas


def tiff(w, h):
    """Return a TIFF of one strip that is not there."""
    tags = {256: w, 257: h, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: h, 279: 99}
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + rows + bytes(4)


@pytest.mark.parametrize("side", HUGE)
def test_a_few_bytes_do_not_become_gigabytes(side, attempt, tried):
    for data in claiming(side):
        attempt(data)
        tried("pictures: absurd sizes")


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"not a picture\n" * 99, bytes(5000), b"\xff\xd8\xff"]
)
def test_what_is_no_picture(data, attempt, tried):
    assert attempt(data) is None
    tried("pictures: none")


def test_random_bytes(attempt, tried):
    draw = random.Random(8)
    starts = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"II*\0", b"P6 3 3 255 ", b""
    for start in starts * 20:
        attempt(start + draw.randbytes(draw.choice((1, 10, 100, 1000))))
        tried("pictures: random bytes")


def test_more_boxes_than_anyone_can_read_are_drawn_soon(tried):
    """An untrained network has ten thousands: a search among all labels for each would not end."""
    boxes = np.random.default_rng(9).uniform(0, 300, (20_000, 4)).astype(np.float32)
    found = Detections(boxes, np.full(len(boxes), 0.5), np.arange(len(boxes)) % 80)
    with in_time("draw", 15):
        assert draw(photo(300, 300), found, 80).shape == (300, 300, 3)
    tried("pictures: drawn")
