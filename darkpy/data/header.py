"""What a picture file says of itself before it is decoded: whether it is whole, and plausible."""

from __future__ import annotations

import struct

# The most pixels that a byte of each format can hold. Deflate (PNG) makes 1032 bytes of one, with 8
# pixels in each; LZW (GIF) 4096 pixels of 12 bits; a progressive JPEG of one colour has 341, and a
# run of RLE (BMP) 255 of two bytes.
PNG, GIF, JPEG, BMP = 8256, 2731, 1000, 128
SMALL = 1 << 24  # pixels that are granted to any file

JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of SOF segments
PNG_CHUNKS = 1_000_000  # looked at; one has at least 8 thousand bytes, as a rule
JPEG_SEGMENTS = 1000  # looked at; a picture has some ten before its scan
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9


def too_much(data: bytes) -> str:
    """Return what a file claims to hold that its bytes cannot hold, or an empty string.

    A few bytes could otherwise ask for gigabytes: OpenCV believes the size of a picture, and the
    length of a part of a PNG. Formats other than PNG, GIF, JPEG and BMP are not looked at.
    """
    width, height, most = _size(data)
    if width * height > max(SMALL, most * len(data)):
        return f"{width} x {height} pixels"
    return _too_long_a_chunk(data) if data.startswith(b"\x89PNG") else ""


def _too_long_a_chunk(data: bytes) -> str:
    """Return which part of a PNG goes beyond the file's end, or an empty string."""
    at = 8
    for _ in range(PNG_CHUNKS):
        kind = data[at + 4 : at + 8]
        if len(kind) < 4 or kind == b"IEND":
            break
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 8 + length > len(data):
            return f"a part of {length} bytes at byte {at}"
        at += 12 + length
    return ""


def _size(data: bytes) -> tuple[int, int, int]:
    """Return the width and height in a file's header, or zeros, and pixels per byte."""
    if data.startswith(b"\x89PNG") and len(data) >= 24:
        return *struct.unpack_from(">II", data, 16), PNG
    if data.startswith(b"GIF8") and len(data) >= 10:
        return *struct.unpack_from("<HH", data, 6), GIF
    if data.startswith(b"BM") and len(data) >= 26:
        is_old = data[14] == 12  # OS/2's header has 16 bits for each
        width, height = struct.unpack_from("<HH" if is_old else "<ii", data, 18)
        return abs(width), abs(height), BMP
    if is_jpeg(data):
        width, height, _ = _jpeg_header(data)
        return width, height, JPEG
    return 0, 0, 0


def is_jpeg_2000(data: bytes) -> bool:
    """Tell whether a file begins as a JPEG 2000 does, in its box or without."""
    return data.startswith((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"))


def is_jpeg(data: bytes) -> bool:
    """Tell whether a file begins as a JPEG does."""
    return data.startswith(b"\xff\xd8\xff")


def ends_early(data: bytes) -> bool:
    """Tell whether a JPEG has no end marker after its header, which may hold a whole thumbnail."""
    if not is_jpeg(data):
        return False
    _, _, scan = _jpeg_header(data)
    return data.rfind(bytes([0xFF, END_OF_IMAGE]), scan) < 0  # most end with it


def _jpeg_header(data: bytes) -> tuple[int, int, int]:
    """Return the width and height of a JPEG, zeros if it has none, and where its header ends."""
    width = height = 0
    at = 2
    for _ in range(JPEG_SEGMENTS):
        if at + 9 > len(data) or data[at] != 0xFF or data[at + 1] in (START_OF_SCAN, END_OF_IMAGE):
            break
        if data[at + 1] in JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, at + 5)
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return width, height, at
