import io
import logging
from pathlib import Path

import pytest

from darkpy.data.sources import from_stream, label_path, pictures_in, sources
from darkpy.errors import CfgError, DataError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with pictures and what else lies among them."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "b.jpg",
        "a.PNG",
        "собака.jpeg",
        "b.txt",
        "notes.md",
        "below/c.bmp",
        "below/deeper/d.tif",
        "[1].jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def names(found):
    return [Path(one).name for one in found]


def test_a_file_is_itself_and_so_is_one_that_is_missing(folder):
    assert list(sources(["b.jpg", "gone.jpg", Path("a.PNG")])) == ["b.jpg", "gone.jpg", "a.PNG"]


def test_a_folder_means_the_pictures_in_it_sorted(folder):
    assert names(sources(["."])) == ["[1].jpg", "a.PNG", "b.jpg", "собака.jpeg"]
    assert names(pictures_in("below")) == ["c.bmp"]


def test_an_empty_folder_is_told(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert list(sources([tmp_path])) == []
    assert f"{tmp_path}: holds no picture" in caplog.text


def test_a_folder_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="gone: cannot be read"):
        pictures_in(tmp_path / "gone")


def test_globs(folder):
    assert names(sources(["*"])) == ["[1].jpg", "a.PNG", "b.jpg", "собака.jpeg"]
    assert names(sources(["**/*.[bt]*"])) == ["c.bmp", "d.tif"]
    assert names(sources(["below/**"])) == ["c.bmp", "d.tif"]
    assert list(sources(["*.gif", "[1].jpg"])) == ["*.gif", "[1].jpg"]


def test_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    assert list(sources(["~/b.jpg"])) == [str(Path(f"{folder}/b.jpg"))]
    assert list(sources(["~nobody-of-this-name/b.jpg"])) == ["~nobody-of-this-name/b.jpg"]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_list_names_a_picture_a_line(folder, ends, mark):
    lines = ["c.bmp", "", "  deeper/d.tif ", "b.jpg", "собака.jpeg", "gone.jpg"]
    (folder / "below" / "list.txt").write_bytes((mark + ends.join(lines)).encode())
    found = [Path(one) for one in sources(["below/list.txt"])]
    assert found == [
        Path("below/c.bmp"),
        Path("below/deeper/d.tif"),
        Path("b.jpg"),  # not beside the list, but in the working directory
        Path("собака.jpeg"),
        Path("below/gone.jpg"),
    ]


def test_a_list_that_is_no_text(folder):
    (folder / "list.list").write_bytes(b"a\0b")
    with pytest.raises(CfgError, match=r"list\.list: is not a text file"):
        list(sources(["list.list"]))


def test_names_on_a_stream():
    stream = io.BytesIO("\ufeffa b.jpg\r\n\n  \n犬と猫.png".encode())
    assert list(from_stream(stream)) == ["a b.jpg", "犬と猫.png"]
    assert list(sources(["x.jpg", "-"], ["one\n", " two\n", "\n"])) == ["x.jpg", "one", "two"]


def test_a_stream_is_read_as_names_are_asked_for():
    asked = []

    def lines():
        for name in ("a", "b"):
            asked.append(name)
            yield name

    found = from_stream(lines())
    assert asked == []
    assert next(found) == "a"
    assert asked == ["a"]


def make(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


@pytest.mark.parametrize("extension", ["jpg", "JPG", "Jpg", "jpeg", "png", "webp", "tif", "TIFF"])
def test_the_label_beside_the_picture(tmp_path, extension):
    label = make(tmp_path / "images" / "dog.1.txt")
    make(tmp_path / "labels" / "dog.1.txt")
    assert label_path(tmp_path / "images" / f"dog.1.{extension}") == label


@pytest.mark.parametrize("kind", ["images", "JPEGImages"])
def test_the_label_in_the_folder_of_labels(tmp_path, kind):
    label = make(tmp_path / "images" / "labels" / "train2017" / "dog.txt")
    assert label_path(tmp_path / "images" / kind / "train2017" / "dog.jpg") == label
    make(tmp_path / "labels" / kind / "train2017" / "dog.txt")  # of the folder further up
    assert label_path(tmp_path / "images" / kind / "train2017" / "dog.jpg") == label


def test_a_label_that_is_nowhere_would_be_beside(tmp_path):
    assert label_path(tmp_path / "images" / "dog.jpg") == tmp_path / "images" / "dog.txt"
    assert label_path("images.jpg") == Path("images.txt")
    assert label_path("frame.0001") == Path("frame.0001.txt")
    assert label_path("dog\0.jpg") == Path("dog\0.txt")
