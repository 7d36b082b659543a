"""Images of a request: which URLs are fetched, what is refused, how several are laid out."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from pipelines.serving import fetch as fetching
from pipelines.serving.fetch import fetch, public
from pipelines.serving.pictures import GAP_PX, SHEET_PX, collect, decode, fetched, lay_out
from pipelines.serving.refusals import Refusal
from pipelines.serving.settings import ServeConfig
from saccade.picture import Picture
from tests import tiny
from tests.pipelines.serving.client import png, uri


def refusal_of(url: str, hosts: tuple[str, ...] = ("images.test",), max_bytes: int = 10_000) -> str:
    with pytest.raises(Refusal) as caught:
        fetch(url, hosts, max_bytes, 1.0)
    assert caught.value.status in (400, 413)
    return str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1",
        "2002:7f00:1::", "::ffff:169.254.169.254",
    ],
)  # fmt: skip
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8"])
def test_addresses_outside_are(address: str) -> None:
    assert public(address)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://elsewhere.test/a.png", "only from images.test"),
        ("http://images.test.evil/a.png", "only from images.test"),
        ("http://images.test@evil/a.png", "a user name"),
        ("http://u:p@images.test/a.png", "a user name"),
        ("file:///etc/passwd", "not an http(s) URL"),
        ("http:///a.png", "not an http(s) URL"),
        ("http://images.test:99999/", "not a URL"),
        ("http://images.test/a b", "percent-encode"),
        ("http://images.test/\r\nHost: evil", "percent-encode"),
        ("http://[::1", "not a URL"),
    ],
)
def test_urls_that_are_refused_before_anything_is_resolved(url: str, message: str) -> None:
    assert message in refusal_of(url)


def test_without_an_allow_list_no_host_is_asked() -> None:
    assert "from no host" in refusal_of("http://images.test/a.png", ())


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::1"]])
def test_a_name_with_any_address_inside_is_refused(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (name, 80)) for name in addresses])
    assert "inside a private network" in refusal_of("http://images.test/a.png")


class Pages(BaseHTTPRequestHandler):
    """A few answers a server may give."""

    def do_GET(self) -> None:
        if self.path == "/image?x=1":
            assert self.headers["Host"] == f"images.test:{self.server.server_address[1]}"
            self._send(200, png())
        elif self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1/secret")
            self.end_headers()
        elif self.path == "/large":
            self._send(200, b"x" * 20_000)
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"short")
        elif self.path.startswith("/drip"):
            with suppress(OSError):
                self.wfile.write(b"HTTP/1.0 200 OK\r\n" + b"\r\n" * (self.path == "/dripped"))
                for _ in range(30):
                    self.wfile.write(b"x")
                    time.sleep(0.1)
        else:
            self._send(404, b"")

    def _send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server on this machine that stands for images.test."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("127.0.0.1", 80))])
    monkeypatch.setattr(fetching, "public", lambda address: True)
    monkeypatch.setattr(
        socket, "create_connection", lambda address, timeout: _connected(("127.0.0.1", server.server_address[1]))
    )
    yield f"http://images.test:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def _connected(address: tuple[str, int]) -> socket.socket:
    made = socket.socket()
    made.settimeout(1.0)
    made.connect(address)
    return made


def test_an_allowed_image_is_fetched(site: str) -> None:
    assert fetch(f"{site}/image?x=1", ("Images.Test",), 10**6, 1.0) == png()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/moved", "a redirect, which is not followed"),
        ("/large", "more than 10,000 bytes"),
        ("/none", "answered 404"),
        ("/cut", "broke off after 5 of 100 bytes"),
    ],
)
def test_answers_that_are_not_accepted(site: str, path: str, message: str) -> None:
    assert message in refusal_of(site + path)


def test_a_host_that_sends_a_byte_now_and_then_is_given_up_in_time(site: str) -> None:
    """In its headers as well: a thread that fetches is one that opens nobody else's images."""
    for path in ("/drip", "/dripped"):
        started = time.monotonic()
        with pytest.raises(Refusal, match="in time"):
            fetch(site + path, ("images.test",), 10_000, 0.5)
        assert time.monotonic() - started < 2


def test_data_uris() -> None:
    assert decode(uri(png())) == png() and decode("DATA:;BASE64,AAAA") == b"\0\0\0"
    assert decode(f"data:image/png; BASE64 ,{uri(png()).partition(',')[2]}") == png()  # blanks, as browsers have it
    for wrong in ("data:image/png;base64,AAA", "data:image/png;base64,A===", "data:image/png;base64,é", "data:,x"):
        with pytest.raises(Refusal):
            decode(wrong)


def test_one_image_stays_as_it_came() -> None:
    sheet = collect(fetched([uri(png())], ServeConfig()), ServeConfig())
    assert sheet.data == png() and sheet.boxes == ((0, 0, 1, 1),)


@pytest.mark.parametrize("sizes", [((100, 300), (80, 200)), ((300, 100), (200, 80), (10, 10))])
def test_several_images_lie_apart_where_the_boxes_say(sizes: tuple[tuple[int, int], ...]) -> None:
    pages = [tiny.page(*size, seed=number) for number, size in enumerate(sizes)]
    sheet = lay_out([Picture.open(page) for page in pages])
    assert isinstance(sheet.data, np.ndarray)
    height, width = sheet.data.shape[:2]
    for page, (x0, y0, x1, y1) in zip(pages, sheet.boxes, strict=True):
        left, top, right, bottom = round(x0 * width), round(y0 * height), round(x1 * width), round(y1 * height)
        assert np.array_equal(sheet.data[top:bottom, left:right], page)
    ends = [box[2] * width if height <= width else box[3] * height for box in sheet.boxes]
    assert max(ends) == pytest.approx(max(width, height)) and GAP_PX > 0


def test_large_images_shrink_together() -> None:
    blank = np.zeros((5000, 6000, 3), np.uint8)
    sheet = lay_out([Picture.open(blank), Picture.open(blank[:, :3000])])
    assert isinstance(sheet.data, np.ndarray)
    assert sheet.data.shape[0] * sheet.data.shape[1] <= SHEET_PX
    (first, second) = sheet.boxes
    assert (first[2] - first[0]) == pytest.approx(2 * (second[2] - second[0]), rel=0.01)
