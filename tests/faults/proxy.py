"""A TCP proxy with faults: it cuts, resets, swallows, delays, and loses replies."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from typing import Self

#: Statements whose effect is durable when the server answers: their replies are worth losing.
WRITES = (b"orchestrator.save", b"orchestrator.claim", b"orchestrator.start", b"; commit")

CHUNK = 1 << 16


class Proxy:
    """Passes connections on to a server, except for what it is told to do to them.

    `mode` is ``pass``, ``swallow`` (nothing arrives, in either direction), ``one-way`` (requests
    arrive, replies don't) or ``slow`` (every piece takes 200 ms). `drop` is the share of the
    replies to writes that are lost together with their connection; `dropped` counts them.
    """

    def __init__(self, port: int, seed: int = 0) -> None:
        self.target = ("127.0.0.1", port)
        self.mode = "pass"
        self.drop = 0.0
        self.dropped = 0
        self._random = random.Random(seed)
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and close every connection."""
        self._listening.close()
        self.cut()

    def cut(self, *, reset: bool = False) -> int:
        """Close every connection, in order or by a reset; return their number."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            _end(pair, reset=reset)
        return len(pairs)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                try:
                    server = socket.create_connection(self.target, timeout=3)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                self._pass(client, server)

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        pair = (client, server)
        with self._lock:
            self._pairs.add(pair)
        for line in (client, server):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        writes = threading.Event()
        for target in (self._requests, self._replies):
            threading.Thread(target=target, args=(pair, writes), daemon=True).start()

    def _requests(self, pair: tuple[socket.socket, socket.socket], writes: threading.Event) -> None:
        client, server = pair
        with contextlib.suppress(OSError):
            while data := client.recv(CHUNK):
                if self.drop and any(one in data for one in WRITES):
                    writes.set()
                if self._arrives("request"):
                    server.sendall(data)
        self._forget(pair)

    def _replies(self, pair: tuple[socket.socket, socket.socket], writes: threading.Event) -> None:
        client, server = pair
        with contextlib.suppress(OSError):
            while data := server.recv(CHUNK):
                if writes.is_set():
                    writes.clear()
                    if self._random.random() < self.drop:
                        self.dropped += 1
                        break
                if self._arrives("reply"):
                    client.sendall(data)
        self._forget(pair)

    def _arrives(self, what: str) -> bool:
        if self.mode == "slow":
            time.sleep(0.2)  # the fault itself
        return self.mode != "swallow" and not (self.mode == "one-way" and what == "reply")

    def _forget(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._pairs.discard(pair)
        _end(pair, reset=False)


def _end(pair: tuple[socket.socket, socket.socket], *, reset: bool) -> None:
    for line in pair:
        with contextlib.suppress(OSError):
            if reset:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.shutdown(socket.SHUT_RDWR)
        line.close()
