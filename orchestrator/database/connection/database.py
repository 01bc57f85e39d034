"""Connections to Postgres: one pool a process, autocommit unless a transaction is asked for.

Whole statements are sent by psycopg2, one round trip each. A process that was forked opens its
own pool. SQLAlchemy describes the tables, for migrations; processes that run don't load it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
from psycopg2 import extras

from orchestrator import json_codec
from orchestrator.database.connection.connection_pool import Pool, PooledConnection
from orchestrator.database.connection.driver_errors import Verdict, judge
from orchestrator.database.connection.postgres_url import for_libpq
from orchestrator.errors import DatabaseUnavailable, OrchestratorError

#: A half-open connection is noticed after about 10 s, not after the kernel's two hours.
KEEPALIVE: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

#: Opens a transaction (DESIGN, How an instance moves): nobody waits for its locks, nor keeps
#: others waiting by silence, for long. Set locally, because PgBouncer in transaction mode keeps
#: no session settings.
LOCKING = (
    "begin; set local lock_timeout = '2s'; set local idle_in_transaction_session_timeout = '5s'; "
)

#: Opens one that may wait and be silent as long as it likes: for a person's hands, and tests.
UNBOUNDED = "begin; "


class LockTimeout(OrchestratorError):
    """A row lock could not be had in time."""


class Superseded(OrchestratorError):
    """The instance has moved on since its slice was read; nothing was changed."""


class Fenced(OrchestratorError):
    """The attempt is no longer the caller's; nothing was changed."""


def translated(error: psycopg2.Error) -> Exception:
    """The error of ours that `error` means; a wrong statement stays the driver's own."""
    lines = str(error).strip().splitlines() or ["no message"]
    match judge(error):
        case Verdict.SUPERSEDED:
            return Superseded(lines[0])
        case Verdict.FENCED:
            return Fenced(lines[0])
        case Verdict.BUSY:
            return LockTimeout()
        case Verdict.UNAVAILABLE:
            return DatabaseUnavailable(lines[0])
        case Verdict.WRONG:
            return error


Params = Sequence[Any] | dict[str, Any]
Rows = list[tuple[Any, ...]]


def _run(lent: PooledConnection, sql: str, params: Params) -> Rows:
    """Every statement goes through here. After a broken connection no elder of it is lent."""
    try:
        with lent.connection.cursor() as cursor:
            cursor.execute(sql, params or None)
            return cursor.fetchall() if cursor.description else []
    except psycopg2.Error as error:
        meant = translated(error)
        if not lent.usable or isinstance(meant, DatabaseUnavailable):
            lent.discard()
        if meant is error:
            raise
        raise meant from error


class Transaction:
    """An open transaction: what opens it travels with its first statement, and its commit
    with the one that is said to be the last, so that neither costs a round trip."""

    def __init__(self, lent: PooledConnection, first: str) -> None:
        self._lent = lent
        self._first = first

    def all(self, sql: str, params: Params = ()) -> Rows:
        """Every row of the last statement's result; empty where it has none."""
        opening, self._first = self._first, ""
        return _run(self._lent, opening + sql, params)

    def one(self, sql: str, params: Params = ()) -> tuple[Any, ...] | None:
        """The first row, or None."""
        rows = self.all(sql, params)
        return rows[0] if rows else None

    def commit_with(self, sql: str, params: Params = (), then: str = "") -> Rows:
        """Run SQL and commit with it; the rows of what is read `then`, once that is done."""
        return self.all(f"{sql}; commit; {then}", params)

    def end(self, how: str) -> None:
        """Commit or roll back what is still open."""
        if self._lent.usable and not self._lent.idle:
            _run(self._lent, how, ())


class _ThreadConnection(threading.local):
    """The connection that a thread keeps for its next statement."""

    link: PooledConnection | None = None


class Database:
    """A pool of connections to one Postgres, safe to share between threads and over a fork.

    `keep`: a thread keeps the connection that it used last, for asking the pool each time
    costs as much as a good part of a statement. Only where no more threads than `size` ask.
    `greet` is called with each new connection until it has not raised; what it raises, whoever
    asked for the connection gets.
    """

    def __init__(
        self,
        url: str,
        *,
        size: int = 5,
        wait: float = 3.0,
        keep: bool = False,
        greet: Callable[[Any], None] | None = None,
    ) -> None:
        self.url = url
        self._greet = greet
        self._size = size
        self._wait = wait
        self._keep = keep
        self._kept = _ThreadConnection()
        self._pid = 0
        self._pool: Pool | None = None

    @property
    def pool(self) -> Pool:
        """The connections of this process."""
        if self._pool is None or self._pid != os.getpid():  # the parent's sockets are its own
            self._pool = Pool(self._connect, self._size, self._wait)
            self._pid = os.getpid()
        return self._pool

    def _connect(self) -> Any:
        """A new connection. Raises what the driver's error means."""
        try:
            return self._made()
        except psycopg2.Error as error:
            meant = translated(error)
            if meant is error:
                raise
            raise meant from error

    def _made(self) -> Any:
        made = psycopg2.connect(for_libpq(self.url), **KEEPALIVE)
        made.autocommit = True
        extras.register_uuid(conn_or_curs=made)  # type: ignore[no-untyped-call]
        extras.register_default_json(made, loads=json_codec.loads)
        extras.register_default_jsonb(made, loads=json_codec.loads)
        if self._greet is not None:
            try:
                self._greet(made)
            except BaseException:
                made.close()
                raise
            self._greet = None
        return made

    def all(self, sql: str, params: Params = ()) -> Rows:
        """Run SQL in its own transaction; every row of the last statement's result."""
        lent = self._acquire()
        try:
            return _run(lent, sql, params)
        finally:
            self._release(lent)

    def commit_with(self, sql: str, params: Params = (), then: str = "") -> Rows:
        """Run SQL in its own transaction, and read with it what is said `then`."""
        return self.all(f"{sql}; {then}", params)

    def one(self, sql: str, params: Params = ()) -> tuple[Any, ...] | None:
        """Run SQL in its own transaction; the first row, or None."""
        rows = self.all(sql, params)
        return rows[0] if rows else None

    @contextmanager
    def transaction(self, first: str = LOCKING) -> Iterator[Transaction]:
        """A transaction: committed at the end, rolled back if the block raises.

        `first` opens it. Raises `LockTimeout` where a lock can't be had in time, or the block was
        silent for too long.
        """
        lent = self._acquire()
        transaction = Transaction(lent, first)
        try:
            yield transaction
            transaction.end("commit")
        except BaseException:
            # What ends the block is what its caller learns of. A connection on which the
            # rollback fails is not lent again, and Postgres rolls back by itself.
            with suppress(psycopg2.Error, OrchestratorError):
                transaction.end("rollback")
            raise
        finally:
            self._release(lent)

    def _acquire(self) -> PooledConnection:
        """The thread's own connection, which nothing else of the thread has meanwhile, or one
        of the pool."""
        kept, self._kept.link = self._kept.link, None
        return kept if kept is not None and self._pid == os.getpid() else self.pool.acquire()

    def _release(self, lent: PooledConnection) -> None:
        if self._keep and lent.idle and self._kept.link is None:
            self._kept.link = lent
        else:
            lent.release()

    def close(self) -> None:
        """Give every connection back to the operating system."""
        kept, self._kept.link = self._kept.link, None
        if self._pool is not None and self._pid == os.getpid():
            self._pool.close()
            if kept is not None:
                kept.release()
        self._pool = None
