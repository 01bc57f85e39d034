"""Where the instances of a page stand, and why: two statements, however long the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.database.connection.json_parameters import member, readable
from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import OPEN
from orchestrator.database.workers.liveness_queries import LIVE

#: Current steps that are read of one instance.
MOST_STEPS = 3
#: Steps that are counted of a compensation.
MOST_UNDONE = 1000


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an instance beside its own row.

    `error_` members are those of its error, `detail` cut at 300 characters. `waiting` counts its
    stimuli, `deferred` those that can't be applied, `since` is when the oldest came. `control`
    counts the live control workers. `undone` and `to_undo` count the steps of a running
    compensation, up to `MOST_UNDONE`. `suspended_by` and `reason` are those of the last suspend.
    `letter_` members are those of the newest open dead letter.
    """

    id: str
    workflow_id: str
    status: str
    compensation: str
    engine: int
    changed_at: datetime | None
    error_type: str | None
    error_title: str | None
    error_status: str | None
    error_detail: str | None
    error_instance: str | None
    waiting: int
    deferred: int
    since: datetime | None
    control: int
    undone: int | None
    to_undo: int | None
    suspended_by: str | None
    suspended_at: datetime | None
    reason: str | None
    letters: int
    letter_step: int | None
    letter_reference: str | None
    letter_text: str | None
    letter_at: datetime | None
    unknown: int
    now: datetime


_STANDINGS = f"""
select i.id::text, i.workflow_id::text, i.status, i.compensation, i.engine,
  (
    select h.at from orchestrator.history h
    where h.instance_id = i.id and h.sequence = i.sequence),
  case when i.error is not null then {member("i.error", "type")} end,
  case when i.error is not null then {member("i.error", "title")} end,
  case when i.error is not null then {member("i.error", "status")} end,
  case when i.error is not null then left({member("i.error", "detail")}, 300) end,
  case when i.error is not null then left({member("i.error", "instance")}, 1000) end,
  inbox.waiting, inbox.deferred, inbox.since,
  (select count(*) from orchestrator.workers where {LIVE} and %(control)s = any(queues)),
  case when i.compensation = 'running' then (
    select count(*) from (
      select from orchestrator.steps u
      where u.instance_id = i.id and u.compensates is not null and u.status = 'completed'
      limit {MOST_UNDONE}) u) end,
  case when i.compensation = 'running' then (
    select count(*) from (
      select from orchestrator.steps u
      where u.instance_id = i.id and u.undoable is not null
        and (u.status = 'completed' or u.outcome_unknown)
      limit {MOST_UNDONE}) u) end,
  suspended.actor, suspended.at, suspended.reason,
  coalesce(letter.count, 0), letter.step, letter.reference, letter.text, letter.created_at,
  case when i.status in {OPEN} then 0 else (
    select count(*) from (
      select from orchestrator.steps u
      where u.instance_id = i.id and u.outcome_unknown limit 100) u) end,
  clock_timestamp()
from orchestrator.instances i
cross join lateral (
  select count(*) as waiting, count(*) filter (where deferred) as deferred,
    min(created_at) as since
  from orchestrator.stimuli q where q.instance_id = i.id) inbox
left join lateral (
  select actor, at, reason from orchestrator.audit_log l
  where i.status = 'suspended' and l.target = i.id::text and l.action = 'instance.suspend'
  order by l.id desc limit 1) suspended on true
left join lateral (
  select count(*) over () as count, d.step, s.reference, d.created_at,
    left(coalesce({member("d.error", "detail")}, {member("d.error", "title")}, d.reason), 300)
      as text
  from orchestrator.dead_letters d
  left join orchestrator.steps s on s.instance_id = d.instance_id and s.id = d.step
  where d.instance_id = i.id and d.resolved_at is null
  order by d.created_at desc limit 1) letter on true
where i.id = any(%(ids)s::uuid[])
"""


def standings(
    session: Session, ids: Sequence[str], lease: float, control_queue: str
) -> dict[str, Standing]:
    """Return where these instances stand, by id."""
    rows = session.all(_STANDINGS, {"ids": list(ids), "lease": lease, "control": control_queue})
    return {row[0]: Standing(*row) for row in rows}


@dataclass(frozen=True, slots=True)
class CurrentStep:
    """An open step without open children, with its newest open attempt.

    `attempt` numbers that attempt; `task`, `queue` and the times are the attempt's. `in_flight`: a
    live worker runs it, as far as its heartbeats say. `serving` counts the live workers of its
    queue, `knowing` those that have its task, `able` those that can enforce its time limit, if it
    has one; `free` counts their idle slots. `timer` is the timer that it waits for, `types` are the
    types of the events that it waits for. `child` is its open sub-workflow. `retries` is how often
    the `try` at `retried`, itself or the one around it, was retried.
    """

    instance: str
    step: int
    reference: str
    kind: str
    started_at: datetime | None
    attempt: int | None
    state: str | None
    withdrawn: bool | None
    task: str | None
    queue: str | None
    created_at: datetime | None
    published_at: datetime | None
    claimed_at: datetime | None
    worker: str | None
    silent: bool | None
    in_flight: bool | None
    serving: int | None
    knowing: int | None
    able: int | None
    free: int | None
    timer: str | None
    due_at: datetime | None
    types: list[str | None] | None
    child: str | None
    retries: int | None
    retried: str | None
    last_error: str | None


_CURRENT = f"""
with live as materialized (
  select id, queues, tasks, pool, free_slots, in_flight from orchestrator.workers where {LIVE}),
leaves as (
  select i.id as instance, s.id, s.parent, s.reference, s.kind, s.started_at, s.state
  from orchestrator.instances i
  cross join lateral (
    select s.id, s.parent, s.reference, s.kind, s.started_at, s.state
    from orchestrator.steps s
    where s.instance_id = i.id and s.status in {OPEN} and s.open_children = 0
    order by s.id desc limit least(greatest(i.open_places, 1), {MOST_STEPS})) s
  where i.id = any(%(ids)s::uuid[]) and (i.status in {OPEN} or i.compensation = 'running')),
placed as (
  select l.instance, l.id, l.parent, l.reference, l.kind, l.started_at, l.state,
    a.number, a.state as attempt_state, a.withdrawn, a.task, a.queue,
    a.created_at, a.published_at, a.claimed_at, w.name as worker,
    a.state = 'claimed' and (w.id is null or not exists (select from live v where v.id = w.id))
      as silent,
    a.state = 'claimed' and (
      a.id = any(w.in_flight)
      or a.claimed_at > clock_timestamp() - %(lease)s * interval '1 s') as in_flight,
    a.time_limit is not null as limited
  from leaves l
  left join lateral (
    select * from orchestrator.attempts a
    where a.instance_id = l.instance and a.step = l.id and a.state in ('ready', 'claimed')
    order by a.number desc limit 1) a on true
  left join orchestrator.workers w on w.id = a.worker),
kinds as (
  select k.queue, k.task, k.limited, count(v.id) as serving,
    count(v.id) filter (where k.task = any(v.tasks)) as knowing,
    count(v.id) filter (
      where k.task = any(v.tasks) and (not k.limited or v.pool = 'prefork')) as able,
    coalesce(sum(v.free_slots) filter (
      where k.task = any(v.tasks) and (not k.limited or v.pool = 'prefork')), 0) as free
  from (
    select distinct queue, task, limited from placed where attempt_state = 'ready') k
  left join live v on k.queue = any(v.queues)
  group by 1, 2, 3)
select p.instance::text, p.id, p.reference, p.kind, p.started_at, p.number, p.attempt_state,
  p.withdrawn, p.task, p.queue, p.created_at, p.published_at, p.claimed_at, p.worker,
  p.silent, p.in_flight, k.serving, k.knowing, k.able, k.free,
  t.kind, t.due_at,
  case when e.step is not null then (
    select array_agg(f -> 'with' ->> 'type')
    from json_array_elements({readable("e.filters")}) f) end,
  c.id::text, {member("r.state", "retries")}::int, r.reference,
  case when t.kind = 'retry' then left(coalesce(
    {member("r.state", "error")}::json ->> 'detail', {member("r.state", "error")}::json ->> 'title',
    (
      select coalesce({member("a.error", "detail")}, {member("a.error", "title")})
      from orchestrator.attempts a
      where a.instance_id = p.instance and a.step = p.id and a.error is not null
      order by a.number desc limit 1)), 300) end
from placed p
left join kinds k
  on p.attempt_state = 'ready' and k.queue = p.queue and k.task = p.task and k.limited = p.limited
left join lateral (
  select kind, due_at from orchestrator.timers t
  where t.instance_id = p.instance and t.step = p.id and t.kind in ('wait', 'retry')
  limit 1) t on true
left join orchestrator.listeners e on e.instance_id = p.instance and e.step = p.id
left join orchestrator.instances c on c.id = {member("p.state", "child")}::uuid
left join orchestrator.steps r
  on r.instance_id = p.instance and r.kind = 'try'
  and r.id = case when p.kind = 'try' then p.id else p.parent end
order by p.instance, p.id
"""


def current_steps(
    session: Session, ids: Sequence[str], lease: float
) -> dict[str, list[CurrentStep]]:
    """Return the current steps of these instances, at most `MOST_STEPS` of each, by instance."""
    found: dict[str, list[CurrentStep]] = {}
    for row in session.all(_CURRENT, {"ids": list(ids), "lease": lease}):
        found.setdefault(row[0], []).append(CurrentStep(*row))
    return found


def start_timers(session: Session, ids: Sequence[str]) -> dict[str, Any]:
    """Return when these instances start, those that wait for it: ``{id: time}``."""
    rows = session.all(
        """
        select instance_id::text, due_at from orchestrator.timers
        where instance_id = any(%s::uuid[]) and step = 0 and kind = 'start'
        """,
        (list(ids),),
    )
    return dict(rows)
