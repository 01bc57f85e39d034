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


class PooledConnection:
    """One connection of a pool, and when it was opened."""

    __slots__ = ("_pool", "connection", "in_use", "opened")

    def __init__(self, pool: Pool, connection: connection) -> None:
        self._pool = pool
        self.connection = connection
        self.opened = monotonic()
        self.in_use = True

    def __del__(self) -> None:
        """A thread that ended with it, or a process that was forked, leaves its place."""
        if self.in_use:
            self._pool.slots.put(None)

    @property
    def usable(self) -> bool:
        """Whether it is open, as far as anybody knows."""
        return not self.connection.closed

    @property
    def idle(self) -> bool:
        """Whether it is open and in no transaction, so that the next one may have it."""
        return self.usable and (self.connection.get_transaction_status() == TRANSACTION_STATUS_IDLE)

    def release(self) -> None:
        """Let others have it, or its place alone if it is closed or in a transaction."""
        self._pool.release(self)

    def discard(self) -> None:
        """Close it, and have no elder of it lent again. Was it an elder itself, that is so."""
        if self.opened > self._pool.valid_since:
            self._pool.valid_since = monotonic()
        self.connection.close()


class Pool:
    """At most `size` connections made by `connect`; whoever finds none free waits for `wait`
    seconds. Lent is the one that was used last, so that what is not needed lies still."""

    def __init__(self, connect: Callable[[], connection], size: int, wait: float) -> None:
        #: When a connection broke last: those that were opened before are not lent.
        self.valid_since = 0.0
        #: One item for each connection that may be lent. Of this queue alone Python promises
        #: that `put` may come amidst anything, as from `Link.__del__`.
        self.slots: SimpleQueue[None] = SimpleQueue()
        for _ in range(size):
            self.slots.put(None)
        self._connect = connect
        self._wait = wait
        self._idle: deque[PooledConnection] = deque()
        self._closed = False

    def acquire(self) -> PooledConnection:
        """A connection for the caller alone, until it gives it back.

        Raises:
            DatabaseUnavailable: none was free in time. And what `connect` raises.
        """
        try:
            self.slots.get(timeout=self._wait)
        except Empty:
            raise DatabaseUnavailable("no connection to Postgres is free") from None
        try:
            return self._trusted() or PooledConnection(self, self._connect())
        except BaseException:
            self.slots.put(None)
            raise

    def _trusted(self) -> PooledConnection | None:
        """One that lies idle and was opened after the last break."""
        while True:
            try:
                link = self._idle.pop()
            except IndexError:
                return None
            if link.usable and link.opened > self.valid_since:
                link.in_use = True
                return link
            link.connection.close()

    def release(self, link: PooledConnection) -> None:
        """Lend it to others from now on, if it is idle and the pool is open; else close it."""
        link.in_use = False
        if link.idle and not self._closed:
            self._idle.append(link)
        else:
            link.connection.close()
        self.slots.put(None)

    def close(self) -> None:
        """Close what is idle now, and what is lent once it comes back."""
        self._closed = True
        while self._idle:
            self._idle.pop().connection.close()
