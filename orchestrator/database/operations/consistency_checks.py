"""Consistency checks: each is a query for rows that should not exist.

They read whole tables, so people run them (`orchestrator doctor`), never a beat. Young rows are
left out everywhere: their work may be under way. The conditions on each row are in
`consistency_conditions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.database.connection.json_parameters import error_text, member
from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import OPEN, UNSUSPENDED
from orchestrator.database.workers.liveness_queries import LIVE

#: Largest number of rows of one check.
MOST = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One inconsistency: its subject, and the data of it."""

    subject: str
    instance: str | None
    step: int | None
    about: Mapping[str, Any]


def run_check(session: Session, sql: str, lease: float, grace: float) -> list[Row]:
    """Return the rows of one of the queries below, without those younger than `grace`. `lease` and
    `grace` in seconds."""
    rows = session.all(sql, {"lease": lease, "grace": grace, "most": MOST})
    return [Row(row[0], row[1], row[2], row[3] or {}) for row in rows]


YOUNG = "clock_timestamp() - %(grace)s * interval '1 s'"
_LIVE = f"live as (select * from orchestrator.workers where {LIVE})"
_NOTHING = "null::uuid::text, null::int"

#: Attempts that were published and that no worker has claimed.
UNCLAIMED = f"""
with {_LIVE}
select a.id::text, a.instance_id::text, a.step,
  json_build_object(
    'queue', a.queue, 'task', a.task, 'priority', a.priority, 'time_limit', a.time_limit,
    'published', a.published_at is not null,
    'free', (
      select coalesce(sum(k.free_slots), 0) from live k
      where a.queue = any(k.queues) and a.task = any(k.tasks)))
from orchestrator.attempts a
where a.state = 'ready' and not a.withdrawn
  and coalesce(a.published_at, a.created_at) < {YOUNG}
  and (
    a.published_at is not null
    or not exists (
      select from orchestrator.attempts o
      where o.instance_id = a.instance_id and o.state = 'ready' and o.queue = a.queue
        and o.published_at is not null))
order by a.created_at limit %(most)s
"""

#: Claimed attempts of workers that are gone, or without a heartbeat for longer than a lease.
LEASES = f"""
with {_LIVE}
select a.id::text, a.instance_id::text, a.step,
  json_build_object(
    'task', a.task, 'worker', w.name, 'worker_id', w.id, 'heartbeat_count', w.heartbeat_count,
    'silent', w.id is not null and w.stopped_at is null)
from orchestrator.attempts a
left join orchestrator.workers w on w.id = a.worker
where a.state = 'claimed' and (w.id is null or w.id not in (select id from live))
order by a.claimed_at limit %(most)s
"""

#: Claimed attempts that are no longer in flight in a live worker: their process is gone.
VANISHED_ATTEMPTS = f"""
with {_LIVE}
select a.id::text, a.instance_id::text, a.step,
  json_build_object('task', a.task, 'worker', w.name, 'process', a.process)
from orchestrator.attempts a
join live w on w.id = a.worker
where a.state = 'claimed' and not a.id = any(w.in_flight)
  and a.claimed_at < w.last_heartbeat_at - %(lease)s * interval '1 s'
order by a.claimed_at limit %(most)s
"""

#: Queues with waiting attempts that no live worker serves, by task, and a worker that could.
UNSERVED = f"""
with {_LIVE},
waiting as (
  select queue, task, count(*) as count, min(created_at) as since
  from orchestrator.attempts
  where state = 'ready' and not withdrawn
  group by queue, task)
select q.queue || ' ' || q.task, {_NOTHING},
  json_build_object('queue', q.queue, 'task', q.task, 'count', q.count,
    'served', exists (select from live k where q.queue = any(k.queues)),
    'able', (
      select k.name from live k
      where q.task = any(k.tasks) and not k.stopping
      order by k.free_slots desc, k.started_at limit 1))
from waiting q
where not exists (select from live k where q.queue = any(k.queues) and q.task = any(k.tasks))
  and q.since < {YOUNG}
order by q.since limit %(most)s
"""

TIMERS = f"""
select t.instance_id || ' ' || t.kind, t.instance_id::text, nullif(t.step, 0),
  json_build_object('kind', t.kind, 'due', t.due_at)
from orchestrator.timers t
where t.due_at < {YOUNG}
order by t.due_at limit %(most)s
"""

SCHEDULES = f"""
select s.namespace || '/' || s.workflow, {_NOTHING}, json_build_object('id', s.id, 'kind', s.kind)
from orchestrator.schedules s
where s.state = 'active' and s.kind <> 'on' and s.next_fire_at is null and not s.waits_for_end
  and s.created_at < {YOUNG}
limit %(most)s
"""

LATE_SCHEDULES = f"""
select s.namespace || '/' || s.workflow, {_NOTHING},
  json_build_object('id', s.id, 'due', s.next_fire_at)
from orchestrator.schedules s
where s.state = 'active' and s.next_fire_at < {YOUNG}
order by s.next_fire_at limit %(most)s
"""

#: Whether the instance's newest transition is young, or a stimulus waits for it.
IN_MOTION = f"""
(
  exists (select from orchestrator.stimuli q where q.instance_id = i.id)
  or coalesce(
    (
      select h.at from orchestrator.history h
      where h.instance_id = i.id and h.sequence = i.sequence), i.created_at) > {YOUNG})
"""
DRAINING, _OWN_CHILD = member("s.state", "draining"), member("s.state", "child")
_RETRY_RUN = member("s.state", "retry_run")

#: Whether a step waits for something.
_AWAITS = f"""
(
  exists (
    select from orchestrator.steps c
    where c.instance_id = s.instance_id and c.parent = s.id and c.status in {OPEN})
  or exists (
    select from orchestrator.attempts a
    where a.instance_id = s.instance_id and a.step = s.id and a.state in ('ready', 'claimed'))
  or exists (
    select from orchestrator.timers t
    where t.instance_id = s.instance_id and t.step = s.id
      and (t.kind <> 'timeout' or {DRAINING} is not null))
  or exists (
    select from orchestrator.listeners l
    where l.instance_id = s.instance_id and l.step = s.id)
  or exists (
    select from orchestrator.instances c
    where c.id = {_OWN_CHILD}::uuid
      and (
        c.status in {OPEN}
        or c.compensation = 'running'
        or exists (select from orchestrator.stimuli q where q.instance_id = c.id))))
"""

_CHILD = f"""
(
  select json_build_object('id', c.id, 'status', c.status, 'output', c.output, 'error', c.error,
    'compensation', c.compensation, 'run', c.run, 'workflow_id', c.workflow_id)
  from orchestrator.instances c
  where c.id = {_OWN_CHILD}::uuid)
"""

#: Open steps that wait for nothing, in instances that should continue.
STEPS = f"""
select i.id::text, i.id::text, s.id,
  json_build_object(
    'kind', s.kind, 'reference', s.reference, 'flow', i.status, 'compensation', i.compensation,
    'by', {_OWN_CHILD}, 'retry_run', {_RETRY_RUN}::int, 'child', {_CHILD})
from orchestrator.steps s
join orchestrator.instances i on i.id = s.instance_id
where s.status in {UNSUSPENDED}
  and (i.status in {UNSUSPENDED} or i.compensation = 'running' or {DRAINING} is not null)
  and i.status <> 'suspended' and not {IN_MOTION} and not {_AWAITS}
order by i.id, s.id limit %(most)s
"""

#: Instances that should continue but have no open step.
INSTANCES = f"""
select i.id::text, i.id::text, null::int,
  json_build_object(
    'flow', i.status, 'compensation', i.compensation, 'begun', i.started_at is not null)
from orchestrator.instances i
where (i.status in {UNSUSPENDED} or i.compensation = 'running') and i.status <> 'suspended'
  and not {IN_MOTION}
  and not exists (
    select from orchestrator.steps s
    where s.instance_id = i.id and s.status in {OPEN})
  and not exists (
    select from orchestrator.timers t
    where t.instance_id = i.id and t.kind = 'start')
order by i.id limit %(most)s
"""

LISTENERS = f"""
select l.instance_id || ' step ' || l.step, l.instance_id::text, l.step,
  json_build_object('flow', i.status)
from orchestrator.listeners l
left join orchestrator.instances i on i.id = l.instance_id
left join orchestrator.steps s on s.instance_id = l.instance_id and s.id = l.step
where (
    i.id is null
    or s.id is null
    or s.status not in {OPEN}
    or (i.status not in {OPEN} and i.compensation <> 'running'))
  and l.created_at < {YOUNG}
limit %(most)s
"""

STALE_STIMULI = f"""
select q.instance_id::text, q.instance_id::text, null::int,
  json_build_object('count', count(*), 'deferred', bool_or(q.deferred))
from orchestrator.stimuli q
join orchestrator.instances i on i.id = q.instance_id
where q.created_at < {YOUNG}
  and (i.status <> 'suspended' or q.kind in ('command', 'result'))
group by 2
limit %(most)s
"""

EVENTS = f"""
select e.namespace, {_NOTHING}, json_build_object('count', count(*))
from orchestrator.events e
where e.matched_at is null and e.created_at < {YOUNG}
group by 1
limit %(most)s
"""

#: Submitted starts that no beat has moved out of the outbox.
STANDING_STARTS = f"""
select s.namespace, {_NOTHING},
  json_build_object(
    'count', count(*), 'seconds', round(extract(epoch from clock_timestamp() - min(s.created_at))))
from (
  select namespace, created_at from orchestrator_outbox.starts order by id limit 100000) s
where s.created_at < {YOUNG}
group by 1
limit %(most)s
"""

OPEN_DEAD_LETTERS = f"""
select d.id::text, d.instance_id::text, d.step,
  json_build_object('reason', d.reason, 'error', {error_text("d.error")})
from orchestrator.dead_letters d
where d.resolved_at is null
order by d.created_at limit %(most)s
"""
