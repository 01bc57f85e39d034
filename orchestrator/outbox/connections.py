"""The kinds of connections that a start can be submitted on, each with the few calls that differ.

A kind is recognised by its methods. So no driver is imported, and wrappers work that pass the
methods on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from orchestrator.log import get_logger
from orchestrator.outbox.statements import NOTIFY

log = get_logger(__name__)


class Adapter(Protocol):
    """A connection of one kind."""

    #: ``postgresql``, ``mysql`` (MariaDB too) or ``sqlite``.
    dialect: str

    def execute(self, statement: str, values: Sequence[Any], *, read: bool) -> Any:
        """Run a statement in the open transaction. `statement` has `{}` for each value. `read`:
        return the first column of the first row."""

    def change(self, statement: str, values: Sequence[Any]) -> int:
        """Run a statement as `execute` does, and return how many rows it changed."""

    def rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """Run a statement as `execute` does, and return its rows."""

    def commit(self) -> None:
        """Commit the open transaction, if there is one."""

    def hint_after_commit(self) -> None:
        """Wake the beats once the open transaction has committed, if the connection can call back
        then."""

    def hint(self) -> None:
        """Wake the beats. Raises `RuntimeError` while a transaction is open."""


def adapter_of(connection: Any) -> Adapter:
    """Return the adapter of a connection. Raises `TypeError` for an unknown kind."""
    if hasattr(connection, "vendor") and hasattr(connection, "on_commit"):
        return _Django(connection)
    if hasattr(connection, "exec_driver_sql"):
        return _SqlAlchemy(connection)
    if hasattr(connection, "get_bind") and hasattr(connection, "connection"):
        return _SqlAlchemy(connection.connection())
    if hasattr(connection, "cursor") and hasattr(connection, "commit"):
        return _Dbapi(connection)
    raise TypeError(
        f"start_in can't use a {type(connection).__module__}.{type(connection).__qualname__}: pass"
        " a connection of psycopg2, psycopg, sqlite3 or a MySQL driver, a connection or session of"
        " SQLAlchemy, or Django's connection"
    )


_DIALECTS = {"psycopg2": "postgresql", "psycopg": "postgresql", "sqlite3": "sqlite"}


def _dialect(connection: Any) -> str:
    """Return the dialect of a connection, also of a subclass, and of a proxy that passes on its
    class. Every other driver that has cursors is one of MySQL."""
    for kind in connection.__class__.__mro__:
        if dialect := _DIALECTS.get(kind.__module__.partition(".")[0]):
            return dialect
    return "mysql"


def _first(cursor: Any, read: bool) -> Any:
    return cursor.fetchone()[0] if read else None


class _Dbapi:
    """A connection of psycopg2, psycopg 3, sqlite3 or a driver of MySQL."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.dialect = _dialect(connection)
        self._mark = "?" if self.dialect == "sqlite" else "%s"

    def execute(self, statement: str, values: Sequence[Any], *, read: bool) -> Any:
        cursor = self._connection.cursor()
        try:
            cursor.execute(statement.format(*[self._mark] * len(values)), tuple(values))
            return _first(cursor, read)
        finally:
            cursor.close()

    def change(self, statement: str, values: Sequence[Any]) -> int:
        cursor = self._connection.cursor()
        try:
            cursor.execute(statement.format(*[self._mark] * len(values)), tuple(values))
            return int(cursor.rowcount)
        finally:
            cursor.close()

    def rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        cursor = self._connection.cursor()
        try:
            cursor.execute(statement.format(*[self._mark] * len(values)), tuple(values))
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def commit(self) -> None:
        self._connection.commit()

    def hint_after_commit(self) -> None:
        """Nothing: these drivers have no hooks. The caller calls `hint`, or passes `notify`."""

    def hint(self) -> None:
        if self._connection.info.transaction_status != 0:  # libpq's PQTRANS_IDLE
            raise RuntimeError("hint must be called after the commit: a transaction is open")
        self.execute(NOTIFY, (), read=False)
        if not self._connection.autocommit:
            self._connection.commit()


class _Django:
    """Django's connection to a database, or the proxy `django.db.connection`."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.dialect = connection.vendor

    def execute(self, statement: str, values: Sequence[Any], *, read: bool) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(statement.format(*["%s"] * len(values)), list(values))
            return _first(cursor, read)

    def change(self, statement: str, values: Sequence[Any]) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(statement.format(*["%s"] * len(values)), list(values))
            return int(cursor.rowcount)

    def rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement.format(*["%s"] * len(values)), list(values))
            return list(cursor.fetchall())

    def commit(self) -> None:
        """Nothing: outside `atomic` blocks Django commits each statement."""

    def hint_after_commit(self) -> None:
        # Pass `robust=True`, so that Django runs the callbacks after this one even if the hint
        # fails.
        self._connection.on_commit(self.hint, robust=True)

    def hint(self) -> None:
        if self._connection.in_atomic_block:
            raise RuntimeError("hint must be called after the commit: a transaction is open")
        self.execute(NOTIFY, (), read=False)


class _SqlAlchemy:
    """A connection of SQLAlchemy."""

    #: The member of the connection's `info` that asks for a hint.
    KEY = "orchestrator_hint"

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        name = connection.dialect.name
        self.dialect = "mysql" if name == "mariadb" else name

    def execute(self, statement: str, values: Sequence[Any], *, read: bool) -> Any:
        result = self._run(statement, values)
        return result.scalar() if read else None

    def change(self, statement: str, values: Sequence[Any]) -> int:
        return int(self._run(statement, values).rowcount)

    def rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        return list(self._run(statement, values))

    def commit(self) -> None:
        self._connection.commit()

    def _run(self, statement: str, values: Sequence[Any]) -> Any:
        from sqlalchemy import text

        names = [f"v{n}" for n in range(len(values))]
        bound = text(statement.format(*[f":{name}" for name in names]))
        return self._connection.execute(bound, dict(zip(names, values, strict=True)))

    def hint_after_commit(self) -> None:
        """SQLAlchemy calls back before a commit, never after it. So the hint is sent when the
        connection returns to its pool, which sessions do right after their commit."""
        from sqlalchemy import event

        pool = self._connection.engine.pool
        if not event.contains(pool, "checkin", _send_at_checkin):
            event.listen(pool, "checkin", _send_at_checkin)
        self._connection.info[self.KEY] = True

    def hint(self) -> None:
        if self._connection.in_transaction():
            raise RuntimeError("hint must be called after the commit: a transaction is open")
        self.execute(NOTIFY, (), read=False)
        self._connection.commit()


def _send_at_checkin(connection: Any, record: Any) -> None:
    """Send the hint that was asked for. Raise nothing: the caller's commit has succeeded, and a
    beat starts the instance without the hint. A connection that fails is not used again."""
    if connection is None or not record.info.pop(_SqlAlchemy.KEY, False):
        return
    try:
        cursor = connection.cursor()
        try:
            cursor.execute(NOTIFY)
        finally:
            cursor.close()
        connection.commit()
    except Exception as error:  # noqa: BLE001  (of any driver)
        log.info("No hint was sent after a commit", action="hint_failed", error=str(error))
        record.invalidate(error)
