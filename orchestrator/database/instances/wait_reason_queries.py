"""Why an instance waits: the state of each open step, and the workers that could continue it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.core.engine_version import ENGINE
from orchestrator.database.connection.json_parameters import error_text, member
from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import OPEN
from orchestrator.database.workers.liveness_queries import LIVE


@dataclass(frozen=True, slots=True)
class Inbox:
    """Stimuli that are not applied yet: how many, how many of them were deferred because they can't
    be applied, since when, how many live workers serve the control queue, and how many there are of
    each kind."""

    waiting: int
    deferred: int
    since: datetime | None
    control: int
    kinds: Mapping[str, int]


def inbox(session: Session, instance: str, lease: float, control_queue: str) -> Inbox:
    """Return the state of an instance's inbox."""
    row = session.one(
        f"""
        select coalesce(sum(count), 0)::bigint, coalesce(sum(deferred), 0)::bigint, min(since),
          (select count(*) from orchestrator.workers where {LIVE} and %(queue)s = any(queues)),
          coalesce(json_object_agg(kind, count) filter (where kind is not null), '{{}}')
        from (
          select kind, count(*) as count, count(*) filter (where deferred) as deferred,
            min(created_at) as since
          from orchestrator.stimuli
          where instance_id = %(i)s
          group by kind) each
        """,
        {"i": instance, "lease": lease, "queue": control_queue},
    )
    assert row is not None  # noqa: S101  an aggregate has a row
    return Inbox(*row)


def is_any_worker_alive(session: Session, lease: float) -> bool:
    """Whether any worker is alive, whatever it serves."""
    row = session.one(
        f"select exists (select from orchestrator.workers where {LIVE})", {"lease": lease}
    )
    return bool(row and row[0])


def pending_events(session: Session, instance: str) -> set[int]:
    """Return the steps of an instance for which events wait in its inbox."""
    rows = session.all(
        "select distinct step from orchestrator.stimuli where instance_id = %s and kind = 'event'",
        (instance,),
    )
    return {row[0] for row in rows}


def engine(session: Session, instance: str) -> int:
    """Return the engine version under which an instance was started."""
    row = session.one("select engine from orchestrator.instances where id = %s", (instance,))
    return int(row[0]) if row else ENGINE


def children(session: Session, instance: str, limit: int = 50) -> list[tuple[int, str, str]]:
    """Return the open sub-workflows that the instance awaits: ``(step, id, status)``."""
    return [
        (row[0], row[1], row[2])
        for row in session.all(
            f"""
            select parent_step, id::text, status
            from orchestrator.instances
            where parent_instance = %s and parent_step is not null
              and (status in {OPEN} or compensation = 'running')
            order by parent_step limit %s
            """,
            (instance, limit),
        )
    ]


def repaired_children(session: Session, instance: str, limit: int = 50) -> list[tuple[Any, ...]]:
    """Return the faulted steps whose sub-workflow has completed: ``(step, reference, child)``."""
    return session.all(
        f"""
        select s.id, s.reference, c.id::text
        from orchestrator.steps s
        join orchestrator.instances c on c.id = {member("s.state", "child")}::uuid
        where s.instance_id = %s and s.kind = 'run' and s.status = 'faulted'
          and c.status = 'completed' and c.compensation = 'none'
        order by s.id limit %s
        """,
        (instance, limit),
    )


def last_command(
    session: Session, instance: str, action: str
) -> tuple[str, datetime, str | None] | None:
    """Return the actor, the time and the reason of the last command `action` to the instance."""
    row = session.one(
        """
        select actor, at, reason from orchestrator.audit_log
        where target = %s and action = %s
        order by id desc limit 1
        """,
        (instance, action),
    )
    return (row[0], row[1], row[2]) if row else None


@dataclass(frozen=True, slots=True)
class OpenDeadLetter:
    """An open dead letter."""

    id: str
    step: int
    reference: str | None
    reason: str
    error: str | None
    since: datetime


def dead_letters(session: Session, instance: str, limit: int = 50) -> list[OpenDeadLetter]:
    """Return the open dead letters of an instance, the newest first."""
    rows = session.all(
        f"""
        select d.id::text, d.step, s.reference, d.reason, {error_text("d.error")}, d.created_at
        from orchestrator.dead_letters d
        left join orchestrator.steps s on s.instance_id = d.instance_id and s.id = d.step
        where d.instance_id = %s and d.resolved_at is null
        order by d.created_at desc limit %s
        """,
        (instance, limit),
    )
    return [OpenDeadLetter(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class UnknownOutcome:
    """A faulted step whose work was done, or, if `lost`, may have been done."""

    step: int
    reference: str
    lost: bool
    undone: bool
    error: str | None
    since: datetime | None


def unknown_outcomes(session: Session, instance: str, limit: int = 50) -> list[UnknownOutcome]:
    """Return the steps of an instance whose outcome is unknown, in the order of their creation."""
    rows = session.all(
        f"""
        select s.id, s.reference,
          coalesce(
            (
              select a.state = 'lost' from orchestrator.attempts a
              where a.instance_id = s.instance_id and a.step = s.id
              order by a.number desc limit 1), false),
          exists (
            select from orchestrator.steps u
            where u.instance_id = s.instance_id and u.compensates = s.id
              and u.status = 'completed'),
          {error_text("s.error")}, s.ended_at
        from orchestrator.steps s
        where s.instance_id = %s and s.outcome_unknown
        order by s.id limit %s
        """,
        (instance, limit),
    )
    return [UnknownOutcome(*row) for row in rows]


def compensation_progress(session: Session, instance: str) -> tuple[int, int]:
    """Return how many steps a compensation has undone, and how many it still has to undo."""
    row = session.one(
        """
        select count(*) filter (where compensates is not null and status = 'completed'),
          count(*) filter (where undoable is not null and (status = 'completed' or outcome_unknown))
        from orchestrator.steps
        where instance_id = %s
        """,
        (instance,),
    )
    return (row[0], row[1]) if row else (0, 0)


def last_error(session: Session, instance: str, step: int) -> str | None:
    """Return the detail of the last error in a step, or in a step directly below it."""
    row = session.one(
        f"""
        select {error_text("e.error")}
        from (
          select id as at, error from orchestrator.steps
          where instance_id = %(i)s and parent = %(s)s and error is not null
          union all
          select number, error from orchestrator.attempts
          where instance_id = %(i)s and step = %(s)s and error is not null) e
        order by e.at desc limit 1
        """,
        {"i": instance, "s": step},
    )
    return row[0] if row else None


#: Seconds after which a due timer counts as overdue: beats check more often, so no beat runs.
OVERDUE = 10.0


def overdue(session: Session, instance: str) -> set[tuple[int, str]]:
    """Return the timers of an instance that should have fired: ``(step, kind)``; step 0 is the
    instance."""
    rows = session.all(
        """
        select step, kind from orchestrator.timers
        where instance_id = %s and due_at < clock_timestamp() - %s * interval '1 s'
        """,
        (instance, OVERDUE),
    )
    return {(row[0], row[1]) for row in rows}


def unmatched(session: Session, namespace: str) -> bool:
    """Whether events of a namespace wait to be matched with listeners."""
    row = session.one(
        """
        select exists (
          select from orchestrator.events
          where namespace = %s and matched_at is null)
        """,
        (namespace,),
    )
    return bool(row and row[0])
