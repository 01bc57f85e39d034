"""A bounded pool of connections, for one process.

Ours, because it is all that the running processes would need SQLAlchemy for: its pool alone
comes with its whole dialect, 17 MB in each process, and asks more of each statement.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from orchestrator.clock import monotonic
from orchestrator.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from psycopg2.extensions import connection


class Link:
    """One connection of a pool, and when it was opened."""

    __slots__ = ("_pool", "connection", "lent", "opened")

    def __init__(self, pool: Pool, connection: connection) -> None:
        self._pool = pool
        self.connection = connection
        self.opened = monotonic()
        self.lent = True

    def __del__(self) -> None:
        """A thread that ended with it, or a process that was forked, leaves its place."""
        if self.lent:
            self._pool.places.put(None)

    @property
    def usable(self) -> bool:
        """Whether it is open, as far as anybody knows."""
        return not self.connection.closed

    @property
    def idle(self) -> bool:
        """Whether it is open and in no transaction, so that the next one may have it."""
        return self.usable and (self.connection.get_transaction_status() == TRANSACTION_STATUS_IDLE)

    def give_back(self) -> None:
        """Let others have it, or its place alone if it is closed or in a transaction."""
        self._pool.take_back(self)

    def break_off(self) -> None:
        """Close it, and have no elder of it lent again. Was it an elder itself, that is so."""
        if self.opened > self._pool.trusted_from:
            self._pool.trusted_from = monotonic()
        self.connection.close()


class Pool:
    """At most `size` connections made by `connect`; whoever finds none free waits for `wait`
    seconds. Lent is the one that was used last, so that what is not needed lies still."""

    def __init__(self, connect: Callable[[], connection], size: int, wait: float) -> None:
        #: When a connection broke last: those that were opened before are not lent.
        self.trusted_from = 0.0
        #: One item for each connection that may be lent. Of this queue alone Python promises
        #: that `put` may come amidst anything, as from `Link.__del__`.
        self.places: SimpleQueue[None] = SimpleQueue()
        for _ in range(size):
            self.places.put(None)
        self._connect = connect
        self._wait = wait
        self._idle: deque[Link] = deque()
        self._closed = False

    def lend(self) -> Link:
        """A connection for the caller alone, until it gives it back.

        Raises:
            DatabaseUnavailable: none was free in time. And what `connect` raises.
        """
        try:
            self.places.get(timeout=self._wait)
        except Empty:
            raise DatabaseUnavailable("no connection to Postgres is free") from None
        try:
            return self._trusted() or Link(self, self._connect())
        except BaseException:
            self.places.put(None)
            raise

    def _trusted(self) -> Link | None:
        """One that lies idle and was opened after the last break."""
        while True:
            try:
                link = self._idle.pop()
            except IndexError:
                return None
            if link.usable and link.opened > self.trusted_from:
                link.lent = True
                return link
            link.connection.close()

    def take_back(self, link: Link) -> None:
        """Lend it to others from now on, if it is idle and the pool is open; else close it."""
        link.lent = False
        if link.idle and not self._closed:
            self._idle.append(link)
        else:
            link.connection.close()
        self.places.put(None)

    def close(self) -> None:
        """Close what is idle now, and what is lent once it comes back."""
        self._closed = True
        while self._idle:
            self._idle.pop().connection.close()
