"""Bad .data, .names, .tree, .map, lists and label files."""

import random
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkpy import DarkpyError
from darkpy.cfg import read_data, read_names
from darkpy.data.dataset import read_difficult, read_labels, read_list, read_truths
from darkpy.data.sources import sources
from darkpy.tree import ClassMap, Tree
from tests.conftest import ROOT
from tests.fuzz import spoil
from tests.fuzz.exercise import in_time

LABELS = "0 .5 .5 .25 .75\n1 0.1 0.9 1e-3 .2\r\n\n7 1 1 1 1\n0 .5 .5 .25 .75\n" * 3
NUMBERS = (
    *("nan", "-nan", "inf", "-inf", "1e400", "3.4e38", "-3.4e38", "3.5e38", "1e-50", "-0", "0x1p3"),
    *("-1", "2147483647", "9" * 30, "9" * 400, "1.", ".5", "1e", "1_0", "\u0663", "+1", "1,5", ""),
)
TREE = "animal -1\nplant -1\ncat 0\ndog 0\noak 1\nred_oak 4\n"
LIST = "a.jpg\nimages/b.png\n\n  c d.jpg \r\n/none/e.jpg\nlist.txt\n~/f.jpg\n"


def labels(path):
    for classes in (None, 2):
        rows = read_labels(path, classes)
        assert rows.dtype == np.float32 and rows.shape[1:] == (5,) and np.isfinite(rows).all()


def names(path):
    assert all(isinstance(name, str) for name in read_names(path))


def paths(path):
    listed = read_list(path)
    assert all(isinstance(one, str) for one in (*listed, *sources([path])))
    for read in (lambda: read_truths(listed), lambda: read_difficult(path, len(listed))):
        with suppress(DarkpyError):
            read()


READERS = {  # kind -> what reads it, texts to begin with, values to put in
    ".data": (read_data, [one.read_text() for one in (ROOT / "cfg").glob("*.data")], spoil.VALUES),
    ".names": (names, [one.read_text() for one in (ROOT / "cfg").glob("*.names")], spoil.VALUES),
    ".tree": (Tree.read, [TREE], (*spoil.VALUES, "x 0", "x 7", "x -2", "x 9999999999", "x 1 2")),
    ".map": (ClassMap.read, ["0\n1\n2\n30\n"], spoil.VALUES),
    "labels": (labels, [LABELS], tuple(f"0 .5 {one} {one} .5" for one in NUMBERS)),
    "list": (paths, [LIST], spoil.VALUES),
}


def attempt(kind, path, content):
    """Tell whether a file of some kind can be read; nothing but an error of ours may come of it."""
    path.write_bytes(content)
    with in_time((kind, content)):
        try:
            READERS[kind][0](path)
        except DarkpyError as error:
            assert str(error)
            return False
    return True


@pytest.mark.parametrize("amount", [200, pytest.param(3000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", READERS)
def test_spoiled(kind, amount, folder, tried):
    draw = random.Random(kind)
    _, texts, values = READERS[kind]
    read = [
        attempt(kind, folder / "list.txt", spoil.text(draw.choice(texts), draw, values))
        for _ in range(amount)
    ]
    assert sum(read) > amount // 50
    tried(f"{kind}: spoiled", amount)


@pytest.mark.parametrize("kind", READERS)
@settings(suppress_health_check=["function_scoped_fixture"], max_examples=60)
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes(kind, content, folder, tried):
    attempt(kind, folder / "any.txt", content)
    tried(f"{kind}: any bytes")


LINE, LINES = 10_000_000, 1_000_000  # bytes
LONG = {
    "a line": b"x" * LINE,
    "a line of numbers": b"0 .5 .5 .5 " + b"9" * LINE,
    "a line of words": b"0 " * (LINE // 2),
    "empty lines": b"\n" * LINES,
    "short lines": b"0\n" * (LINES // 2),
    "short pairs": b"a 0\n" * (LINES // 4),
    "labels": b"0 1 1 1 1\n" * (LINES // 10),
    "labels of a wrong class": b"9 1 1 1 1\n" * (LINES // 10),
    "letters of four bytes": "\U0001f642".encode() * (LINE // 4),
    "keys": b"".join(b"k%d = %d\n" % (n, n) for n in range(5_000)),
    "zero bytes": b"\0" * LINE,
    "more than is read": b"0\n" * (9 << 20),
}


FAST = ("a line", "empty lines", "short pairs", "labels", "more than is read")


@pytest.mark.parametrize(
    "what", [what if what in FAST else pytest.param(what, marks=pytest.mark.slow) for what in LONG]
)
@pytest.mark.parametrize("kind", READERS)
def test_long_files(kind, what, folder, tried):
    most = 10_000 if kind == "list" else None  # each line of a list is looked for on the disk
    attempt(kind, folder / "long.txt", LONG[what][:most])
    tried(f"{kind}: 10 MB and more")


@pytest.mark.parametrize("kind", READERS)
def test_what_is_no_file(kind, folder, tried):
    (folder / "folder").mkdir()
    for path in (
        "",
        "folder",
        "none.txt",
        "x/y",
        "\0",
        "\ud800",
        "x" * 5000,
        "~nobody-here/x",
        "/",
    ):
        with in_time(path):
            try:
                READERS[kind][0](path)
            except DarkpyError as error:
                assert str(error)
        tried(f"{kind}: no file")


@pytest.mark.parametrize("kind", READERS)
def test_special_files(kind, folder, tried):
    """What never ends, or cannot be read, is not read for ever."""
    for name in ("/dev/zero", "/dev/null", "/dev/full", "/dev/urandom"):
        link = folder / "link.txt"
        try:
            link.symlink_to(name)
        except OSError:
            pytest.skip("no symbolic links here")
        with in_time(name):
            try:
                READERS[kind][0](link)
            except DarkpyError as error:
                assert str(error)
        link.unlink()
        tried(f"{kind}: special files")
    link.symlink_to(link)  # a loop
    try:
        READERS[kind][0](link)
    except DarkpyError as error:
        assert str(error)


def test_a_hierarchy_may_be_deep(folder, tried):
    (folder / "deep.tree").write_text("".join(f"c{n} {n - 1}\n" for n in range(50_000)))
    assert len(Tree.read(folder / "deep.tree").groups) == 50_000
    tried(".tree: deep")
