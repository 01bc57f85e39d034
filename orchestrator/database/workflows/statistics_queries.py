"""What the tasks of a workflow did and how long they took, from the rows of its instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.core.model import OPEN_STATUSES
from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import OPEN

#: The largest number of instances, the newest, and of steps of each, that are read.
MOST_INSTANCES, MOST_STEPS = 2000, 500


@dataclass(frozen=True, slots=True)
class TaskRow:
    """The steps of one task. Times are in milliseconds, of completed steps; `retried` counts steps
    with more than one attempt, `here` the open steps by status."""

    reference: str
    kind: str
    passed: int
    faulted: int
    retried: int
    p50_ms: float | None
    p95_ms: float | None
    total_ms: float
    here: dict[str, int]


def newest(
    session: Session,
    namespace: str,
    name: str,
    version: str | None,
    since: datetime,
    until: datetime,
) -> list[str]:
    """Return the instances that were created in a time range, at most `MOST_INSTANCES`."""
    rows = session.all(
        """
        select id::text from orchestrator.instances
        where namespace = %(namespace)s and workflow = %(name)s
          and (%(version)s::text is null or version = %(version)s)
          and created_at >= %(since)s and created_at < %(until)s
        order by created_at desc limit %(most)s
        """,
        {
            "namespace": namespace,
            "name": name,
            "version": version,
            "since": since,
            "until": until,
            "most": MOST_INSTANCES + 1,
        },
    )
    return [row[0] for row in rows]


def totals(session: Session, ids: Sequence[str]) -> dict[str, Any]:
    """Return how these instances ended: ``{started, completed, waiting, faulted, cancelled, undone,
    median_ms}``; the median is that of completed ones."""
    row = session.one(
        f"""
        select count(started_at), count(*) filter (where status = 'completed'),
          count(*) filter (where status in {OPEN}), count(*) filter (where status = 'faulted'),
          count(*) filter (where status = 'cancelled'),
          count(*) filter (where compensation = 'completed'),
          percentile_cont(0.5) within group (
            order by extract(epoch from ended_at - started_at) * 1000)
            filter (where status = 'completed')
        from orchestrator.instances where id = any(%s::uuid[])
        """,
        (list(ids),),
    )
    names = ("started", "completed", "waiting", "faulted", "cancelled", "undone", "median_ms")
    return dict(zip(names, row or (), strict=True))


_HERE = ", ".join(
    f"'{status.value}', nullif(count(*) filter (where status = '{status.value}'), 0)"
    for status in sorted(OPEN_STATUSES)
)


def tasks(session: Session, ids: Sequence[str]) -> list[TaskRow]:
    """Return the statistics of each task that has steps in these instances, by reference."""
    rows = session.all(
        f"""
        with done as (
          select s.*, extract(epoch from s.ended_at - s.started_at) * 1000 as ms,
            exists (
              select from orchestrator.attempts a
              where a.instance_id = s.instance_id and a.step = s.id and a.number > 1) as retried
          from unnest(%(ids)s::uuid[]) as i(id)
          cross join lateral (
            select instance_id, id, reference, kind, status, started_at, ended_at
            from orchestrator.steps s where s.instance_id = i.id
            order by s.id desc limit %(most)s) s)
        select reference, min(kind), count(*) filter (where status = 'completed'),
          count(*) filter (where status = 'faulted'), count(*) filter (where retried),
          percentile_cont(0.5) within group (order by ms) filter (where status = 'completed'),
          percentile_cont(0.95) within group (order by ms) filter (where status = 'completed'),
          coalesce(sum(ms) filter (where status = 'completed'), 0)::float,
          json_strip_nulls(json_build_object({_HERE}))
        from done
        group by reference order by reference
        """,
        {"ids": list(ids), "most": MOST_STEPS},
    )
    return [TaskRow(*row) for row in rows]
