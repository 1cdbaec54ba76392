"""Photos by address: what is fetched, and what is refused, from a server on this machine taken for a public one."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipelines import address
from pipelines.errors import UserError
from pipelines.inputs import MAX_MEBIBYTES

PHOTO = b"\x89PNG\r\n\x1a\n rest of a photo"


def taken_for_public(ip: str) -> bool:
    return ip == "127.0.0.1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name, _, rest = self.path.strip("/").partition("/")
        getattr(self, f"_{name}")(rest)

    def _photo(self, rest: str) -> None:
        self._send(200, PHOTO, "image/png")

    def _host(self, rest: str) -> None:
        self._send(200, (self.headers["Host"] or "").encode(), "image/png")

    def _page(self, rest: str) -> None:
        self._send(200, b"<html>", "text/html; charset=utf-8")

    def _gone(self, rest: str) -> None:
        self._send(404, b"", "text/plain")

    def _to(self, rest: str) -> None:
        self.send_response(302)
        self.send_header("Location", rest)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _hops(self, rest: str) -> None:
        self._to(f"/hops/{int(rest) - 1}" if int(rest) else "/photo")

    def _announced(self, rest: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(MAX_MEBIBYTES * 2**20 + 1))
        self.end_headers()

    def _endless(self, rest: str) -> None:
        self.send_response(200)
        self.end_headers()
        self._until_closed(b"x" * 2**20)

    def _trickle(self, rest: str) -> None:
        self.send_response(200)
        self.end_headers()
        self._until_closed(b"x", pause=0.05)

    def _trickled_header(self, rest: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        self._until_closed(b"x", pause=0.05)

    def _until_closed(self, part: bytes, pause: float = 0) -> None:
        self.close_connection = True
        for _ in range(2000):
            try:
                self.wfile.write(part)
            except OSError:
                return
            time.sleep(pause)

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def refusal(url: str, **settings: float) -> str:
    with pytest.raises(UserError) as caught:
        address.fetch(url, public=taken_for_public, **settings)
    assert caught.value.sentence()
    return caught.value.code


def test_a_photo_is_fetched(site: str) -> None:
    assert address.fetch(f" {site}/photo/with ä space?a=b c#part ", public=taken_for_public) == PHOTO


def test_the_host_header_has_name_and_port(site: str) -> None:
    name = site.replace("127.0.0.1", "localhost")
    fetched = address.fetch(f"{name}/host", public=lambda ip: ip in ("127.0.0.1", "::1"))
    assert fetched.decode() == name.removeprefix("http://")


def test_five_redirects_are_followed_and_no_more(site: str) -> None:
    assert address.fetch(f"{site}/hops/4", public=taken_for_public) == PHOTO
    assert refusal(f"{site}/hops/5") == "url_redirects"


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0",
        "fc00::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::",
        "2001:0:1::1", "2001:db8::1", "::127.0.0.1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(ip: str) -> None:
    assert not address.is_public(ip)


@pytest.mark.parametrize("ip", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_addresses_that_are_public(ip: str) -> None:
    assert address.is_public(ip)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433"])
def test_this_machine_is_refused_however_it_is_written(site: str, host: str) -> None:
    port = site.rpartition(":")[2]
    with pytest.raises(UserError) as caught:
        address.fetch(f"http://{host}:{port}/photo")
    assert caught.value.code in ("url_private", "url_unreachable")
    if host in ("127.0.0.1", "localhost"):
        assert caught.value.code == "url_private"


def test_a_redirect_to_a_private_address_is_refused(site: str) -> None:
    assert refusal(f"{site}/to/http://127.0.0.2:1/photo") == "url_private"


def test_a_name_with_one_private_address_is_refused(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "_resolve", lambda *_: ["127.0.0.1", "127.0.0.2"])
    assert refusal(f"{site}/photo") == "url_private"


def test_a_name_is_resolved_once_and_connected_where_it_was_checked(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    monkeypatch.setattr(address, "_resolve", lambda *_: next(answers))
    fetched = address.fetch(site.replace("127.0.0.1", "rebinding.example") + "/host", public=taken_for_public)
    assert fetched.startswith(b"rebinding.example:")


@pytest.mark.parametrize("url", ["", "photo.jpg", "ftp://example.com/a", "file:///etc/passwd", "HTTP://", "http://[a/"])
def test_other_addresses_are_refused(url: str) -> None:
    assert refusal(url) == ("url_broken" if url.lower().startswith("http") else "url_scheme")


def test_a_redirect_to_a_file_is_refused(site: str) -> None:
    assert refusal(f"{site}/to/file:///etc/passwd") == "url_scheme"


def test_an_unknown_host_and_a_closed_port_are_said() -> None:
    assert refusal("http://nothing.invalid/photo", seconds=5) in ("url_unreachable", "url_slow")
    assert refusal("http://127.0.0.1:1/photo") == "url_unreachable"


def test_a_page_and_an_error_are_said(site: str) -> None:
    assert refusal(f"{site}/page") == "url_page"
    assert refusal(f"{site}/gone") == "url_status"


@pytest.mark.parametrize("name", ["announced", "endless"])
def test_a_file_that_is_too_large_is_refused(site: str, name: str) -> None:
    assert refusal(f"{site}/{name}") == "photo_heavy"


@pytest.mark.parametrize("name", ["trickle", "trickled_header"])
def test_a_host_that_trickles_is_left_in_time(site: str, name: str) -> None:
    start = time.monotonic()
    assert refusal(f"{site}/{name}", seconds=0.5) == "url_slow"
    assert time.monotonic() - start < 2


def test_a_name_server_that_hangs_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(address.socket, "getaddrinfo", lambda *_, **__: answered.wait(30) and [])
    assert refusal("http://slow.example/photo", seconds=0.3) == "url_slow"
    answered.set()
