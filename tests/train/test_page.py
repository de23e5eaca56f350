import http.client
import json
import socket
import threading
import time

import cv2
import numpy as np
import pytest

from darkpy.draw import save_image
from darkpy.errors import DarkpyError
from darkpy.train import page as module
from darkpy.train.page import Page

HTML = {"Accept": "text/html,*/*"}


@pytest.fixture
def page():
    page = Page(0, title="yolo <tiny>")
    yield page
    page.close()


@pytest.fixture
def chart(tmp_path):
    """Return a function that writes a chart of one grey and gives its path."""

    def write(grey):
        save_image(tmp_path / "chart.png", np.full((40, 50, 3), grey, np.uint8))
        return tmp_path / "chart.png"

    return write


def get(page, path, headers=HTML):
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    try:
        return answer.status, answer.getheader("Content-Type"), answer.read()
    finally:
        connection.close()


def stream(page, path="/chart.mjpeg"):
    """Open the stream; return the connection's file, past the headers, and its socket."""
    client = socket.create_connection(("127.0.0.1", page.port), timeout=10)
    client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    file = client.makefile("rb")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += file.readline()
    return head, file, client


def frame(file):
    """Read a part as a client does: boundary, headers, as many bytes as they say."""
    line = file.readline()
    while line and line != b"\r\n":
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
        line = file.readline()
    jpeg = file.read(length)
    assert file.readline() == b"\r\n" and file.readline() == b"--mjpegstream\r\n"
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_a_browser_gets_a_page(page):
    page.update(line="10: <1.5>, 1.6 avg loss")
    status, kind, body = get(page, "/")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert b"<title>yolo &lt;tiny&gt;</title>" in body and b"10: &lt;1.5&gt;" in body


def test_chart_samples_and_figures(page, chart):
    assert [get(page, path)[0] for path in ("/chart.png", "/samples.jpg", "/no")] == [404] * 3
    samples = np.full((30, 20, 3), 200, np.uint8)
    page.update(chart(90), "a line", [samples], {"iteration": 3, "loss": float("nan")})
    status, kind, body = get(page, "/chart.png?5")
    assert (status, kind, body) == (200, "image/png", chart(90).read_bytes())
    jpeg = cv2.imdecode(np.frombuffer(get(page, "/samples.jpg")[2], np.uint8), 1)
    assert jpeg.shape == (30, 20, 3) and abs(int(jpeg[0, 0, 0]) - 200) < 3
    status = json.loads(get(page, "/status.json")[2])
    assert status.pop("versions")["chart"]
    assert status == {"line": "a line", "iteration": 3, "loss": None}


def test_versions_change_with_what_is_shown(page, chart):
    def versions():
        return json.loads(get(page, "/status.json")[2])["versions"]

    samples = [np.zeros((30, 20, 3), np.uint8)]
    path = chart(90)
    page.update(path, samples=samples)
    before = versions()
    page.update(path, "another line", samples)
    assert versions() == before
    page.update(samples=samples * 2)
    assert versions()["samples"] != before["samples"]
    chart(91)
    assert versions()["chart"] != before["chart"]


@pytest.mark.parametrize("path", ["/chart.mjpeg", "/"])
def test_the_stream_sends_each_new_chart(page, chart, path):
    page.update(chart(10))
    head, file, client = stream(page, path)
    assert b"multipart/x-mixed-replace; boundary=mjpegstream" in head
    assert file.readline() == b"--mjpegstream\r\n"
    assert abs(int(frame(file)[0, 0, 0]) - 10) < 3
    page.update(chart(200))
    assert abs(int(frame(file)[0, 0, 0]) - 200) < 3
    file.close()
    client.close()


def test_a_stream_may_begin_before_the_first_chart(page, chart):
    _, file, client = stream(page)
    file.readline()
    page.update(chart(60))
    assert frame(file).shape == (40, 50, 3)
    file.close()
    client.close()


PROMPT = 5  # seconds; who waited for a client would wait for ever


def test_clients_that_do_not_read_hold_nobody_up(page, tmp_path, rng):
    noise = rng.integers(0, 256, (700, 700, 3)).astype(np.uint8)  # more than a socket holds
    cv2.imwrite(str(tmp_path / "chart.png"), noise)
    clients = [stream(page) for _ in range(3)]
    before = time.monotonic()
    for _ in range(500):
        page.update(tmp_path / "chart.png", "line")
    assert time.monotonic() - before < PROMPT
    assert get(page, "/status.json")[0] == 200
    for _, file, client in clients:
        file.close()
        client.close()


def test_clients_that_vanish_are_forgotten(page, chart, monkeypatch):
    monkeypatch.setattr(module, "REPEAT", 0.02)
    monkeypatch.setattr(page, "streams", threading.BoundedSemaphore(1))
    page.update(chart(1))
    _, file, client = stream(page)
    assert get(page, "/chart.mjpeg")[0] == 503
    file.close()
    client.close()
    until = time.monotonic() + 10
    while not page.streams.acquire(timeout=0.05):
        assert time.monotonic() < until
    page.streams.release()


def test_closing_ends_streams_and_frees_the_port(chart):
    page = Page(0)
    page.update(chart(1))
    _, file, client = stream(page)
    before = time.monotonic()
    page.close()
    assert time.monotonic() - before < PROMPT
    file.read()  # to the end of the stream, which comes
    file.close()
    client.close()
    Page(page.port).close()


def test_a_port_in_use_is_an_error(page):
    with pytest.raises(DarkpyError, match=rf"port {page.port} of 127.0.0.1: cannot be had"):
        Page(page.port)
    with pytest.raises(DarkpyError, match="port 99999"):
        Page(99999)


def test_nonsense_is_answered_with_an_error(page):
    with socket.create_connection(("127.0.0.1", page.port), timeout=10) as client:
        client.sendall(b"\x00\xff nonsense\r\n\r\n")
        assert b"400" in client.recv(4096)
    assert get(page, "/status.json")[0] == 200


def test_it_answers_this_machine_only(page):
    assert page._server.server_address[0] == "127.0.0.1"
