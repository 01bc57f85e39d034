"""Why an instance stands still: where each open step is, and who could take it further."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orchestrator.database.overview import LIVE
from orchestrator.database.slices import Reader


@dataclass(frozen=True, slots=True)
class Call:
    """An open call with its newest attempt, and the live workers of that attempt's queue.

    `serving` workers serve the queue, `able` ones know the task too and can enforce its time
    limit; `free` counts the idle slots of those.
    """

    step: int
    reference: str
    state: str
    withdrawn: bool
    task: str
    queue: str
    limited: bool
    created_at: datetime
    published_at: datetime | None
    claimed_at: datetime | None
    worker: str | None
    seen_at: datetime | None
    silent: bool
    serving: int
    able: int
    free: int


_CALLS = f"""
with live as (select * from orchestrator.workers where {LIVE}),
open_attempts as (
  select distinct on (a.step) a.* from orchestrator.attempts a
   where a.instance_id = %(i)s and a.state in ('ready', 'claimed')
   order by a.step, a.number desc limit %(n)s)
select s.id, s.ref, a.state, a.withdrawn, a.task, a.queue, a.time_limit is not null,
       a.created_at, a.published_at, a.claimed_at, w.name, w.seen_at,
       a.state = 'claimed' and w.id not in (select id from live),
       (select count(*) from live k where a.queue = any(k.queues)),
       (select count(*) from live k where a.queue = any(k.queues) and a.task = any(k.tasks)
         and (a.time_limit is null or k.pool = 'prefork')),
       (select coalesce(sum(k.free), 0) from live k where a.queue = any(k.queues)
         and a.task = any(k.tasks) and (a.time_limit is null or k.pool = 'prefork'))
  from open_attempts a
  join orchestrator.steps s on s.instance_id = a.instance_id and s.id = a.step
  left join orchestrator.workers w on w.id = a.worker
 order by s.id
"""


def calls(reader: Reader, instance: str, lease: float, limit: int = 50) -> list[Call]:
    """The open calls of an instance, at most `limit`. `lease` in seconds."""
    rows = reader.all(_CALLS, {"i": instance, "lease": lease, "n": limit})
    return [Call(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Inbox:
    """Notes that nobody has brought yet: how many, since when, and whether a live worker
    serves the queue of control."""

    waiting: int
    since: datetime | None
    control: int


def inbox(reader: Reader, instance: str, lease: float, control_queue: str) -> Inbox:
    """What waits in an instance's inbox."""
    row = reader.one(
        "select count(*), min(created_at), (select count(*) from orchestrator.workers"
        f" where {LIVE} and %(queue)s = any(queues))"
        " from orchestrator.stimuli where instance_id = %(i)s",
        {"i": instance, "lease": lease, "queue": control_queue},
    )
    assert row is not None  # noqa: S101  an aggregate has a row
    return Inbox(*row)


def children(reader: Reader, instance: str, limit: int = 50) -> list[tuple[int, str, str]]:
    """The open sub-workflows that are awaited: ``(step, id, status)``."""
    return [
        (row[0], row[1], row[2])
        for row in reader.all(
            "select parent_step, id::text, status from orchestrator.instances"
            " where parent_instance = %s and parent_step is not null"
            " and (status in ('pending', 'running', 'waiting', 'suspended')"
            "  or compensation = 'running') order by parent_step limit %s",
            (instance, limit),
        )
    ]


def last(reader: Reader, instance: str, action: str) -> tuple[str, datetime, str | None] | None:
    """Who did something to the instance last, when and why."""
    row = reader.one(
        "select actor, at, reason from orchestrator.audit where target = %s and action = %s"
        " order by id desc limit 1",
        (instance, action),
    )
    return (row[0], row[1], row[2]) if row else None
