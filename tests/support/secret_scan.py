"""Searches every text and all data and commands of Valkey for a secret. It shares no code with the
product's masking."""

from __future__ import annotations

import base64
import re
import socket
import threading
from binascii import Error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import redis

_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{12,}")
_STANDARD = str.maketrans("-_", "+/")
#: Base64 within base64 is opened so often.
DEEPEST = 3


def found(part: str, text: str, depth: int = 0) -> str | None:
    """Where a part of a secret is, in plain, in hexadecimal or in base64; None: nowhere.
    `part` has letters, digits and hyphens only, so that quoting and URLs leave it as it is."""
    for form in (part, part.encode().hex()):
        at = text.lower().find(form.lower())
        if at >= 0:
            return text[max(0, at - 300) : at + 100]
    if depth == DEEPEST:
        return None
    for run in set(_ENCODED.findall(text)):
        for opened in _opened(run):
            if (inside := found(part, opened, depth + 1)) is not None:
                return f"{run[:200]} is base64 of {inside}"
    return None


def _opened(run: str) -> Iterator[str]:
    """What a run of letters means in base64, wherever in it that begins."""
    for start in range(4):
        piece = run[start:].translate(_STANDARD)
        try:
            data = base64.b64decode(piece[: len(piece) // 4 * 4])
        except Error:
            continue
        yield data.decode("latin-1")


def everything(url: str) -> str:
    """All keys of all databases of a broker, with all that they hold."""
    told: list[str] = []
    with redis.Redis.from_url(url) as client:
        numbers = [int(name.removeprefix("db")) for name in client.info("keyspace")]
    for number in numbers:
        with redis.Redis.from_url(url, db=number) as client:
            told += [f"{key!r}: {_held(client, key)!r}" for key in client.scan_iter()]
    return "\n".join(told)


def _held(client: Any, key: bytes) -> object:
    kind: str = client.type(key).decode()
    reads: dict[str, Callable[[bytes], object]] = {
        "string": client.get,
        "hash": client.hgetall,
        "set": client.smembers,
        "list": lambda name: client.lrange(name, 0, -1),
        "zset": lambda name: client.zrange(name, 0, -1, withscores=True),
        "stream": client.xrange,
        "none": lambda _: None,  # it is gone since
    }
    return reads[kind](key)


class Monitor:
    """Every command that a broker gets, as it writes them."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._socket = socket.create_connection((place.hostname, place.port or 6379))
        self._read: list[bytes] = []
        if place.password:
            self._socket.sendall(f"AUTH {place.password}\r\n".encode())
        self._socket.sendall(b"MONITOR\r\n")
        self._read.append(self._socket.recv(65536))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while data := self._socket.recv(65536):
            self._read.append(data)

    def close(self) -> None:
        """Listen no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    @property
    def text(self) -> str:
        """All of it so far."""
        return b"".join(self._read).decode("latin-1")


@contextmanager
def monitored(url: str) -> Iterator[Monitor]:
    """Listen to a broker meanwhile."""
    monitor = Monitor(url)
    try:
        yield monitor
    finally:
        monitor.close()
