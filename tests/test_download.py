"""Downloads from a server on this machine that breaks off, changes its mind or answers nonsense."""

import socket
from pathlib import Path

import pytest

from darkpy.download import Part, download
from darkpy.errors import DownloadError
from tests.serving import Site, serve

BODY = bytes(range(256)) * 4096  # 1 MiB, four chunks
AT_ONCE = (0.0, 0.0, 0.0)


def fetch(site: Site, path: Path, **options) -> bytes:
    options = {"sizes": [len(BODY)], "pauses": AT_ONCE} | options
    download(site.url, path, **options).finish()
    return path.read_bytes()


def leftovers(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_fetches_a_file_and_tells_progress(tmp_path):
    told = []
    with serve(Site(BODY)) as site:
        body = fetch(site, tmp_path / "a", progress=lambda done, total: told.append((done, total)))
    assert body == BODY
    assert told[-1] == (len(BODY), len(BODY)) and told == sorted(told)
    assert leftovers(tmp_path) == ["a"]


def test_goes_on_where_the_connection_was_cut(tmp_path):
    with serve(Site(BODY, cuts=[300_000, 1, None])) as site:
        assert fetch(site, tmp_path / "a") == BODY
    starts = [asked.get("Range") for asked in site.asked]
    assert starts == [None, "bytes=300000-", "bytes=300001-"]


def test_a_later_call_goes_on_from_what_is_kept(tmp_path):
    with serve(Site(BODY, cuts=[300_000])) as site:
        with pytest.raises(DownloadError, match="300,000 bytes are kept"):
            fetch(site, tmp_path / "a", pauses=())
        assert not (tmp_path / "a").exists()
        assert fetch(site, tmp_path / "a") == BODY
    assert site.asked[1]["Range"] == "bytes=300000-"


def test_begins_anew_where_the_server_knows_no_ranges(tmp_path):
    with serve(Site(BODY, ranges=False, cuts=[300_000])) as site:
        assert fetch(site, tmp_path / "a") == BODY
    assert len(site.asked) == 2


def test_begins_anew_when_the_file_has_changed(tmp_path):
    new = BODY[::-1]
    with serve(Site(BODY, cuts=[300_000])) as site:
        with pytest.raises(DownloadError):
            fetch(site, tmp_path / "a", pauses=())
        site.body, site.etag = new, '"two"'
        assert fetch(site, tmp_path / "a") == new


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_never_glues_what_the_server_does_not_identify(tmp_path, etag):
    with serve(Site(BODY, etag=etag, cuts=[300_000])) as site:
        assert fetch(site, tmp_path / "a") == BODY
    assert [asked.get("Range") for asked in site.asked] == [None, None]


def test_never_glues_pieces_of_two_addresses(tmp_path):
    with serve(Site(BODY, cuts=[300_000])) as site, pytest.raises(DownloadError):
        fetch(site, tmp_path / "a", pauses=())
    with serve(Site(BODY[::-1])) as other:
        assert fetch(other, tmp_path / "a") == BODY[::-1]
    assert "Range" not in other.asked[0]


def test_begins_anew_when_what_is_kept_is_too_long(tmp_path):
    with serve(Site(BODY)) as site:
        part = Part(tmp_path / "a")
        part.begin(site.url, site.etag)
        part.path.write_bytes(bytes(len(BODY) + 1))
        assert fetch(site, tmp_path / "a") == BODY
    assert len(site.asked) == 2  # the first was answered 416


@pytest.mark.parametrize("length", [True, False], ids=["told", "untold"])
@pytest.mark.parametrize("body", [BODY + b"!", BODY * 9], ids=["one more", "far more"])
def test_refuses_a_longer_file(tmp_path, body, length):
    with serve(Site(body, length=length)) as site:
        with pytest.raises(DownloadError, match=r"expected 1,048,576 bytes, the server has"):
            fetch(site, tmp_path / "a")
    assert len(site.asked) == 1
    assert leftovers(tmp_path) == []


def test_refuses_a_shorter_file_before_fetching_it(tmp_path):
    with serve(Site(BODY[:-1])) as site:
        with pytest.raises(DownloadError, match="expected 1,048,576 bytes, the server has 1,048,5"):
            fetch(site, tmp_path / "a")
    assert leftovers(tmp_path) == []


def test_tries_again_when_the_server_is_busy(tmp_path):
    with serve(Site(BODY, statuses=[503, 500, None])) as site:
        assert fetch(site, tmp_path / "a") == BODY
    assert len(site.asked) == 3


def test_gives_up_after_the_last_pause(tmp_path):
    with serve(Site(BODY, statuses=[503] * 4)) as site:
        with pytest.raises(DownloadError, match="the server answers 503"):
            fetch(site, tmp_path / "a")
    assert len(site.asked) == 1 + len(AT_ONCE)


def test_does_not_insist_when_the_file_is_not_there(tmp_path):
    with serve(Site(BODY, statuses=[404])) as site:
        with pytest.raises(DownloadError, match=f"{site.url}: the server answers 404 Not Found"):
            fetch(site, tmp_path / "a")
    assert len(site.asked) == 1
    assert leftovers(tmp_path) == []


def test_says_when_the_host_cannot_be_reached(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: refuses at once
        site = Site(BODY, url=f"http://127.0.0.1:{free.getsockname()[1]}/file")
        with pytest.raises(DownloadError, match="the host cannot be reached"):
            fetch(site, tmp_path / "a")


def test_says_when_the_server_is_silent(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        site = Site(BODY, url=f"http://127.0.0.1:{silent.getsockname()[1]}/file")
        with pytest.raises(DownloadError, match="no answer in time"):
            fetch(site, tmp_path / "a", pauses=(), timeout=0.05)


def test_says_which_file_cannot_be_written(tmp_path):
    with serve(Site(BODY)) as site:
        with pytest.raises(DownloadError, match=r"missing.a\.part"):
            fetch(site, tmp_path / "missing" / "a")
    assert len(site.asked) == 1
