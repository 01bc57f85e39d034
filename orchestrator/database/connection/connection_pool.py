"""A bounded pool of connections for one process.

SQLAlchemy's pool is not used: it loads its whole dialect, 17 MB in each process, and adds work to
each statement.
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
    """One connection of a pool, and the time at which it was opened."""

    __slots__ = ("_pool", "connection", "in_use", "opened")

    def __init__(self, pool: Pool, connection: connection) -> None:
        self._pool = pool
        self.connection = connection
        self.opened = monotonic()
        self.in_use = True

    def __del__(self) -> None:
        """Free the slot where a thread ended, or a process was forked, without a release."""
        if self.in_use:
            self._pool.slots.put(None)

    @property
    def usable(self) -> bool:
        """Whether psycopg2 counts the connection as open."""
        return not self.connection.closed

    @property
    def idle(self) -> bool:
        """Whether the connection is open and in no transaction, so that it can be acquired
        again."""
        return self.usable and (self.connection.get_transaction_status() == TRANSACTION_STATUS_IDLE)

    def release(self) -> None:
        """Return the connection to the pool. A closed one, or one in a transaction, frees only its
        slot."""
        self._pool.release(self)

    def discard(self) -> None:
        """Close this connection. Unless it is older than the last failure, stop lending every
        connection opened before now."""
        if self.opened > self._pool.valid_since:
            self._pool.valid_since = monotonic()
        self.connection.close()


class Pool:
    """A pool of at most `size` connections, made by `connect`.

    `acquire` waits up to `wait` seconds for a free one. It returns the most recently used, so that
    surplus connections stay idle.
    """

    def __init__(self, connect: Callable[[], connection], size: int, wait: float) -> None:
        #: When a connection broke last: connections that were opened before are closed, not
        #: acquired.
        self.valid_since = 0.0
        #: One item for each connection that may be acquired. Only for this queue Python promises
        #: that `put` may be called at any point of another call, as `PooledConnection.__del__`
        #: does.
        self.slots: SimpleQueue[None] = SimpleQueue()
        for _ in range(size):
            self.slots.put(None)
        self._connect = connect
        self._wait = wait
        self._idle: deque[PooledConnection] = deque()
        self._closed = False

    def acquire(self) -> PooledConnection:
        """Return a connection for the caller alone, until `release`.

        Raises:
            DatabaseUnavailable: none was free in time. Errors of `connect` pass through.
        """
        try:
            self.slots.get(timeout=self._wait)
        except Empty:
            raise DatabaseUnavailable("no connection to Postgres is free") from None
        try:
            return self._valid_idle() or PooledConnection(self, self._connect())
        except BaseException:
            self.slots.put(None)
            raise

    def _valid_idle(self) -> PooledConnection | None:
        """Return an idle connection that was opened after the last failure, if there is one."""
        while True:
            try:
                pooled = self._idle.pop()
            except IndexError:
                return None
            if pooled.usable and pooled.opened > self.valid_since:
                pooled.in_use = True
                return pooled
            pooled.connection.close()

    def release(self, pooled: PooledConnection) -> None:
        """Make a connection available again if it is idle and the pool is open; otherwise close
        it."""
        pooled.in_use = False
        if pooled.idle and not self._closed:
            self._idle.append(pooled)
        else:
            pooled.connection.close()
        self.slots.put(None)

    def close(self) -> None:
        """Close the idle connections now, and each connection in use when it is released."""
        self._closed = True
        while self._idle:
            self._idle.pop().connection.close()
