"""Bad records beside the weights of the zoo."""

import json
import random

import pytest

from darkpy import DarkpyError, zoo
from darkpy.download import Part
from tests.fuzz import spoil

URL = "https://example.org/x.weights"
RECORD = {"name": "x", "url": URL, "sha256": "0" * 64, "validator": '"tag"'}
CONTENTS = (
    *(b"", b"\0", b"null", b"7", b"[]", b"{}", b'"sha256"', b"{", b"\xff\xfe", b"nan", b"1e999"),
    *(
        b"[" * 200_000,
        b'{"url":' * 50_000,
        b'{"sha256": {"x": []}}',
        b'{"url": 7, "validator": []}',
    ),
)


@pytest.fixture
def attempt(tmp_path):
    """Read a record of both kinds; nothing but an error of ours may come of it."""
    weights = tmp_path / "x.weights"
    part = Part(weights)
    part.path.write_bytes(b"beginning")

    def attempt(content):
        (tmp_path / "x.weights.json").write_bytes(content)
        (tmp_path / "x.weights.part.json").write_bytes(content)
        assert part.validator(URL) is None or isinstance(part.validator(URL), str)
        assert isinstance(part.kept(URL), str)
        try:
            assert isinstance(zoo._recorded(weights), str)
        except DarkpyError as error:
            assert "delete both" in str(error)

    return attempt


def test_records_that_are_none(attempt, tried):
    for content in CONTENTS:
        attempt(content)
        tried("zoo: records")


def test_spoiled_records(attempt, tried):
    draw, good = random.Random(12), json.dumps(RECORD).encode()
    for _ in range(300):
        attempt(spoil.bytes_(good, draw))
        tried("zoo: records")
