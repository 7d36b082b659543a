"""Images from URLs: only hosts the operator allowed, never an address inside, no redirect.

The name is resolved once, every address it has is checked, and the connection goes to that address: a name that
resolves elsewhere a moment later gains nothing.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self
from urllib.parse import SplitResult, urlsplit

from pipelines.serving.refusals import Refusal, short

CHUNK_BYTES = 1 << 16


def fetch(url: str, hosts: Sequence[str], max_bytes: int, timeout_s: float) -> bytes:
    """The body of one GET, in `timeout_s` from the connection to its last byte.

    Raises:
        Refusal: 400 for a host, an address or an answer that is not accepted, 413 for too many bytes.
    """
    parts = _parts(url)
    host = str(parts.hostname)
    if host.lower() not in {name.lower() for name in hosts}:
        allowed = f"only from {', '.join(hosts)}" if hosts else "from no host"
        raise _refused(f"images are fetched {allowed}; got {short(host)}. Send the image as a data: URI")
    try:
        with _Pinned(parts, _address(host, _port(parts)), timeout_s).in_time() as connection:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", path, headers={"Accept": "image/*", "User-Agent": "saccade"})
            response = connection.getresponse()
            if response.status != 200:
                outcome = "a redirect, which is not followed" if 300 <= response.status < 400 else "no image"
                raise _refused(f"{host} answered {response.status}: {outcome}")
            return _body(response, max_bytes)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _refused(f"cannot fetch the image from {host}: {type(error).__name__}") from error


def _refused(message: str) -> Refusal:
    return Refusal(400, message, "messages", "invalid_image_url")


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _port(parts)
    except ValueError as error:
        raise _refused(f"{short(url)} is not a URL: {error}") from error
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise _refused(f"{short(url)} is not an http(s) URL")
    if parts.username is not None or parts.password is not None:
        raise _refused("a URL with a user name is not fetched")
    if any(ord(char) <= 32 or ord(char) > 126 for char in url):
        raise _refused("a URL must be ASCII without spaces: percent-encode it")
    return parts


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme.lower() == "https" else 80)


def _address(host: str, port: int) -> str:
    """The address to connect to, when every address of the name is on the public Internet."""
    addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    for address in addresses:
        if not public(address):
            raise _refused(f"{host} has an address inside a private network")
    if not addresses:
        raise _refused(f"{host} has no address")
    return min(addresses, key=lambda address: (":" in address, address))  # IPv4 first


def public(address: str) -> bool:
    """Whether an address is on the public Internet; IPv4 inside IPv6 is judged as what it is."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return ip.is_global and not ip.is_multicast


def _body(response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    data, announced = bytearray(), response.length
    while chunk := response.read1(CHUNK_BYTES):
        data += chunk
        if len(data) > max_bytes:
            raise Refusal(413, f"the image at the URL has more than {max_bytes:,} bytes", "messages")
    if announced is not None and len(data) < announced:  # the end of a connection is no end of an image
        raise _refused(f"the image at the URL broke off after {len(data):,} of {announced:,} bytes")
    return bytes(data)


class _Pinned(http.client.HTTPConnection):
    """A connection to a fixed address, whose certificate and Host header are still the name's."""

    def __init__(self, parts: SplitResult, address: str, timeout_s: float) -> None:
        super().__init__(str(parts.hostname), _port(parts), timeout=timeout_s)
        self.address, self.secure, self.late = address, parts.scheme.lower() == "https", False
        self.line: socket.socket | None = None  # `sock`, kept while a response still reads from it
        if self.secure:
            self.default_port = 443  # left out of the Host header

    def connect(self) -> None:
        self.sock = self.line = socket.create_connection((self.address, self.port), self.timeout)
        if self.late:
            raise TimeoutError
        if self.secure:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.line = self.sock
            if self.late:  # the old socket is of no use to whoever cut it while the new one was made
                raise TimeoutError
            self.sock.do_handshake()

    @contextmanager
    def in_time(self) -> Iterator[Self]:
        """Closes the connection after the block, or when its time is up: a socket's own time-out begins anew with each
        byte, and a host may send one now and then.

        Raises:
            Refusal: the time was up.
        """
        timer = threading.Timer(self.timeout or 0.0, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield self
        finally:
            timer.cancel()
            self.close()
            if self.late:
                raise _refused("the image did not arrive in time")

    def _cut(self) -> None:
        """Ends what another thread waits for."""
        self.late = True
        if self.line is not None:
            with suppress(OSError):  # closed by now
                socket.socket.shutdown(self.line, socket.SHUT_RDWR)
