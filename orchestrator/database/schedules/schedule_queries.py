"""Schedules: which are due, which wait for an instance's end, and how they change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import OPEN
from orchestrator.database.events.event_queries import LAST
from orchestrator.database.keyset_pages import Page, Scope, equal, one_of, page

#: The states of a schedule. Stopped: no version of the workflow has it any more.
ACTIVE, PAUSED, STOPPED = "active", "paused", "stopped"


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A row of ``schedules``; `timing` and `policy` are JSON text."""

    id: str
    namespace: str
    workflow: str
    kind: str
    state: str
    workflow_id: str
    version: str
    timing: str
    policy: str
    anchor: datetime
    next_due: datetime | None = None
    next_fire_at: datetime | None = None
    last_instance_id: str | None = None
    waits_for_end: bool = False
    created_at: datetime | None = None
    heard_from: int | None = None


_NAMES = tuple(field.name for field in fields(ScheduleRow))
_COLUMNS = ", ".join(
    f"s.{name}::text" if name in {"id", "workflow_id", "last_instance_id", "timing", "policy"}
    else f"s.{name}"
    for name in _NAMES
)  # fmt: skip
_RUNS = f"(i.status in {OPEN} or i.compensation = 'running')"


def lock_due(transaction: Transaction, limit: int, id: str | None = None) -> list[ScheduleRow]:
    """Lock up to `limit` due schedules, or the one with this id if it is due. Of several beats, one
    gets each schedule."""
    rows = transaction.all(
        f"""
        select {_COLUMNS} from orchestrator.schedules s
        where s.state = 'active' and s.next_fire_at <= (select clock_timestamp())
          and (%(id)s::uuid is null or s.id = %(id)s::uuid)
        order by s.next_fire_at limit %(limit)s for update skip locked
        """,
        {"id": id, "limit": limit},
    )
    return [ScheduleRow(*row) for row in rows]


def lock_continuable(
    transaction: Transaction, limit: int, id: str | None = None
) -> list[ScheduleRow]:
    """Lock up to `limit` schedules, or the one with this id, that wait for an instance which is not
    open any more."""
    rows = transaction.all(
        f"""
        select {_COLUMNS} from orchestrator.schedules s
        where s.waits_for_end and s.state = 'active'
          and (%(id)s::uuid is null or s.id = %(id)s::uuid)
          and not exists (
            select from orchestrator.instances i
            where i.id = s.last_instance_id and {_RUNS})
        order by s.id limit %(limit)s for update of s skip locked
        """,
        {"limit": limit, "id": id},
    )
    return [ScheduleRow(*row) for row in rows]


def lock(transaction: Transaction, id: str) -> ScheduleRow | None:
    """Lock one schedule, and read it."""
    row = transaction.one(
        f"select {_COLUMNS} from orchestrator.schedules s where s.id = %s for update", (id,)
    )
    return ScheduleRow(*row) if row else None


def lock_all(transaction: Transaction, namespace: str, workflow: str) -> list[ScheduleRow]:
    """Lock the schedules of a workflow, and the workflow's name: no two versions are deployed at
    the same time."""
    rows = transaction.all(
        f"""
        select pg_advisory_xact_lock(hashtextextended(%s, 0));
        select {_COLUMNS} from orchestrator.schedules s
        where s.namespace = %s and s.workflow = %s
        order by s.id for update
        """,
        (f"schedules {namespace}/{workflow}", namespace, workflow),
    )
    return [ScheduleRow(*row) for row in rows]


def lock_of(transaction: Transaction, workflow_ids: Sequence[str]) -> list[ScheduleRow]:
    """Lock the schedules of these versions."""
    rows = transaction.all(
        f"""
        select {_COLUMNS} from orchestrator.schedules s
        where s.workflow_id = any(%s::uuid[])
        order by s.id for update
        """,
        (list(workflow_ids),),
    )
    return [ScheduleRow(*row) for row in rows]


def now(session: Session) -> datetime:
    """Return the time by the database's clock."""
    row = session.one("select clock_timestamp()")
    assert row is not None  # noqa: S101  a select without a from has a row
    moment: datetime = row[0]
    return moment


def is_newest(session: Session, workflow_id: str) -> bool:
    """Whether no version of the same workflow is newer."""
    row = session.one(
        """
        select not exists (
          select
          from orchestrator.workflows n, orchestrator.workflows w
          where w.id = %s and n.namespace = w.namespace and n.name = w.name
            and n.version_key > w.version_key)
        """,
        (workflow_id,),
    )
    return bool(row and row[0])


def still_running(transaction: Transaction, instances: Collection[str]) -> set[str]:
    """Return those of the instances that are open or being compensated.

    The caller must have locked their schedules: otherwise another process could start one more.
    """
    if not instances:
        return set()
    rows = transaction.all(
        f"""
        select i.id::text from orchestrator.instances i
        where i.id = any(%(ids)s::uuid[]) and {_RUNS}
        """,
        {"ids": list(instances)},
    )
    return {row[0] for row in rows}


def end_times(session: Session, instances: Collection[str]) -> dict[str, datetime]:
    """Return when the instances ended; those that were removed, or have not ended, are left out."""
    rows = session.all(
        """
        select i.id::text, i.ended_at from orchestrator.instances i
        where i.id = any(%s::uuid[]) and i.ended_at is not null
        """,
        (list(instances),),
    )
    return {row[0]: row[1] for row in rows}


def put(transaction: Transaction, row: ScheduleRow) -> None:
    """Add a schedule."""
    transaction.all(
        f"""
        insert into orchestrator.schedules (
          id, namespace, workflow, kind, state, workflow_id, version, timing, policy, anchor,
          next_due, next_fire_at, last_instance_id, waits_for_end, heard_from)
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, {LAST})
        """,
        tuple(getattr(row, name) for name in _NAMES[:-2]),
    )


def set_mark(transaction: Transaction, id: str) -> None:
    """Set the mark of a schedule that is active again: only later events count."""
    transaction.all(f"update orchestrator.schedules set heard_from = {LAST} where id = %s", (id,))


def save(transaction: Transaction, rows: Sequence[ScheduleRow]) -> None:
    """Store the changes of schedules that the caller has locked, in one statement."""
    if not rows:
        return
    changing = ("id", "state", "workflow_id", "version", "timing", "policy", "anchor",
                "next_due", "next_fire_at", "last_instance_id", "waits_for_end")  # fmt: skip
    transaction.all(
        """
        update orchestrator.schedules s
        set state = n.state, workflow_id = n.workflow_id, version = n.version, timing = n.timing,
          policy = n.policy, anchor = n.anchor, next_due = n.next_due,
          next_fire_at = n.next_fire_at, last_instance_id = n.last_instance_id,
          waits_for_end = n.waits_for_end
        from unnest(
          %s::uuid[], %s::text[], %s::uuid[], %s::text[], %s::json[], %s::json[],
          %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::uuid[], %s::boolean[]) as n(
            id, state, workflow_id, version, timing, policy, anchor, next_due, next_fire_at,
            last_instance_id, waits_for_end)
        where s.id = n.id
        """,
        tuple([getattr(row, name) for row in rows] for name in changing),
    )


def postpone(session: Session, id: str, seconds: float) -> None:
    """Postpone a schedule that cannot fire, so that the others continue."""
    session.all(
        """
        update orchestrator.schedules set next_fire_at = clock_timestamp() + %s * interval '1 s'
        where id = %s and next_fire_at is not null
        """,
        (seconds, id),
    )


def shortest_wait(session: Session) -> float | None:
    """Return the shortest `after`, in seconds, of the schedules that wait for an instance's end (1
    for one that starts at the end); None: none waits."""
    row = session.one(
        """
        select min(coalesce((timing ->> 'after')::float8, 1))
        from orchestrator.schedules
        where waits_for_end and state = 'active'
        """
    )
    return row[0] if row else None


def get(session: Session, id: str, scope: Scope) -> ScheduleRow | None:
    """Return a schedule; None also where its namespace is outside the scope."""
    row = session.one(f"select {_COLUMNS} from orchestrator.schedules s where s.id = %s", (id,))
    schedule = ScheduleRow(*row) if row else None
    return schedule if schedule and scope.has(schedule.namespace) else None


def listed(
    session: Session,
    scope: Scope,
    *,
    namespace: str | None = None,
    workflow: str | None = None,
    states: Sequence[str] = (),
    limit: int = 50,
    after: Sequence[Any] | None = None,
) -> Page:
    """Return schedules by namespace, workflow and kind; rows are ``(namespace, workflow, kind,
    *ScheduleRow)``."""
    return page(
        session,
        f"select s.namespace, s.workflow, s.kind, {_COLUMNS} from orchestrator.schedules s",
        [
            scope.condition("namespace"),
            equal("namespace", namespace or None),
            equal("workflow", workflow or None),
            one_of("state", states),
        ],
        order=("namespace", "workflow", "kind"),
        limit=limit,
        after=after,
    )


def by_event(session: Session, namespace: str) -> list[ScheduleRow]:
    """Return the active event-driven schedules of a namespace."""
    rows = session.all(
        f"""
        select {_COLUMNS} from orchestrator.schedules s
        where s.kind = 'on' and s.state = 'active' and s.namespace = %s
        order by s.id
        """,
        (namespace,),
    )
    return [ScheduleRow(*row) for row in rows]
