"""Connections to Postgres: one pool per process, autocommit unless a transaction is opened.

psycopg2 sends each SQL text in one round trip. A forked process opens its own pool. SQLAlchemy
describes the tables for migrations only; workers, beats and APIs do not load it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
from psycopg2 import extras

from orchestrator import json_codec, native_threads
from orchestrator.database.connection.connection_pool import Pool, PooledConnection
from orchestrator.database.connection.driver_errors import Verdict, verdict_of
from orchestrator.database.connection.postgres_url import for_libpq
from orchestrator.errors import DatabaseUnavailable, OrchestratorError

#: A half-open connection is noticed after about 10 seconds, not after the kernel's two hours.
KEEPALIVE: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

#: Opens a transaction with bounds on lock waits and on idle time: an idle holder would block all
#: others. Set locally, because PgBouncer in transaction mode keeps no session settings.
LOCKING = (
    "begin; set local lock_timeout = '2s'; set local idle_in_transaction_session_timeout = '5s'; "
)

#: Opens a transaction without these bounds: for tests, and for people who work by hand.
UNBOUNDED = "begin; "


class LockTimeout(OrchestratorError):
    """A row lock was not granted in time."""


class Superseded(OrchestratorError):
    """The instance has changed since its slice was read. Nothing was changed."""


class Fenced(OrchestratorError):
    """The attempt is no longer claimed by the caller. Nothing was changed."""


def translated(error: psycopg2.Error) -> Exception:
    """Return our error for an error of the driver. A wrong statement keeps the driver's own
    error."""
    lines = str(error).strip().splitlines() or ["no message"]
    match verdict_of(error):
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


def _run(pooled: PooledConnection, sql: str, params: Params) -> Rows:
    """Run a statement; every statement passes here. A broken connection also invalidates all older
    ones."""
    try:
        return native_threads.call(_execute, pooled.connection, sql, params)
    except psycopg2.Error as error:
        our_error = translated(error)
        if not pooled.usable or isinstance(our_error, DatabaseUnavailable):
            pooled.discard()
        if our_error is error:
            raise
        raise our_error from error


def _execute(connection: Any, sql: str, params: Params) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(sql, params or None)
        return cursor.fetchall() if cursor.description else []


class Transaction:
    """An open transaction.

    Its opening text is sent with its first statement, and its commit with `commit_with`, so that
    neither costs a round trip.
    """

    def __init__(self, pooled: PooledConnection, opening: str) -> None:
        self._pooled = pooled
        self._opening = opening

    def all(self, sql: str, params: Params = ()) -> Rows:
        """Return every row of the last statement's result; empty where it has none."""
        opening, self._opening = self._opening, ""
        return _run(self._pooled, opening + sql, params)

    def one(self, sql: str, params: Params = ()) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        rows = self.all(sql, params)
        return rows[0] if rows else None

    def commit_with(self, sql: str, params: Params = (), read_after: str = "") -> Rows:
        """Run SQL and commit in the same round trip. Return the rows of `read_after`, which runs
        after the commit."""
        return self.all(f"{sql}; commit; {read_after}", params)

    def end(self, command: str) -> None:
        """Commit or roll back unless that has happened; `command` is the SQL for it."""
        if self._pooled.usable and not self._pooled.idle:
            _run(self._pooled, command, ())


class _ThreadConnection(threading.local):
    """The connection that a thread keeps for its next statement."""

    pooled: PooledConnection | None = None


class Database:
    """A pool of connections to one Postgres, safe to share between threads and across a fork.

    `keep_per_thread`: a thread keeps the connection that it used last, because asking the pool each
    time costs a good part of a statement. Use it only where at most `size` threads run statements.
    `on_connect` is called with each new connection until it succeeds once; its error reaches the
    caller that needed the connection.
    """

    def __init__(
        self,
        url: str,
        *,
        size: int = 5,
        wait: float = 3.0,
        keep_per_thread: bool = False,
        on_connect: Callable[[Any], None] | None = None,
    ) -> None:
        self.url = url
        self._on_connect = on_connect
        self._size = size
        self._wait = wait
        self._keep_per_thread = keep_per_thread
        self._per_thread = _ThreadConnection()
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
        """Open a connection. Raises our error for the driver's."""
        try:
            return native_threads.call(self._open)
        except psycopg2.Error as error:
            our_error = translated(error)
            if our_error is error:
                raise
            raise our_error from error

    def _open(self) -> Any:
        connection = psycopg2.connect(for_libpq(self.url), **KEEPALIVE)
        connection.autocommit = True
        extras.register_uuid(conn_or_curs=connection)  # type: ignore[no-untyped-call]
        extras.register_default_json(connection, loads=json_codec.loads)
        extras.register_default_jsonb(connection, loads=json_codec.loads)
        if self._on_connect is not None:
            try:
                self._on_connect(connection)
            except BaseException:
                connection.close()
                raise
            self._on_connect = None
        return connection

    def all(self, sql: str, params: Params = ()) -> Rows:
        """Run SQL in its own transaction. Return every row of the last statement's result."""
        pooled = self._acquire()
        try:
            return _run(pooled, sql, params)
        finally:
            self._release(pooled)

    def commit_with(self, sql: str, params: Params = (), read_after: str = "") -> Rows:
        """Run SQL in its own transaction, then `read_after` in the same round trip. Return the rows
        of `read_after`."""
        return self.all(f"{sql}; {read_after}", params)

    def one(self, sql: str, params: Params = ()) -> tuple[Any, ...] | None:
        """Run SQL in its own transaction. Return the first row, or None."""
        rows = self.all(sql, params)
        return rows[0] if rows else None

    @contextmanager
    def transaction(self, opening: str = LOCKING) -> Iterator[Transaction]:
        """Open a transaction: committed at the end, rolled back if the block raises.

        `opening` is the SQL that opens it. Raises `LockTimeout` where a lock is not granted in
        time, or where the block was idle for too long.
        """
        pooled = self._acquire()
        transaction = Transaction(pooled, opening)
        try:
            yield transaction
            transaction.end("commit")
        except BaseException:
            # The caller must receive the error of the block, not that of the rollback. A connection
            # on which the rollback fails is not used again, and Postgres rolls back by itself.
            with suppress(psycopg2.Error, OrchestratorError):
                transaction.end("rollback")
            raise
        finally:
            self._release(pooled)

    def _acquire(self) -> PooledConnection:
        """Return the connection that the thread kept, unless it is in use, or one of the pool."""
        pooled, self._per_thread.pooled = self._per_thread.pooled, None
        return pooled if pooled and self._pid == os.getpid() else self.pool.acquire()

    def _release(self, pooled: PooledConnection) -> None:
        if self._keep_per_thread and pooled.idle and self._per_thread.pooled is None:
            self._per_thread.pooled = pooled
        else:
            pooled.release()

    def close(self) -> None:
        """Close every connection."""
        pooled, self._per_thread.pooled = self._per_thread.pooled, None
        if self._pool is not None and self._pid == os.getpid():
            self._pool.close()
            if pooled is not None:
                pooled.release()
        self._pool = None
