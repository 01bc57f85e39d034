"""Clients that hold connections and give nothing back: `python -m tests.support.bad_clients KIND
HOST PORT COUNT`. They connect again when they are cut before an answer, until the process is ended.
A line `ready` is written once all have connected."""

from __future__ import annotations

import selectors
import socket
import sys
import time
from contextlib import suppress

GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\n"
POST = GET.replace(b"GET", b"POST", 1) % b"/v1/instances"
POST += b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
#: What each kind sends at once, and then a byte of every second.
KINDS: dict[str, tuple[bytes, bytes]] = {
    "silent": (b"", b""),
    "dripping heads": (b"GET /v1/instances HTTP/1.1\r\nX: ", b"a"),
    "half heads": (b"GET /v1/instances HTTP/1.1\r\nX: ", b""),
    "dripping bodies": (POST, b" "),
    "half bodies": (POST, b""),
    "readers that do not read": (GET % b"/docs/swagger-ui-bundle.js" + b"\r\n", b""),
    "pipelines that do not read": ((GET % b"/livez" + b"\r\n") * 500, b""),
    "idle": (GET % b"/livez" + b"\r\n", b""),
}


class BadClients:
    """Connections of one kind, all in this thread."""

    def __init__(self, kind: str, address: tuple[str, int], count: int) -> None:
        self._first, self._drip = KINDS[kind]
        self._address = address
        self._selector = selectors.DefaultSelector()
        self._reads = kind == "idle"
        #: Those that have an answer and do not read it.
        self._unread: list[object] = []
        for _ in range(count):
            self._connect()

    def run(self) -> None:
        """Drip, and connect again, for ever."""
        while True:
            due = time.monotonic() + 1.0
            while (remaining := due - time.monotonic()) > 0:
                for key, _ in self._selector.select(remaining):
                    self._read(key.fileobj)
                if not self._reads:
                    time.sleep(min(0.05, max(0.0, due - time.monotonic())))
            if self._drip:
                self._send()

    def _send(self) -> None:
        for key in list(self._selector.get_map().values()):
            try:
                key.fileobj.send(self._drip)  # type: ignore[union-attr]
            except BlockingIOError:
                pass
            except OSError:
                self._again(key.fileobj)

    def _connect(self) -> None:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.settimeout(60)
        made.connect(self._address)
        made.setblocking(False)
        with suppress(OSError):
            made.send(self._first)
        self._selector.register(made, selectors.EVENT_READ)

    def _again(self, old: object) -> None:
        self._selector.unregister(old)  # type: ignore[arg-type]
        old.close()  # type: ignore[attr-defined]
        with suppress(OSError):
            self._connect()

    def _read(self, client: object) -> None:
        """Notice that the server has hung up, without taking what it has sent."""
        flags = 0 if self._reads else socket.MSG_PEEK
        try:
            if client.recv(65536 if self._reads else 1, flags) == b"":  # type: ignore[attr-defined]
                self._again(client)
            elif not self._reads:
                self._selector.unregister(client)  # type: ignore[arg-type]
                self._unread.append(client)
        except BlockingIOError:
            pass
        except OSError:
            self._again(client)


if __name__ == "__main__":
    _, kind, host, port, count = sys.argv
    clients = BadClients(kind, (host, int(port)), int(count))
    print("ready", flush=True)
    clients.run()
