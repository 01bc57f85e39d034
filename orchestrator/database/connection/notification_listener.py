"""LISTEN: to sleep until another process commits an announcement, or this one rings."""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence
from typing import Any

import psycopg2

from orchestrator.database.connection.database import KEEPALIVE
from orchestrator.database.connection.postgres_url import for_libpq
from orchestrator.log import get_logger

log = get_logger(__name__)

_KEEPALIVE: dict[str, Any] = dict(KEEPALIVE)
#: How long to stand back when Postgres is away, in s.
OUTAGE_DELAY = 1.0


class NotificationListener:
    """One channel, on a connection of its own; without it (Postgres away) waiting is a sleep.

    One thread waits, and closes; any may ring. `url` must lead to Postgres itself: a pool
    that lends its sessions out by the transaction forgets a LISTEN. Announcements that come
    within `gather` seconds of one another are told at once.
    """

    def __init__(self, url: str, channel: str, gather: float = 0.0) -> None:
        self._url = for_libpq(url)
        self._channel = channel
        self._gather = gather
        self._connection: psycopg2.extensions.connection | None = None
        # Sockets rather than a pipe: a closed one can't be mistaken for a later file.
        self._out, self._in = socket.socketpair()
        self._out.setblocking(False)
        self._in.setblocking(False)

    @property
    def listening(self) -> bool:
        """Whether what is announced now will be heard, as far as is known."""
        return self._connection is not None and not self._connection.closed

    def wait(self, seconds: float) -> list[str]:
        """What was announced: at once when something is, and after `seconds` that nothing was.

        Nothing is also said as soon as it was rung, and when it has only begun to listen: what
        was announced before that was not heard, so look.
        """
        try:
            return self._receive(max(seconds, 0.0))
        except (psycopg2.Error, OSError) as error:
            log.warning(
                "Can't listen", action="listen_failed", channel=self._channel,
                error=str(error).strip(),
            )  # fmt: skip
            self._disconnect()
            if self._out.fileno() >= 0:
                _readable([self._out], min(max(seconds, 0.0), OUTAGE_DELAY))
            return []
        finally:
            self._drain()

    def wake(self) -> None:
        """Wake whoever waits; nobody, once it is closed."""
        try:
            self._in.send(b"!")
        except OSError:
            return  # it has been rung often enough, or is closed

    def close(self) -> None:
        """Stop listening, for good."""
        self._disconnect()
        self._in.close()
        self._out.close()

    def _receive(self, seconds: float) -> list[str]:
        if self._connection is None or self._connection.closed:
            self._connection = self._listening()
            return []
        connection = self._connection
        if connection.fileno() not in _readable([connection, self._out], seconds):
            return []
        pause(min(self._gather, seconds))
        connection.poll()
        told = [note.payload for note in connection.notifies]
        connection.notifies.clear()
        return told

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
            return  # nobody rang, or it is closed


def _readable(files: Sequence[Any], seconds: float) -> set[int]:
    """The descriptors of these files that something can be read from, as soon as there is one.
    (`select.select` knows none above 1023, and an API may have as many streams open.)"""
    poll = select.poll()
    for file in files:
        poll.register(file, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(seconds * 1000)}


def pause(seconds: float) -> None:
    """Wait by the same clock as all our waiting: a span of time, never a point in it."""
    select.select([], [], [], seconds)
