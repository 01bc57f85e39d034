"""Connections that the main thread keeps until a thread has something to do on them.

A connection without a request, or with half of its head, takes no thread: the main thread reads
what arrives, without waiting, and passes the connection on with its first complete head. It also
keeps the connections that are being closed until their clients have read the last answer.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from api.server.client_socket import oldest_of_busiest
from orchestrator import clock

#: Bytes after which a head goes to a thread, which refuses what is larger than the parser allows.
MAX_HEAD = 64 * 1024
#: Bytes of a line that has no end yet; the parser allows 8,190.
MAX_LINE = 16 * 1024
#: Seconds that a client has for reading the last answer, before its connection is closed.
LINGER = 2.0
#: Bytes after a last answer that are read and dropped.
MAX_LINGER = 64 * 1024
#: The most connections that linger.
MAX_LINGERING = 256


class ArrivingRequests:
    """The waiting and the closing connections of one process; the main thread's alone.

    A connection may be silent for `idle_timeout` seconds, and take `timeout` seconds for a request.
    `pass_on` takes a connection whose head is complete, or which the client has half-closed.
    `refuse` ends one: whether it is late (not: it is empty, or has to go for another).
    """

    def __init__(
        self,
        poller: selectors.BaseSelector,
        idle_timeout: float,
        timeout: Callable[[], float],
        pass_on: Callable[[Any], None],
        refuse: Callable[[Any, bool], None],
    ) -> None:
        self._poller = poller
        self._idle_timeout = idle_timeout
        self._timeout = timeout
        self._pass_on = pass_on
        self._refuse = refuse
        #: Connections and their addresses, the oldest first: those without any byte of a request,
        #: and those with half of a head.
        self._silent: dict[Any, str] = {}
        self._begun: dict[Any, str] = {}
        #: Connections that close, when at the latest, and the bytes read of them.
        self._lingering: dict[Any, tuple[float, int]] = {}

    def add(self, connection: Any) -> None:
        """Await the next request of a connection."""
        connection.sock.begin_request(clock.monotonic() + self._idle_timeout)
        self._silent[connection] = connection.sock.address
        if self._read(connection):
            self._pass_on_or_refuse(connection)
        else:
            self._register(connection, self._on_readable)

    def linger(self, connection: Any) -> None:
        """Close a connection once its client has read the last answer (RFC 9112, section 9.6)."""
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            connection.sock.close()
            return
        if len(self._lingering) >= MAX_LINGERING:
            self._end_lingering(next(iter(self._lingering)))
        self._lingering[connection] = (clock.monotonic() + LINGER, 0)
        self._register(connection, self._drop_input)

    def expire(self, *, stopping: bool) -> None:
        """Refuse what is late, and, if the process stops, what is empty."""
        now = clock.monotonic()
        for waiting in (self._silent, self._begun):
            while waiting and (oldest := next(iter(waiting))).sock.deadline <= now:
                self._end(oldest, late=waiting is self._begun)
        while self._lingering and next(iter(self._lingering.values()))[0] <= now:
            self._end_lingering(next(iter(self._lingering)))
        if stopping:
            for connection in list(self._silent):
                self._end(connection, late=False)

    def shed(self) -> bool:
        """Refuse the oldest connection of the address with most of them; False if there is none."""
        waiting = self._silent or self._begun
        if waiting:
            self._end(oldest_of_busiest(waiting), late=False)
        return bool(waiting)

    def _register(self, connection: Any, callback: Callable[[Any], None]) -> None:
        self._poller.register(connection.sock, selectors.EVENT_READ, lambda _: callback(connection))

    def _on_readable(self, connection: Any) -> None:
        # Ignore a connection that no longer waits: an earlier event of the same poll may have ended
        # it.
        is_waiting = connection in self._silent or connection in self._begun
        if is_waiting and self._read(connection):
            self._pass_on_or_refuse(connection)

    def _read(self, connection: Any) -> bool:
        """Read what has arrived. Return whether there is no more to wait for."""
        try:
            piece = connection.sock.recv_now(MAX_HEAD)
        except OSError:
            piece = b""
        if piece is None:
            return False
        if self._silent.pop(connection, None) is not None:
            connection.sock.begin_request(clock.monotonic() + self._timeout())
            self._begun[connection] = connection.sock.address
        head = connection.head
        begin = max(0, len(head) - 3)
        head += piece
        return not piece or head.find(b"\r\n\r\n", begin) >= 0 or _is_too_large(head)

    def _pass_on_or_refuse(self, connection: Any) -> None:
        self._forget(connection)
        if connection.head:
            self._pass_on(connection)
        else:
            self._refuse(connection, False)

    def _forget(self, connection: Any) -> None:
        self._silent.pop(connection, None)
        self._begun.pop(connection, None)
        self._unregister(connection)

    def _end(self, connection: Any, *, late: bool) -> None:
        self._forget(connection)
        self._refuse(connection, late)

    def _drop_input(self, connection: Any) -> None:
        until, dropped = self._lingering.get(connection, (0.0, 0))
        try:
            piece = connection.sock.recv_now(4096)
        except OSError:
            piece = b""
        dropped += len(piece or b"")
        if piece == b"" or dropped > MAX_LINGER:
            self._end_lingering(connection)
        else:
            self._lingering[connection] = (until, dropped)

    def _end_lingering(self, connection: Any) -> None:
        if self._lingering.pop(connection, None) is not None:
            self._unregister(connection)
            connection.sock.close()

    def _unregister(self, connection: Any) -> None:
        with suppress(KeyError, ValueError, OSError):
            self._poller.unregister(connection.sock)


def _is_too_large(head: bytearray) -> bool:
    return len(head) > MAX_HEAD or len(head) - head.rfind(b"\n") > MAX_LINE
