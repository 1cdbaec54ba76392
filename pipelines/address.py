"""A photo from an http(s) address: public hosts only, checked on the very address that is connected to."""

import ipaddress
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from urllib.parse import quote, urljoin, urlsplit

import httpcore

from pipelines.errors import UserError
from pipelines.inputs import MAX_MEBIBYTES

MOST_SECONDS = 10
MOST_REDIRECTS = 5
# Unicast addresses of IPv6, less those that wrap an IPv4 address (6to4): what they lead to can't be seen here.
PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
WRAPPED_6 = ipaddress.IPv6Network("2002::/16")

HEADERS = [(b"User-Agent", b"Quartet"), (b"Accept", b"image/*,*/*;q=0.5"), (b"Accept-Encoding", b"identity")]

Public = Callable[[str], bool]


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet: not of this machine, its network or a special range."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return is_public(str(found.ipv4_mapped))
        return found.is_global and found in PUBLIC_6 and found not in WRAPPED_6
    return found.is_global and not found.is_multicast


def fetch(url: str, *, public: Public = is_public, seconds: float = MOST_SECONDS) -> bytes:
    """The file at `url`, at most 32 MiB, within `seconds` in all, redirects included. Raises `UserError`.

    `public` says which IP addresses may be connected to."""
    end = time.monotonic() + seconds
    url = str(url).strip()
    host = ""
    try:
        with httpcore.ConnectionPool(network_backend=_Backend(public, end), retries=0) as pool:
            for _ in range(MOST_REDIRECTS + 1):
                target, host = _parsed(url)
                with pool.stream("GET", target, headers=[(b"Host", _host_header(target)), *HEADERS]) as response:
                    headers = {name.lower(): value for name, value in response.headers}
                    if response.status in (301, 302, 303, 307, 308) and b"location" in headers:
                        url = urljoin(url, headers[b"location"].decode("latin-1"))
                        continue
                    if response.status != 200:
                        raise UserError("url_status", host=host, status=response.status)
                    if headers.get(b"content-type", b"").startswith(b"text/html"):
                        raise UserError("url_page")
                    return _body(response.iter_stream(), headers.get(b"content-length", b""))
            raise UserError("url_redirects", host=host)
    except (httpcore.TimeoutException, TimeoutError) as error:
        raise UserError("url_slow", host=host, seconds=f"{seconds:g}") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        raise UserError("url_unreachable", host=host) from error


def _parsed(url: str) -> tuple[httpcore.URL, str]:
    """What httpcore asks for, and the host as a person would name it."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        if parts.scheme not in ("http", "https") or not host:
            raise ValueError(url)
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (
            "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~?") if parts.query else ""
        )
        name = host if ":" in host else host.encode("idna").decode("ascii")
        return httpcore.URL(scheme=parts.scheme, host=name, port=parts.port, target=path), host
    except (ValueError, UnicodeError) as error:
        code = "url_broken" if re.match("https?://", url, re.IGNORECASE) else "url_scheme"
        raise UserError(code, url=url[:100]) from error


def _host_header(url: httpcore.URL) -> bytes:
    host = b"[%s]" % url.host if b":" in url.host else url.host
    return host if url.port is None else b"%s:%d" % (host, url.port)


def _body(parts: Iterable[bytes], announced: bytes) -> bytes:
    most = MAX_MEBIBYTES * 2**20
    data = bytearray()
    if announced.isdigit() and len(announced) < 20 and int(announced) > most:
        raise UserError("photo_heavy", limit=MAX_MEBIBYTES)
    for part in parts:
        data += part
        if len(data) > most:
            raise UserError("photo_heavy", limit=MAX_MEBIBYTES)
    return bytes(data)


class _Backend(httpcore.SyncBackend):
    """Connects to public addresses only: a name is resolved once, here, and what was checked is what is connected to.
    httpcore still checks the certificate against the name."""

    def __init__(self, public: Public, end: float) -> None:
        super().__init__()
        self.public, self.end = public, end

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = _resolve(host, port, _left(self.end))
        if not all(map(self.public, addresses)):
            raise UserError("url_private", host=host)
        for address in addresses[:-1]:
            try:
                return self._connect(address, port, socket_options)
            except httpcore.ConnectError:  # for instance an IPv6 address where there is only IPv4
                continue
        return self._connect(addresses[-1], port, socket_options)

    def _connect(
        self, address: str, port: int, socket_options: Iterable[httpcore.SOCKET_OPTION] | None
    ) -> httpcore.NetworkStream:
        stream = super().connect_tcp(address, port, _left(self.end), socket_options=socket_options)
        return _Stream(stream, self.end)


class _Stream(httpcore.NetworkStream):
    """A connection whose every step has only the time that is left in all, so that no host can hold it by trickling."""

    def __init__(self, stream: httpcore.NetworkStream, end: float) -> None:
        self.stream, self.end = stream, end

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, _left(self.end))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, _left(self.end))

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self, ssl_context: object, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self.stream.start_tls(ssl_context, server_hostname, _left(self.end)), self.end)  # type: ignore[arg-type]

    def get_extra_info(self, info: str) -> object:
        return self.stream.get_extra_info(info)


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _resolve(host: str, port: int, seconds: float) -> list[str]:
    """The IP addresses of a name. The system's own look-up knows no time limit: a thread waits for it."""
    found: list[str] = []

    def look_up() -> None:
        try:
            found.extend(str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            pass

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError
    if not found:
        raise OSError(host)
    return found
