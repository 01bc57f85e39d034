"""The load's own HTTP client: one kept-alive connection, next to no cost of its own.

The measured rate is the product's; a comfortable client would take its share of the cores.
`http.client` took 230 microseconds of CPU a request, of which most were the answer's headers.
"""

from __future__ import annotations

import re
import socket
from typing import Any
from urllib.parse import urlsplit

import orjson

from orchestrator.clock import monotonic

#: Seconds of silence after which a connection is made anew: the API closes it after 75.
_STALE = 30.0

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Connection:
    """A connection to the API."""

    def __init__(self, api_url: str, timeout: float = 60) -> None:
        parts = urlsplit(api_url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._host = parts.netloc.encode()
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._used = 0.0

    def post(self, path: str, body: Any) -> Any:
        """The answer to a POST. Raises AssertionError where it is none of success."""
        text = orjson.dumps(body)
        connection = self._connected()
        connection.sendall(
            b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (path.encode(), self._host, len(text), text)
        )
        status, told = _answer(connection)
        self._used = monotonic()
        if status >= 300:
            raise AssertionError(f"{path}: {status} {told[:500]!r}")
        return orjson.loads(told)

    def _connected(self) -> socket.socket:
        if self._socket is None or monotonic() - self._used > _STALE:
            if self._socket is not None:
                self._socket.close()
            self._socket = socket.create_connection(self._address, self._timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of the next answer, which tells its length as all of the API's do."""
    head, end, body = _received(connection).partition(b"\r\n\r\n")
    while not end:
        head, end, body = (head + _received(connection)).partition(b"\r\n\r\n")
    length = _LENGTH.search(head + b"\r\n")
    if length is None:
        raise AssertionError(f"an answer without a length: {head!r}")
    missing = int(length[1]) - len(body)
    pieces = [body]
    while missing > 0:
        pieces.append(_received(connection, missing))
        missing -= len(pieces[-1])
    return int(head[9:12]), b"".join(pieces)


def _received(connection: socket.socket, most: int = 65536) -> bytes:
    found = connection.recv(most)
    if not found:
        raise AssertionError("the API has closed the connection")
    return found
