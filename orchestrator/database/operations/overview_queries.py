"""Lists across instances: workers, queues, timers, listeners, namespaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.database.connection.session import Session
from orchestrator.database.keyset_pages import Condition, Page, Part, Scope, page, page_by
from orchestrator.database.workers.liveness_queries import LIVE


def workers(
    session: Session,
    lease: float,
    *,
    live: bool | None = None,
    limit: int = 50,
    after: Sequence[Any] | None = None,
) -> Page:
    """Return workers, the latest started first.

    Rows: ``(started_at, id, name, pid, pool, concurrency, queues, tasks, free_slots, number in
    flight, state, last_heartbeat_at, stopped_at, counters)``; `state` is ``live``, ``stopping``,
    ``silent`` or ``stopped``. `lease` in seconds.
    """
    chosen: Condition = None if live is None else (f"({LIVE})" if live else f"not ({LIVE})", {})
    return page(
        session,
        f"""
        select started_at, id::text, name, pid, pool, concurrency, queues, tasks, free_slots,
          cardinality(in_flight),
          case
            when stopped_at is not null then 'stopped'
            when not ({LIVE}) then 'silent'
            when stopping then 'stopping'
            else 'live' end,
          last_heartbeat_at, stopped_at, counters::text
        from orchestrator.workers
        """,
        [("true", {"lease": lease}), chosen],
        order=("started_at", "id"),
        descending=True,
        limit=limit,
        after=after,
    )


def is_served(session: Session, queue: str, lease: float) -> bool:
    """Whether a live worker serves the queue; `lease` in seconds."""
    row = session.one(
        f"""
        select exists (select from orchestrator.workers where {LIVE} and %(queue)s = any(queues))
        """,
        {"queue": queue, "lease": lease},
    )
    return bool(row and row[0])


#: Largest number of waiting attempts, and of running ones, that are counted.
MOST_COUNTED = 50_000


# The subqueries `ready` and `claimed` each read a partial index without ended attempts, so that the
# cost does not grow with the number of ended attempts.
_QUEUES = f"""
with ready as materialized (
  select queue, created_at from orchestrator.attempts
  where state = 'ready'
  order by published_at nulls first limit %(most)s + 1),
claimed as materialized (
  select queue from orchestrator.attempts
  where state = 'claimed'
  limit %(most)s + 1),
work as (
  select queue, sum(waiting)::bigint as waiting, min(oldest) as oldest,
    sum(running)::bigint as running
  from (
    select queue, count(*) as waiting, min(created_at) as oldest, 0 as running
    from ready
    group by queue
    union all
    select queue, 0, null, count(*) from claimed
    group by queue) counted
  group by queue),
served as (
  select queue, count(*) as workers, sum(concurrency) as slots, sum(free_slots) as free
  from orchestrator.workers, unnest(queues) as queue
  where {LIVE}
  group by queue)
select coalesce(w.queue, s.queue), coalesce(waiting, 0), oldest, coalesce(running, 0),
  coalesce(workers, 0), coalesce(slots, 0), coalesce(free, 0),
  greatest((select count(*) from ready), (select count(*) from claimed)) <= %(most)s
from work w
full join served s on s.queue = w.queue
order by 1
"""


def queues(session: Session, lease: float, most: int = MOST_COUNTED) -> list[tuple[Any, ...]]:
    """Return every queue that has work or a live worker: ``(name, waiting, oldest, running,
    workers, slots, free, exact)``.

    `oldest` is when the oldest waiting attempt became ready. Where it is not `exact`, more than
    `most` attempts wait or run, of which only `most` were counted.
    """
    return session.all(
        _QUEUES,
        {"lease": lease, "most": most},
    )


def timers(
    session: Session, scope: Scope, *, limit: int = 50, after: Sequence[Any] | None = None
) -> Page:
    """Return timers by due time: ``(due_at, instance_id, step, kind, namespace, reference)``."""
    return page(
        session,
        """
        select t.due_at, t.instance_id::text, t.step, t.kind, i.namespace, s.reference
        from orchestrator.timers t
        join orchestrator.instances i on i.id = t.instance_id
        left join orchestrator.steps s on s.instance_id = t.instance_id and s.id = t.step
        """,
        [scope.condition("i.namespace")],
        order=("t.due_at", "t.instance_id", "t.step", "t.kind"),
        limit=limit,
        after=after,
    )


def listeners(
    session: Session, scope: Scope, *, limit: int = 50, after: Sequence[Any] | None = None
) -> Page:
    """Return listeners: ``(created_at, instance_id, step, namespace, mode, filters, correlation,
    reference)``; filters and correlation are JSON text."""
    return page_by(
        session,
        """
        created_at, instance_id::text, step, namespace, mode, filters::text, correlation::text,
        (
          select s.reference from orchestrator.steps s
          where s.instance_id = found.instance_id and s.id = found.step)
        """,
        "orchestrator.listeners",
        [Part([scope.level])],
        order=("created_at", "instance_id", "step"),
        limit=limit,
        after=after,
    )


def namespaces(session: Session, scope: Scope) -> list[tuple[str, int]]:
    """Return namespaces with the number of their workflows."""
    condition, params = scope.condition("namespace") or ("true", {})
    return [
        (row[0], row[1])
        for row in session.all(
            f"""
            select namespace, count(distinct name)
            from orchestrator.workflows
            where {condition}
            group by namespace
            order by namespace
            """,
            dict(params),
        )
    ]
