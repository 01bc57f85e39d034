"""Open calls and the workers that could run them, to explain why a call waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.database.connection.session import Session
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
    #: Why a live worker of the queue cannot take its steps; None if there is no such worker.
    refusal: str | None
    #: The queues of the live workers that have the task.
    elsewhere: Sequence[str]


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
         and o.queue = a.queue and o.published_at < a.published_at limit 100) o),
       (select r.refused_queues ->> a.queue from live r
         where r.refused_queues ->> a.queue is not null limit 1),
       array(select distinct unnest(o.queues) from live o where a.task = any(o.tasks) order by 1)
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
