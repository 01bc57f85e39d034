"""Bulk operations: one command to many instances, or one action on many dead letters, as a durable
row.

A row is processed in batches, each in one transaction with the commands that it puts, so that a
crash repeats nothing and skips nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orchestrator import json_codec
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import ENDED, OPEN, UNSUSPENDED
from orchestrator.database.keyset_pages import Condition, Page, Scope, one_of, page

#: Which instances each command accepts, as SQL. (The same rule for one instance is in
#: ``api/resources/instance_commands.py``; a test compares them.)
ALLOWED: Mapping[str, str] = {
    "suspend": f"status in {UNSUSPENDED}",
    "resume": "status = 'suspended'",
    "cancel": f"status in {OPEN}",
    "terminate": f"(status in {OPEN} or compensation = 'running')",
    "retry": "status in ('faulted', 'cancelled') and compensation = 'none'",
    "compensate": f"status in {ENDED} and compensation <> 'running'",
}

#: The actions on dead letters.
LETTERS = ("dead-letter.retry", "dead-letter.resolve")

#: Matches are counted up to this number.
MOST_COUNTED = 100_000

#: States of an operation; the last three are final.
STATES = ("pending", "running", "completed", "stopped", "failed")

_COLUMNS = """
created_at, id::text, namespaces, action, filter::text, reason, actor, address, state, matches,
reached, error, started_at, ended_at
"""


@dataclass(frozen=True, slots=True)
class OperationRow:
    """An operation. `namespaces` None: all; `filter` is JSON text, as requested."""

    created_at: datetime
    id: str
    namespaces: list[str] | None
    action: str
    filter: str
    reason: str | None
    actor: str
    address: str | None
    state: str
    matches: int
    reached: int
    error: str | None
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class OperationBatch:
    """The rest of an operation: `selection` is its filter, ready for use; `cursor` is the position
    after the last instance that was reached."""

    operation: OperationRow
    selection: Any
    cursor: list[Any] | None


def put(
    transaction: Transaction,
    id: str,
    *,
    namespaces: Sequence[str] | None,
    action: str,
    filter: Any,
    selection: Any,
    reason: str | None,
    actor: str,
    address: str | None,
    matches: int,
) -> None:
    """Add an operation to be processed."""
    transaction.all(
        """
        insert into orchestrator.bulk_operations
          (id, namespaces, action, filter, selection, reason, actor, address, matches)
        values (%(id)s, %(namespaces)s, %(action)s, %(filter)s, %(selection)s, %(reason)s,
          %(actor)s, %(address)s, %(matches)s)
        """,
        {
            "id": id,
            "namespaces": None if namespaces is None else list(namespaces),
            "action": action,
            "filter": json_codec.dumps(filter),
            "selection": json_codec.dumps(selection),
            "reason": reason,
            "actor": actor,
            "address": address,
            "matches": matches,
        },
    )


def count_open(session: Session, scope: Scope) -> int:
    """Return how many operations within the scope have not ended."""
    condition, params = _visible(scope) or ("true", {})
    row = session.one(
        f"""
        select count(*) from orchestrator.bulk_operations
        where state in ('pending', 'running') and {condition}
        """,
        dict(params),
    )
    return int(row[0]) if row else 0


def _visible(scope: Scope) -> Condition:
    """Only operations whose namespaces are all within the scope."""
    if scope.namespaces is None:
        return None
    return ("namespaces <@ %(within)s", {"within": list(scope.namespaces)})


def get(session: Session, id: str, scope: Scope) -> OperationRow | None:
    """Return one operation; None also where it reaches beyond the scope."""
    condition, params = _visible(scope) or ("true", {})
    row = session.one(
        f"select {_COLUMNS} from orchestrator.bulk_operations where id = %(id)s and {condition}",
        {"id": id, **params},
    )
    return OperationRow(*row) if row else None


def listed(
    session: Session,
    scope: Scope,
    *,
    states: Sequence[str] = (),
    limit: int = 50,
    after: Sequence[Any] | None = None,
) -> Page:
    """Return operations, the newest first; rows are those of `OperationRow`."""
    return page(
        session,
        f"select {_COLUMNS} from orchestrator.bulk_operations",
        [
            _visible(scope),
            one_of("state", states),
        ],
        order=("created_at", "id"),
        descending=True,
        limit=limit,
        after=after,
    )


def stop(transaction: Transaction, id: str) -> bool:
    """Stop an operation; False where it has ended."""
    row = transaction.one(
        """
        update orchestrator.bulk_operations set state = 'stopped', ended_at = clock_timestamp()
        where id = %s and state in ('pending', 'running')
        returning 1
        """,
        (id,),
    )
    return row is not None


def lock_next(transaction: Transaction) -> OperationBatch | None:
    """Return the oldest operation that no other beat has locked, locked until the transaction
    ends."""
    row = transaction.one(
        f"""
        select {_COLUMNS}, selection, cursor
        from orchestrator.bulk_operations
        where state in ('pending', 'running')
        order by created_at limit 1 for update skip locked
        """
    )
    return OperationBatch(OperationRow(*row[:-2]), row[-2], row[-1]) if row else None


def record_batch(
    transaction: Transaction, id: str, reached: int, cursor: Sequence[Any] | None
) -> None:
    """Record a batch; `cursor` None: it was the last one."""
    transaction.all(
        """
        update orchestrator.bulk_operations
        set reached = reached + %s, cursor = %s, state = %s,
          started_at = coalesce(started_at, clock_timestamp()),
          ended_at = case when %s then clock_timestamp() end
        where id = %s
        """,
        (
            reached,
            None if cursor is None else json_codec.dumps([_plain(value) for value in cursor]),
            "completed" if cursor is None else "running",
            cursor is None,
            id,
        ),
    )


def fail(session: Session, id: str, error: str) -> None:
    """End an operation as failed."""
    session.all(
        """
        update orchestrator.bulk_operations
        set state = 'failed', error = %s, ended_at = clock_timestamp()
        where id = %s and state in ('pending', 'running')
        """,
        (error, id),
    )


def purge(session: Session, age: timedelta) -> None:
    """Remove operations that ended longer than `age` ago."""
    session.all(
        "delete from orchestrator.bulk_operations where ended_at < clock_timestamp() - %s", (age,)
    )


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def command(
    transaction: Transaction,
    operation: OperationRow,
    instances: Sequence[str],
    namespaces: Sequence[str],
) -> None:
    """Put the operation's command into these instances' inboxes, and write to the audit log."""
    data = {"command": operation.action, "by": operation.actor, "operation": operation.id}
    data |= {"reason": operation.reason} if operation.reason else {}
    transaction.all(
        """
        with targets as (
          select *
          from unnest(%(instances)s::uuid[], %(namespaces)s::text[]) as t(instance, namespace)),
        audited as (
          insert into orchestrator.audit_log
            (namespace, actor, action, target, reason, details, address, operation)
          select t.namespace, %(actor)s, %(audit_action)s, t.instance::text, %(reason)s,
            json_build_object('operation', %(operation)s::text, 'sequence', i.sequence),
            %(address)s, %(operation)s
          from targets t join orchestrator.instances i on i.id = t.instance)
        insert into orchestrator.stimuli (instance_id, kind, data, key)
        select instance, 'command', %(data)s, %(key)s from targets
        on conflict (instance_id, key) where key is not null do nothing
        """,
        {
            "instances": list(instances),
            "namespaces": list(namespaces),
            "actor": operation.actor,
            "audit_action": f"instance.{operation.action}",
            "reason": operation.reason,
            "operation": operation.id,
            "address": operation.address,
            "data": json_codec.dumps(data),
            "key": f"operation:{operation.id}",
        },
    )
