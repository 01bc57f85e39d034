"""Steps with their attempts as people read them, and the reasons why an instance waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.database.connection.json_parameters import inner_member, member, readable
from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import OPEN
from orchestrator.database.keyset_pages import Page, equal, one_of, page


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt with the name of its worker; `error` and `progress` are JSON text.

    `late_at` and `late_state`: a result that was refused because the attempt had ended before.
    """

    step: int
    id: str
    number: int
    state: str
    withdrawn: bool
    task: str
    queue: str
    priority: int | None
    worker_id: str | None
    worker: str | None
    process: int | None
    created_at: datetime
    published_at: datetime | None
    claimed_at: datetime | None
    ended_at: datetime | None
    progress: str | None
    error: str | None
    traceback: str | None
    late_at: datetime | None
    late_state: str | None


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step.

    Payloads and `call` are JSON text; `retry_at` is when its next attempt is due; `child` is the
    instance of the sub-workflow that it started and awaits or awaited. `recorded`: the end of its
    attempt while the instance was suspended, which takes effect at the resume. `call_key`: the
    idempotency key of its call, where that is not the step's own number.
    """

    id: int
    parent: int
    reference: str
    kind: str
    index: int | None
    status: str
    outcome_unknown: bool
    compensated_by: str | None
    compensates: int | None
    started_at: datetime | None
    ended_at: datetime | None
    input: str | None
    output: str | None
    error: str | None
    retry_at: datetime | None
    call: str | None
    child: str | None
    recorded: str | None
    call_key: str | None


def select_steps(*, payloads: bool = True) -> str:
    """Return the select of `StepRow`. Without `payloads`, input, output and call are null."""
    input, output, call = (
        f"s.{name}::text" if payloads else "null" for name in ("input", "output", "call")
    )
    return f"""
        select s.id, s.parent, s.reference, s.kind, s.index, s.status, s.outcome_unknown,
          s.compensated_by, s.compensates, s.started_at, s.ended_at, {input}, {output},
          s.error::text,
          (
            select t.due_at from orchestrator.timers t
            where t.instance_id = s.instance_id and t.step = s.id and t.kind = 'retry'),
          {call}, {member("s.state", "child")}, {inner_member("s.state", "result", "state")},
          case when s.kind = 'call' and s.reference like '%%/metadata/compensate%%'
            then {member("s.call", "key")} end
        from orchestrator.steps s
    """


def _attempt(*, payloads: bool = True) -> str:
    """Return the select of `AttemptRow`. Without `payloads`, progress and traceback are null."""
    progress, traceback = ("a.progress::text", "a.traceback") if payloads else ("null", "null")
    return f"""
        select a.step, a.id::text, a.number, a.state, a.withdrawn, a.task, a.queue, a.priority,
          a.worker::text, w.name, a.process, a.created_at, a.published_at, a.claimed_at,
          a.ended_at, {progress}, a.error::text, {traceback}, a.late_at, a.late_state
        from orchestrator.attempts a
        left join orchestrator.workers w on w.id = a.worker
        where a.instance_id = %s and a.step = any(%s)
        order by a.step, a.number
    """


def listed(
    session: Session,
    instance: str,
    *,
    parent: int | None = None,
    child: str | None = None,
    statuses: Sequence[str] = (),
    since: int | None = None,
    payloads: bool = True,
    limit: int = 200,
    after: Sequence[Any] | None = None,
) -> Page:
    """Return steps in the order of their creation; rows are those of `StepRow`.

    `since`: only those that may have changed after the transition of this number.
    """
    return page(
        session,
        select_steps(payloads=payloads),
        [
            equal("s.instance_id", instance),
            ("s.id = any(%(changed)s)", {"changed": _changed(session, instance, since)})
            if since
            else None,
            equal("s.parent", parent),
            (f"{member('s.state', 'child')} = %(child)s", {"child": child})
            if child is not None
            else None,
            one_of("s.status", statuses),
        ],
        order=("s.id",),
        payloads=("input", "output", "call", "error") if payloads else (),
        limit=limit,
        after=after,
    )


def get(session: Session, instance: str, step: int) -> StepRow | None:
    """Return one step."""
    row = session.one(f"{select_steps()} where s.instance_id = %s and s.id = %s", (instance, step))
    return StepRow(*row) if row else None


_CHANGED = f"""
with mark as (
  select at from orchestrator.history where instance_id = %(i)s and sequence <= %(after)s
  order by sequence desc limit 1),
changed as (
  select s.id from orchestrator.steps s, mark
   where s.instance_id = %(i)s
     and (s.status in {OPEN} or s.started_at >= mark.at or s.ended_at >= mark.at)
  union
  select (fact ->> 1)::int from orchestrator.history h
   cross join lateral json_array_elements({readable("h.facts")}) fact
   where h.instance_id = %(i)s and h.sequence > %(after)s and fact ->> 1 is not null
  union
  select a.step from orchestrator.attempts a, mark
   where a.instance_id = %(i)s and (a.ended_at >= mark.at or a.late_at >= mark.at))
select id from changed
union
select u.compensates from orchestrator.steps u
 where u.instance_id = %(i)s and u.compensates is not null and u.id in (select id from changed)
"""


def _changed(session: Session, instance: str, after: int) -> list[int]:
    """Return the steps that may have changed after a transition, open ones among them: a claim or
    a progress is no transition."""
    return [row[0] for row in session.all(_CHANGED, {"i": instance, "after": after})]


def attempts(
    session: Session, instance: str, steps: Sequence[int], *, payloads: bool = True
) -> dict[int, list[AttemptRow]]:
    """Return every attempt of these steps, in their order."""
    found: dict[int, list[AttemptRow]] = {}
    query = _attempt(payloads=payloads)
    for row in session.all(query, (instance, list(steps))) if steps else ():
        found.setdefault(row[0], []).append(AttemptRow(*row))
    return found


@dataclass(frozen=True, slots=True)
class BriefStep:
    """A step's place and state. `restarts`: a new run has decided to restart its task."""

    id: int
    parent: int
    reference: str
    kind: str
    index: int | None
    status: str
    open_children: int
    completion_number: int | None
    compensates: int | None
    outcome_unknown: bool
    restarts: bool


def brief(session: Session, instance: str, limit: int) -> list[BriefStep]:
    """Return the first steps of an instance, in the order of their creation."""
    rows = session.all(
        f"""
        select s.id, s.parent, s.reference, s.kind, s.index, s.status, s.open_children,
          s.completion_number, s.compensates, s.outcome_unknown,
          s.state is not null and {member("s.state", "redo")} is not null
        from orchestrator.steps s
        where s.instance_id = %s
        order by s.id limit %s
        """,
        (instance, limit),
    )
    return [BriefStep(*row) for row in rows]


def states(session: Session, instance: str) -> dict[str, dict[str, int]]:
    """Return how many steps of each task have each status: ``{reference: {status: count}}``.

    A call whose attempt no worker has claimed counts as pending.
    """
    rows = session.all(
        """
        select s.reference, case when a.id is null then s.status else 'pending' end, count(*)
        from orchestrator.steps s
        left join orchestrator.attempts a
          on s.status = 'running' and a.instance_id = s.instance_id and a.step = s.id
          and a.state = 'ready'
        where s.instance_id = %s
        group by 1, 2
        """,
        (instance,),
    )
    found: dict[str, dict[str, int]] = {}
    for reference, status, count in rows:
        found.setdefault(reference, {})[status] = count
    return found


@dataclass(frozen=True, slots=True)
class Skip:
    """A person ended this step with an output of their own; `data` is JSON text of ``{by?,
    reason?}``, or None."""

    step: int
    at: datetime
    data: str | None


def skips(session: Session, instance: str, ends: Sequence[datetime]) -> dict[int, Skip]:
    """Return which of the steps that ended at these times were skipped, from history."""
    if not ends:
        return {}
    rows = session.all(
        """
        select (fact ->> 1)::int, h.at, (fact -> 2)::text
        from orchestrator.history h
        cross join lateral json_array_elements(h.facts) fact
        where h.instance_id = %s and h.at = any(%s) and fact ->> 0 = 'task.passed'
        """,
        (instance, list(ends)),
    )
    return {row[0]: Skip(*row) for row in rows}


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that an instance waits for.

    `kind` is ``call``, ``timer``, ``event`` or the kind of another open step; `step` is None where
    the instance itself waits.
    """

    kind: str
    step: int | None
    reference: str | None
    since: datetime | None
    timer: str | None
    due_at: datetime | None
    mode: str | None
    filters: str | None


# An instance waits at its open steps without open children. Select these steps and what each of
# them waits for.
_WAITING = f"""
with leaves as (
  select id, reference, kind, started_at from orchestrator.steps
   where instance_id = %(i)s and open_children = 0
     and status in {OPEN}
   order by id limit %(n)s
)
select case when l.listener then 'event' when l.timer is not null then 'timer' else l.kind end,
       l.id, l.reference, l.started_at, l.timer, l.due_at, l.mode, l.filters
  from (
    select s.id, s.reference, s.kind, s.started_at, t.kind as timer, t.due_at, e.mode,
           e.filters::text as filters, e.step is not null as listener
      from leaves s
      left join orchestrator.listeners e on e.instance_id = %(i)s and e.step = s.id
      left join orchestrator.timers t
        on t.instance_id = %(i)s and t.step = s.id and t.kind <> 'timeout'
  ) l
union all
select 'timer', null, null, t.created_at, t.kind, t.due_at, null, null
  from orchestrator.timers t where t.instance_id = %(i)s and t.step = 0 and t.kind <> 'timeout'
"""


def waiting(session: Session, instance: str, limit: int = 100) -> list[Waiting]:
    """Return what an open instance waits for, at most `limit` items."""
    rows = session.all(_WAITING, {"i": instance, "n": limit})
    return [Waiting(*row) for row in rows]
