"""A page that shows how a training goes: darknet's -mjpeg_port, and what a browser can add."""

from __future__ import annotations

import html
import json
import logging
import math
import os
import socket
import socketserver
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np

from ..cfg import reason
from ..data.image import Image
from ..draw import encode_image
from ..errors import DarkpyError
from .gallery import contact_sheet

log = logging.getLogger(__name__)

MOST_STREAMS = 16  # each is a thread
PATIENCE = 10.0  # seconds that a client may take over a part of an answer
REPEAT = 5.0  # seconds after which a picture is sent again: one learns whether a client still reads
BOUNDARY = b"mjpegstream"

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ margin: 1em auto; max-width: 1000px; padding: 0 1em; font-family: sans-serif; }}
img {{ max-width: 100%; }} pre {{ white-space: pre-wrap; }}
</style></head><body>
<h1>{title}</h1><pre id="line">{line}</pre>
<img id="chart" src="chart.png" alt="the chart comes with the first hundred iterations">
<h2>What the network is fed</h2>
<img id="samples" src="samples.jpg" alt="no samples yet">
<script>
let shown = {{}};
async function look() {{
  try {{
    const status = await (await fetch("status.json", {{cache: "no-store"}})).json();
    document.getElementById("line").textContent = status.line;
    for (const [id, file] of [["chart", "chart.png"], ["samples", "samples.jpg"]]) {{
      if (shown[id] !== status.versions[id]) {{
        shown[id] = status.versions[id];
        document.getElementById(id).src = file + "?" + shown[id];
      }}
    }}
  }} catch (error) {{ document.getElementById("line").textContent = "the training has ended"; }}
  setTimeout(look, 2000);
}}
look();
</script></body></html>
"""


class Page:
    """A small web server in threads of its own that shows the chart of a training.

    /             an HTML page; the stream, for a client such as darknet's that takes no HTML
    /chart.mjpeg  the chart as a stream of JPEGs, a new one whenever it is drawn
    /chart.png, /samples.jpg, /status.json

    It answers this machine only, unless ``host`` says otherwise ("" is everyone). However many
    clients there are, and however slow, `update` does not wait for them.
    Raises DarkpyError for a port that cannot be had; port 0 takes a free one, see ``port`` and
    ``url``.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", title: str = "darkpy") -> None:
        self.title = title
        self.line = ""
        self.status: dict[str, Any] = {}
        self.updates = 0
        self.is_open = True
        self.streams = threading.BoundedSemaphore(MOST_STREAMS)
        self.news = threading.Condition()
        self._chart: str | Path | None = None
        self._samples: Sequence[Image] = ()
        self._samples_version = 0
        handler = type("Handler", (_Handler,), {"page": self})
        try:
            self._server = _Server((host, port), handler)
        except (OSError, OverflowError) as error:
            where = f"port {port} of {host or 'this machine'}"
            hint = "is another training using it? choose another -mjpeg_port, or -1 for none"
            raise DarkpyError(f"{where}: cannot be had: {reason(error)}; {hint}") from None
        self.port: int = self._server.server_address[1]
        shown = socket.gethostname() if host in ("", "0.0.0.0") else host
        self.url = f"http://{shown}:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="darkpy-page", daemon=True
        )
        self._thread.start()

    def update(
        self,
        chart: str | Path | None = None,
        line: str | None = None,
        samples: Sequence[Image] | None = None,
        status: Mapping[str, Any] | None = None,
    ) -> None:
        """Show what is given; what is None stays. It costs nothing where nobody looks.

        chart    path of a PNG; that the file has changed is seen here
        line     the last words of the training
        samples  pictures (h, w, 3) uint8 of one size, that nobody changes afterwards
        status   numbers for /status.json
        """
        with self.news:
            self._chart = self._chart if chart is None else chart
            if samples is not None and samples is not self._samples:
                self._samples = samples
                self._samples_version += 1
            self.line = self.line if line is None else line
            self.status = self.status if status is None else dict(status)
            self.updates += 1
            self.news.notify_all()

    def wait(self, updates: int, seconds: float) -> None:
        """Wait until there have been more updates, the page closes, or the time is over."""
        with self.news:
            self.news.wait_for(lambda: self.updates != updates or not self.is_open, seconds)

    def close(self) -> None:
        """Stop answering and free the port."""
        with self.news:
            self.is_open = False
            self.news.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def chart_version(self) -> str:
        """Return what changes when the chart does; an empty string before there is one."""
        try:
            found = os.stat(self._chart) if self._chart is not None else None
        except OSError:
            found = None
        return "" if found is None else f"{found.st_ino}-{found.st_mtime_ns}"

    def chart_png(self) -> bytes | None:
        """Return the chart as it is now; None before there is one."""
        try:
            return None if self._chart is None else Path(self._chart).read_bytes()
        except OSError:
            return None

    def chart_jpeg(self) -> bytes | None:
        """Return the chart as a JPEG; None before there is one."""
        import cv2

        png = self.chart_png()
        image: Any = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) if png else None
        return None if image is None else encode_image(".jpg", image)

    def samples_jpeg(self) -> bytes | None:
        """Return the samples as a JPEG; None before there are any."""
        samples = self._samples
        return encode_image(".jpg", contact_sheet(samples)) if len(samples) else None

    def status_json(self) -> bytes:
        """Return line, versions and numbers; null stands for one that JSON cannot say."""
        with self.news:
            values = {"line": self.line, **self.status}
            samples = str(self._samples_version)
        for name, value in values.items():
            if isinstance(value, float) and not math.isfinite(value):
                values[name] = None
        values["versions"] = {"chart": self.chart_version(), "samples": samples}
        return json.dumps(values, default=str).encode()


class _Server(socketserver.ThreadingTCPServer):
    """A server whose threads end with the program, and that says nothing of lost clients."""

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # on Windows it would share a port that is in use

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a client of the page failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    page: Page
    timeout = PATIENCE

    def do_GET(self) -> None:
        page = self.page
        path = self.path.partition("?")[0]
        if path in ("/chart.mjpeg", "/mjpeg") or (path == "/" and not self._takes_html()):
            self._stream()
        elif path in ("/", "/index.html"):
            title, line = html.escape(page.title), html.escape(page.line)
            self._answer("text/html; charset=utf-8", PAGE.format(title=title, line=line).encode())
        elif path == "/chart.png":
            self._answer("image/png", page.chart_png())
        elif path == "/samples.jpg":
            self._answer("image/jpeg", page.samples_jpeg())
        elif path == "/status.json":
            self._answer("application/json", page.status_json())
        else:
            self._answer("", None)

    def _takes_html(self) -> bool:
        return "text/html" in self.headers.get("Accept", "")

    def _answer(self, kind: str, body: bytes | None) -> None:
        if body is None:
            self.send_error(404, "There is no such thing here, or not yet")
            return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        """Send charts until the client goes away or the page is closed."""
        if not self.page.streams.acquire(blocking=False):
            self.send_error(503, f"Already {MOST_STREAMS} streams are read")
            return
        try:
            self.send_response(200)
            kind = f"multipart/x-mixed-replace; boundary={BOUNDARY.decode()}"
            self.send_header("Content-Type", kind)
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(b"--" + BOUNDARY + b"\r\n")
            self._send_charts()
        finally:
            self.page.streams.release()

    def _send_charts(self) -> None:
        page, sent, due = self.page, "", 0.0
        jpeg: bytes | None = None
        while page.is_open:
            updates, version = page.updates, page.chart_version()
            if version != sent:
                sent, due, jpeg = version, 0.0, page.chart_jpeg()
            if jpeg is not None and time.monotonic() >= due:
                head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                # The boundary comes at once: browsers show a picture when they have read it.
                self.wfile.write(head + jpeg + b"\r\n--" + BOUNDARY + b"\r\n")
                due = time.monotonic() + REPEAT
            page.wait(updates, REPEAT)

    def log_message(self, *args: object) -> None:
        """Say nothing."""
