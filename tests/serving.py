"""A web server of the test's own, on this machine, whose answers the test chooses."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """One file, how it is served, and what was asked for.

    cuts     for each further request, after how many bytes of the body to hang up (None: not)
    statuses for each further request, a status to answer instead of the file (None: the file)
    """

    body: bytes
    etag: str | None = '"one"'
    ranges: bool = True
    length: bool = True
    cuts: list[int | None] = field(default_factory=list)
    statuses: list[int | None] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site = self.site
        site.asked.append(dict(self.headers))
        status = site.statuses.pop(0) if site.statuses else None
        cut = site.cuts.pop(0) if site.cuts else None
        start = 0
        wanted = self.headers.get("Range")
        if wanted and site.ranges and self.headers.get("If-Range") == site.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            status = status or (206 if start < len(site.body) else 416)
        self.send_response(status or 200)
        body = site.body[start:] if status in (None, 206) else b""
        if status == 206:
            end = len(site.body)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        if site.length:
            self.send_header("Content-Length", str(len(body)))
        if site.etag:
            self.send_header("ETag", site.etag)
        self.end_headers()
        self.wfile.write(body[:cut])

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    """Serve the site on a free port of this machine until the block ends."""
    handler = type("Handler", (_Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    site.url = f"http://127.0.0.1:{server.server_address[1]}/file.weights"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
