"""Why an instance waits: the state of each open step, and the workers that could continue it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.core.engine_version import ENGINE
from orchestrator.database.connection.json_parameters import error_text
from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import OPEN
from orchestrator.database.workers.liveness_queries import LIVE


@dataclass(frozen=True, slots=True)
class Call:
    """An open call with its newest attempt, and the live workers of that attempt's queue.

    `serving` counts the workers that serve the queue, `knowing` those that also have the task,
    `able` those that can also enforce its time limit, if it has one; `slots` and `free` count all
    and the idle slots of the able ones. `before` counts earlier attempts in the queue (at most
    100). `in_flight`: the worker's last heartbeat named the attempt, or the claim is younger than a
    lease; otherwise the attempt is no longer in flight.
    """

    step: int
    reference: str
    state: str
    withdrawn: bool
    task: str
    queue: str
    created_at: datetime
    published_at: datetime | None
    claimed_at: datetime | None
    worker: str | None
    seen_at: datetime | None
    silent: bool
    in_flight: bool
    silent_at: datetime | None
    serving: int
    knowing: int
    able: int
    slots: int
    free: int
    before: int


_CALLS = f"""
with live as (select * from orchestrator.workers where {LIVE}),
open_attempts as (
  select distinct on (a.step) a.* from orchestrator.attempts a
   where a.instance_id = %(i)s and a.state in ('ready', 'claimed')
   order by a.step, a.number desc limit %(n)s)
select s.id, s.reference, a.state, a.withdrawn, a.task, a.queue,
       a.created_at, a.published_at, a.claimed_at, w.name, w.last_heartbeat_at,
       a.state = 'claimed' and (w.id is null or w.id not in (select id from live)),
       a.id = any(w.in_flight) or a.claimed_at > clock_timestamp() - %(lease)s * interval '1 s',
       w.last_heartbeat_at + %(lease)s * interval '1 s',
       (select count(*) from live k where a.queue = any(k.queues)),
       k.knowing, k.able, k.slots, k.free,
       (select count(*) from (select from orchestrator.attempts o where o.state = 'ready'
         and o.queue = a.queue and o.published_at < a.published_at limit 100) o)
  from open_attempts a
  cross join lateral (select count(*) as knowing, count(*) filter (where can) as able,
    coalesce(sum(concurrency) filter (where can), 0) as slots,
    coalesce(sum(free_slots) filter (where can), 0) as free
    from (select *, a.time_limit is null or pool = 'prefork' as can from live) k
    where a.queue = any(k.queues) and a.task = any(k.tasks)) k
  join orchestrator.steps s on s.instance_id = a.instance_id and s.id = a.step
  left join orchestrator.workers w on w.id = a.worker
 order by s.id
"""


def calls(session: Session, instance: str, lease: float, limit: int = 50) -> list[Call]:
    """Return the open calls of an instance, at most `limit`. `lease` in seconds."""
    rows = session.all(_CALLS, {"i": instance, "lease": lease, "n": limit})
    return [Call(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Home:
    """What starts a worker that has a task, and the tasks of live workers.

    `app` is the argument of ``celery -A``, None for `orchestrator worker`. `certain`: a worker that
    has or had the task reported `app`. `known` are names of tasks.
    """

    certain: bool
    app: str | None
    known: Sequence[str]


def home(session: Session, task: str, lease: float) -> Home:
    """Return the `Home` of a task. If no worker ever had it, `app` is that of the worker started
    last. `lease` in seconds."""
    row = session.one(
        """
        select %(task)s = any(tasks), app from orchestrator.workers
        order by %(task)s = any(tasks) desc, started_at desc limit 1
        """,
        {"task": task},
    )
    known = session.all(
        f"select distinct unnest(tasks) from orchestrator.workers where {LIVE}", {"lease": lease}
    )
    certain, app = row or (False, None)
    return Home(certain, app, [name for (name,) in known])


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
