"""Sleeps until something is due, or until a transition says that it armed an earlier timer."""

from __future__ import annotations

import heapq
import select
from typing import Any

import psycopg2

from orchestrator import clock
from orchestrator.database.announcing import AGAIN
from orchestrator.database.connection import KEEPALIVE
from orchestrator.database.timers import CHANNEL
from orchestrator.database.url import for_libpq
from orchestrator.log import get_logger

log = get_logger(__name__)

#: Announcements that come within this time of one another wake once, in s.
GATHER = 0.005

_KEEPALIVE: dict[str, Any] = dict(KEEPALIVE)


class Wake:
    """A LISTEN on its own connection; without one (Postgres away) it is a plain sleep."""

    def __init__(self, url: str) -> None:
        self._url = for_libpq(url)
        self._connection: psycopg2.extensions.connection | None = None
        #: A heap of the moments, by our monotonic clock, at which a look was promised.
        self._promised: list[float] = []

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or earlier: when a timer is announced, soon after that, and
        when it was said to be due (see `database.announcing`)."""
        now = clock.monotonic()
        while self._promised and self._promised[0] <= now:
            heapq.heappop(self._promised)
        if self._promised:
            seconds = min(seconds, self._promised[0] - now)
        try:
            if self._connection is None or self._connection.closed:
                self._listen()
                return  # what was announced before that was not heard: look again
            connection = self._connection
            if select.select([connection], [], [], max(seconds, 0.0))[0]:
                _pause(min(GATHER, seconds))
                connection.poll()
                self._promise(*(note.payload for note in connection.notifies))
                connection.notifies.clear()
        except (psycopg2.Error, OSError) as error:
            log.warning("Can't listen for timers", action="listen_failed", error=str(error).strip())
            self.close()
            _pause(min(max(seconds, 0.0), 1.0))

    def _promise(self, *told: str) -> None:
        now = clock.monotonic()
        dues = [now + float(seconds) for seconds in told if seconds]
        for moment in [now + AGAIN, *dues] if told else ():
            heapq.heappush(self._promised, moment)

    def _listen(self) -> None:
        connection = psycopg2.connect(self._url, **_KEEPALIVE)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"listen {CHANNEL}")
        self._connection = connection

    def close(self) -> None:
        """Stop listening."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _pause(seconds: float) -> None:
    """Wait by the same clock as all our waiting: a span of time, never a point in it."""
    select.select([], [], [], seconds)
