"""`start_in`: a start in the caller's own transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orchestrator import json_codec
from orchestrator.ids import new_id
from orchestrator.outbox import statements
from orchestrator.outbox.connections import adapter_of


def start_in(
    connection: Any,
    workflow: str,
    input: Any = None,
    *,
    business_id: str | None = None,
    labels: Mapping[str, str] | None = None,
    start_at: datetime | None = None,
    version: str | None = None,
    notify: bool = False,
    relay: bool | None = None,
) -> str:
    """Submit a start in the transaction that is open on `connection`.

    `connection`: of psycopg2, psycopg 3, sqlite3 or a MySQL driver, a connection or session of
    SQLAlchemy, or Django's. `workflow`: ``"shop/order"``, or ``"order"`` in the namespace of the
    login. `input`: any value that becomes JSON. `start_at`: not before this time. `notify`: wake
    the beats by a NOTIFY in the transaction itself; all commits with one wait for each other.
    `relay`: store it for a relay; None: unless the connection leads to Postgres.

    Return the id of the instance, which exists from the commit on. With a relay: the id of the
    row, which is the instance's `business_id` if none is given.

    Nothing is checked but that the input is JSON: a start that is refused later becomes a dead
    letter. After the commit Django and SQLAlchemy wake the beats; after one by a driver's own
    connection call `hint`, or the start waits up to a second.

    Raises:
        NotJson: the input cannot be written as JSON.
        TypeError: this kind of connection is not known; `ValueError`: a time without a zone.
        The driver's error: the login may not submit starts, or a bound is exceeded. As after any
            error of Postgres, the transaction can only be rolled back.
    """
    request = json_codec.dumps(request_of(workflow, input, business_id, labels, start_at, version))
    adapter = adapter_of(connection)
    if relay if relay is not None else adapter.dialect != "postgresql":
        id = new_id()
        adapter.execute(statements.INSERT, (id, request), read=False)
        return id
    submitted: str = adapter.execute(statements.SUBMIT, (request,), read=True)
    if notify:
        adapter.execute(statements.NOTIFY, (), read=False)
    else:
        adapter.hint_after_commit()
    return submitted


def hint(connection: Any) -> None:
    """Wake the beats, after the commit of a start that a driver's own connection submitted.

    Optional: without it the start waits up to a second. Raises `RuntimeError` while a transaction
    is open on the connection.
    """
    adapter_of(connection).hint()


async def start_in_async(connection: Any, workflow: str, input: Any = None, **more: Any) -> str:
    """Submit a start as `start_in` does, on a connection of asyncpg, psycopg's `AsyncConnection`,
    or an `AsyncConnection` or `AsyncSession` of SQLAlchemy. `more`: the options of `start_in`,
    without `relay` for asyncpg and psycopg."""
    if hasattr(connection, "run_sync"):  # SQLAlchemy
        submitted: str = await connection.run_sync(start_in, workflow, input, **more)
        return submitted
    notify = more.pop("notify", False)
    request = json_codec.dumps(request_of(workflow, input, **more))
    submitted = await _fetch(connection, statements.SUBMIT, request)
    if notify:
        await _fetch(connection, statements.NOTIFY)
    return submitted


async def hint_async(connection: Any) -> None:
    """Wake the beats as `hint` does, on an asynchronous connection."""
    if hasattr(connection, "is_in_transaction"):  # asyncpg
        if connection.is_in_transaction():
            raise RuntimeError("hint must be called after the commit: a transaction is open")
        await _fetch(connection, statements.NOTIFY)
        return
    if connection.info.transaction_status != 0:
        raise RuntimeError("hint must be called after the commit: a transaction is open")
    await _fetch(connection, statements.NOTIFY)
    if not connection.autocommit:
        await connection.commit()


async def _fetch(connection: Any, statement: str, *values: Any) -> Any:
    """Run a statement on a connection of asyncpg or psycopg."""
    if hasattr(connection, "fetchval"):
        marks = [f"${n}::text" for n in range(1, len(values) + 1)]
        return await connection.fetchval(statement.format(*marks), *values)
    cursor = await connection.execute(statement.format(*["%s"] * len(values)), values)
    return (await cursor.fetchone())[0]


def request_of(
    workflow: str,
    input: Any = None,
    business_id: str | None = None,
    labels: Mapping[str, str] | None = None,
    start_at: datetime | None = None,
    version: str | None = None,
) -> dict[str, Any]:
    """Return the body of `POST /v1/instances`; the namespace is left out where `workflow` has none.

    Raises `NotJson`, and `ValueError` for a time without a zone.
    """
    namespace, _, name = workflow.rpartition("/")
    named = {"namespace": namespace, "name": name, "version": version}
    if start_at is not None and start_at.tzinfo is None:
        raise ValueError("start_at has no zone")
    members = {
        "workflow": {member: value for member, value in named.items() if value},
        "input": json_codec.to_json(input),
        "business_id": business_id,
        "labels": dict(labels) if labels else None,
        "start_at": start_at.isoformat() if start_at else None,
    }
    return {member: value for member, value in members.items() if value is not None}
