"""Fetch a file over HTTP: resumed where it was cut, and renamed into place only when whole.

The bytes gather in ``NAME.part``; beside it ``NAME.part.json`` keeps the address and the server's
mark of that version of the file (its ETag or date), so that a later call goes on where this one
was cut, and begins anew if the file has changed meanwhile (If-Range, RFC 9110 section 13.1.5).
"""

from __future__ import annotations

import http.client
import json
import logging
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .errors import DownloadError

log = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]  # bytes there, bytes in all if the server says

CHUNK = 1 << 18
TIMEOUT = 30.0  # seconds without a byte
PAUSES = (1.0, 3.0, 9.0)  # seconds before the second, third and fourth try
FINAL = (400, 401, 403, 404, 405, 410, 451)  # another try would be answered the same


def download(
    url: str,
    path: Path,
    *,
    sizes: Sequence[int],
    progress: Progress | None = None,
    pauses: Sequence[float] = PAUSES,
    timeout: float = TIMEOUT,
) -> Part:
    """Fetch ``url`` whole, and return it still under its passing name.

    path      where the file is to be; `Part.finish` puts it there, `Part.drop` throws it away
    sizes     the lengths in bytes that it may have; another one is refused, early if possible
    progress  called with the bytes there and the bytes in all (None if the server does not say)
    pauses    seconds to wait before each further try
    timeout   seconds without a byte after which a try has failed
    raises    DownloadError: what the server or the network answered last
    """
    part = Part(path)
    for pause in (*pauses, None):
        try:
            _attempt(url, part, sizes, progress, timeout)
            return part
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"the server answers {error.code} {error.reason}"
            if error.code == 416:  # what is here is not a beginning of what is there
                part.drop()
            if error.code in FINAL:
                break
        except (OSError, http.client.HTTPException) as error:
            reason = _plain(error)
            if _final(error):
                break
        if pause is not None:
            log.info("%s: %s; trying again in %g s", url, reason, pause)
            time.sleep(pause)
    raise DownloadError(f"{url}: {reason}{part.kept(url)}")


class Part:
    """The bytes gathered so far, and which version of which file they are the beginning of."""

    def __init__(self, whole: Path) -> None:
        self.whole = whole
        self.path = whole.with_name(whole.name + ".part")
        self._note = whole.with_name(whole.name + ".part.json")

    def finish(self) -> None:
        """Give the whole file its name, in one step."""
        self.path.replace(self.whole)
        self._note.unlink(missing_ok=True)

    def drop(self) -> None:
        """Throw away what is there."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def size(self) -> int:
        """Return the number of bytes gathered."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def validator(self, url: str) -> str | None:
        """Return the server's mark of the version begun, or None if nothing of ``url`` is."""
        try:
            noted = json.loads(self._note.read_text("utf-8"))
            return str(noted["validator"]) if noted["url"] == url and self.size() else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def kept(self, url: str) -> str:
        """Return the words that say how much the next call finds here."""
        if self.validator(url) is None:
            return ""
        return f"; {self.size():,} bytes are kept, and the next call goes on from there"

    def begin(self, url: str, validator: str | None) -> None:
        """Start anew with a version of ``url``; without a validator it cannot be resumed."""
        self.drop()
        if validator:
            self._note.write_text(json.dumps({"url": url, "validator": validator}), "utf-8")


def _attempt(
    url: str, part: Part, sizes: Sequence[int], progress: Progress | None, timeout: float
) -> None:
    """Ask once for what is missing and append what comes; raise OSError if it ends too soon."""
    # pjreddie.com refuses the name that urllib gives itself
    request = urllib.request.Request(url, headers={"User-Agent": "darkpy"})
    validator = part.validator(url)
    done = part.size() if validator else 0
    if validator:
        request.add_header("Range", f"bytes={done}-")
        request.add_header("If-Range", validator)
    with urllib.request.urlopen(request, timeout=timeout) as response:
        if response.status != 206:
            done = 0
            part.begin(url, _mark(response))
        elif not str(response.headers.get("Content-Range")).startswith(f"bytes {done}-"):
            part.drop()
            raise ConnectionError("the server sent another piece of the file than asked for")
        length = response.headers.get("Content-Length") or ""
        total = done + int(length) if length.isdigit() else None
        if total is None or total in sizes:
            done = _append(response, part.path, done, total, max(sizes), progress)
    if total is None and done < min(sizes):
        raise ConnectionError(f"the connection ended after {done:,} bytes")
    if (total or done) not in sizes:
        part.drop()
        expected = " or ".join(f"{size:,}" for size in sorted(sizes))
        raise DownloadError(f"{url}: expected {expected} bytes, the server has {total or done:,}")


def _append(
    response: Any, path: Path, done: int, total: int | None, most: int, progress: Progress | None
) -> int:
    """Write the body after the first ``done`` bytes, up to about ``most``, and return the end."""
    with open(path, "r+b" if done else "wb") as file:
        file.seek(done)
        while done <= most and (chunk := response.read(CHUNK)):
            file.write(chunk)
            done += len(chunk)
            if progress:
                progress(done, total)
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")
    return done


def _mark(response: Any) -> str | None:
    """Return what identifies this version of the file: a strong ETag, else its date."""
    tag = response.headers.get("ETag")
    if tag and not tag.startswith("W/"):  # a weak one may not be used with If-Range
        return str(tag)
    date = response.headers.get("Last-Modified")
    return str(date) if date else None


def _final(error: Exception) -> bool:
    """Return whether another try is vain: a folder of ours is at fault, or there is no network."""
    unknown_host = isinstance(getattr(error, "reason", None), socket.gaierror)
    return unknown_host or bool(getattr(error, "filename", None))


def _plain(error: Exception) -> str:
    """Return what went wrong, without the wrapping of the libraries on the way."""
    reason = getattr(error, "reason", error)
    words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    if isinstance(reason, TimeoutError):
        words = "no answer in time"
    if isinstance(error, urllib.error.URLError):
        return f"the host cannot be reached ({words})"
    file = getattr(error, "filename", None)
    return f"{file}: {words}" if file else words
