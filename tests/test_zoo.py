"""The zoo: its table, its folder, and what `get` accepts from a server on this machine."""

import hashlib
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

import darkpy
from darkpy import zoo
from darkpy.errors import DownloadError
from tests.serving import Site, serve

NAME = "yolo-fastest-1.1"  # the smallest: 1.4 MB
SIZES = {  # of the official files, in bytes
    "yolo-fastest-1.1": 1_384_268,
    "yolo-fastest-1.1-xl": 3_693_964,
    "yolov2": 203_934_260 + 4,  # the official file has the shorter header
    "yolov2-tiny": 44_948_600,
    "yolov3": 248_007_048,
    "yolov3-tiny": 35_434_956,
    "yolov4": 257_717_640,
}


@pytest.fixture(scope="module")
def body(tmp_path_factory) -> bytes:
    """Return a .weights file that fits the cfg of NAME."""
    network = darkpy.Network.from_cfg(zoo.cfg_path(f"{NAME}.cfg"))
    path = tmp_path_factory.mktemp("zoo") / "drawn.weights"
    darkpy.write_weights(network, network.initial_params(np.random.default_rng(0)), path)
    return path.read_bytes()


@pytest.fixture
def get(monkeypatch, tmp_path):
    """Return a function that gets NAME from a site into tmp_path, without pauses."""

    def from_site(site: Site, sha256: str | None = None) -> Path:
        monkeypatch.setitem(zoo.MODELS, NAME, zoo.Model(NAME, site.url, sha256))
        return zoo.get(NAME, tmp_path / "out", pauses=(0.0,))

    return from_site


def files(tmp_path: Path) -> list[str]:
    return sorted(entry.name for entry in (tmp_path / "out").iterdir())


@pytest.mark.parametrize("model", zoo.MODELS.values(), ids=lambda model: model.name)
def test_table_is_sound(model):
    assert model.url.startswith("https://") and model.url.endswith(f"/{model.name}.weights")
    assert model.sha256 is None or len(bytes.fromhex(model.sha256)) == 32
    assert zoo.cfg_path(model.data).is_file()
    assert zoo.size(model) == SIZES.get(model.name, zoo.size(model))


def test_a_file_that_is_not_carried_is_named():
    with pytest.raises(DownloadError, match=r"no file 'yolov4.cgf'; did you mean 'yolov4.cfg'"):
        zoo.cfg_path("yolov4.cgf")


def test_an_unknown_model_is_named_with_the_nearest():
    with pytest.raises(DownloadError, match="no 'yolov4tiny'; did you mean 'yolov4-tiny'"):
        zoo.get("yolov4tiny")


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "{set}/darkpy"),
        ("linux", None, "{home}/.cache/darkpy"),
        ("darwin", None, "{home}/Library/Caches/darkpy"),
        ("win32", "LOCALAPPDATA", "{set}/darkpy"),
        ("win32", None, "{home}/AppData/Local/darkpy"),
    ],
)
def test_cache_is_where_the_platform_keeps_caches(
    monkeypatch, tmp_path, platform, variable, expected
):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "set"))
    wanted = expected.format(home=tmp_path / "home", set=tmp_path / "set")
    assert zoo.cache_dir() == Path(wanted)


def test_gets_measures_and_records(get, body, tmp_path):
    sha256 = hashlib.sha256(body).hexdigest()
    with serve(Site(body)) as site:
        path = get(site, sha256)
    assert path.read_bytes() == body
    assert files(tmp_path) == [f"{NAME}.weights", f"{NAME}.weights.json"]
    record = json.loads(path.with_name(f"{NAME}.weights.json").read_text())
    assert record == {"name": NAME, "url": site.url, "sha256": sha256}


def test_accepts_the_shorter_header_of_version_01(get, body):
    older = struct.pack("<4i", 0, 1, 0, 7) + body[20:]
    with serve(Site(older)) as site:
        assert get(site).stat().st_size == len(body) - 4


def test_does_not_fetch_what_is_there(get, body):
    with serve(Site(body)) as site:
        assert get(site) == get(site)
    assert len(site.asked) == 1


def test_goes_on_where_it_was_cut(get, body):
    with serve(Site(body, cuts=[700_000])) as site:
        assert get(site).read_bytes() == body
    assert site.asked[1]["Range"] == "bytes=700000-"


@pytest.mark.parametrize("change", [b"", b"!!!!"], ids=["header of 0.1", "too long"])
def test_refuses_a_length_that_its_header_denies(get, body, tmp_path, change):
    wrong = body + change if change else struct.pack("<4i", 0, 1, 0, 7) + body[16:]
    with serve(Site(wrong)) as site:
        with pytest.raises(DownloadError, match=r"expected .* bytes, (got|the server has)"):
            get(site)
    assert files(tmp_path) == []


def test_refuses_another_file_than_the_known_one(get, body, tmp_path):
    sha256 = hashlib.sha256(body).hexdigest()
    with serve(Site(body[:-1] + b"!")) as site:
        with pytest.raises(DownloadError, match=f"expected the sha256 {sha256}, got"):
            get(site, sha256)
    assert files(tmp_path) == []


def test_refuses_a_file_that_has_changed_since(get, body):
    with serve(Site(body)) as site:
        path = get(site)
        spoiled = body[:-1] + b"!"
        path.write_bytes(spoiled)
        with pytest.raises(DownloadError) as caught:
            get(site)
    for words in (
        hashlib.sha256(body).hexdigest(),
        hashlib.sha256(spoiled).hexdigest(),
        f"delete it and run `darkpy zoo get {NAME}` again",
    ):
        assert words in str(caught.value)


def test_refuses_a_file_that_is_too_short(get, body):
    with serve(Site(body)) as site:
        path = get(site)
        path.write_bytes(body[:-4])
        with pytest.raises(DownloadError, match="expected 1,384,268 bytes, got 1,384,264"):
            get(site)


def test_adopts_a_file_that_somebody_put_there(get, body, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f"{NAME}.weights").write_bytes(body)
    with serve(Site(b"")) as site:
        path = get(site)
        path.write_bytes(body[:-1] + b"!")
        with pytest.raises(DownloadError, match="when it was fetched"):
            get(site)
    assert site.asked == []


def test_refuses_a_file_put_there_that_is_not_the_official_one(get, body, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f"{NAME}.weights").write_bytes(body)
    with serve(Site(b"")) as site, pytest.raises(DownloadError, match="the official file has 00"):
        get(site, "00" * 32)


def test_says_when_the_record_cannot_be_read(get, body):
    with serve(Site(body)) as site:
        path = get(site)
        path.with_name(f"{NAME}.weights.json").write_text("{")
        with pytest.raises(DownloadError, match="delete both"):
            get(site)


def test_says_when_the_file_is_not_there(get, tmp_path):
    with serve(Site(b"", statuses=[404])) as site:
        with pytest.raises(DownloadError, match="the server answers 404"):
            get(site)
    assert files(tmp_path) == []


def test_says_when_the_folder_cannot_be_made(get, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DownloadError, match="name another folder with --out"):
        get(Site(b""))


def test_says_when_what_is_there_is_no_file(get, body, tmp_path):
    (tmp_path / "out" / f"{NAME}.weights").mkdir(parents=True)
    with serve(Site(body)) as site:
        with pytest.raises(DownloadError, match="name another folder with --out"):
            get(site)
