"""LISTEN: sleep until another process commits a notification, or until `wake` is called."""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence
from typing import Any

import psycopg2

from orchestrator.database.connection.database import KEEPALIVE
from orchestrator.database.connection.postgres_url import for_libpq
from orchestrator.outage_log import OutageLog

_KEEPALIVE: dict[str, Any] = dict(KEEPALIVE)
#: Seconds to wait before another try while Postgres is unavailable.
OUTAGE_DELAY = 1.0


class NotificationListener:
    """Receives the notifications of one channel on a connection of its own.

    Without a connection (Postgres unavailable) waiting is a sleep. One thread waits and closes; any
    thread may call `wake`. `url` must lead to Postgres itself: a pooler that shares sessions
    between transactions loses the LISTEN. Notifications that come within `gather` seconds of each
    other are returned together.
    """

    def __init__(self, url: str, channel: str, gather: float = 0.0) -> None:
        self._url = for_libpq(url)
        self._channel = channel
        self._gather = gather
        self._outages = OutageLog(f"Postgres, for notifications of {channel},")
        self._connection: psycopg2.extensions.connection | None = None
        # `wake` writes into a pair of sockets, not into a pipe. After a pipe is closed, its number
        # can belong to a file that is opened later, and a late `wake` would write into that file.
        self._out, self._in = socket.socketpair()
        self._out.setblocking(False)
        self._in.setblocking(False)

    @property
    def listening(self) -> bool:
        """Whether the next notification will be received, as far as is known."""
        return self._connection is not None and not self._connection.closed

    def wait(self, seconds: float) -> list[str]:
        """Return the payloads of the notifications: at once when there are some, otherwise after
        `seconds`.

        The list is also empty after `wake`, and right after listening has begun: earlier
        notifications were missed, so the caller must check for work.
        """
        try:
            return self._receive(max(seconds, 0.0))
        except (psycopg2.Error, OSError) as error:
            self._outages.failed(str(error).strip())
            self._disconnect()
            if self._out.fileno() >= 0:
                _readable([self._out], min(max(seconds, 0.0), OUTAGE_DELAY))
            return []
        finally:
            self._drain()

    def wake(self) -> None:
        """Wake the waiting thread; does nothing after `close`."""
        try:
            self._in.send(b"!")
        except OSError:
            return  # it has been rung often enough, or is closed

    def close(self) -> None:
        """Stop listening for good."""
        self._disconnect()
        self._in.close()
        self._out.close()

    def _receive(self, seconds: float) -> list[str]:
        if self._connection is None or self._connection.closed:
            self._connection = self._listening()
            self._outages.answered()
            return []
        connection = self._connection
        if connection.fileno() not in _readable([connection, self._out], seconds):
            return []
        pause(min(self._gather, seconds))
        connection.poll()
        payloads = [notification.payload for notification in connection.notifies]
        connection.notifies.clear()
        return payloads

    def _listening(self) -> psycopg2.extensions.connection:
        connection: psycopg2.extensions.connection = psycopg2.connect(self._url, **_KEEPALIVE)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"listen {self._channel}")
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _drain(self) -> None:
        try:
            self._out.recv(4096)
        except OSError:
            return  # `wake` was not called, or it is closed


def _readable(files: Sequence[Any], seconds: float) -> set[int]:
    """Return the descriptors of the files that can be read, as soon as there is one.

    (`select.select` accepts none above 1023, and an API may have as many streams open.)
    """
    poll = select.poll()
    for file in files:
        poll.register(file, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(seconds * 1000)}


def pause(seconds: float) -> None:
    """Wait for a span of time, by the same clock as every wait of the product."""
    select.select([], [], [], seconds)
