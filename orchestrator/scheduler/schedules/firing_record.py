"""Notes firings in the ledger and starts their instances, in the transaction of the caller.

The caller holds the schedules' row locks: so nobody else starts instances of them meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache

from orchestrator import json_codec
from orchestrator.core.model import Json, StimulusKind
from orchestrator.database.connection.database import Transaction
from orchestrator.database.instances import instance_queries as instances
from orchestrator.database.instances.instance_queries import NewStart, Outcome
from orchestrator.database.schedules import firing_queries
from orchestrator.database.schedules.firing_queries import FiringRow
from orchestrator.database.schedules.schedule_queries import ScheduleRow
from orchestrator.database.transitions import inbox_queries
from orchestrator.errors import NotFound
from orchestrator.ids import new_id
from orchestrator.scheduler.schedules.firing_policy import Due, DueTimes
from orchestrator.scheduler.schedules.policy_options import Plan, ScheduleKind, fill, policy_of


@lru_cache(maxsize=1024)
def _plan(kind: str, timing: str, policy: str) -> Plan:
    return Plan(ScheduleKind(kind), json_codec.loads(timing), policy_of(json_codec.loads(policy)))


def plan_of(row: ScheduleRow) -> Plan:
    """The plan that a row holds."""
    return _plan(row.kind, row.timing, row.policy)


def due_times_of(row: ScheduleRow) -> DueTimes | None:
    """The due times of a row; None where they depend on something else than time."""
    plan = plan_of(row)
    recurrence = plan.recurrence(row.anchor)
    return DueTimes(row.id, recurrence, plan.policy) if recurrence else None


@dataclass(frozen=True, slots=True)
class Firing:
    """A due time that is to be noted, and, unless it is queued or skipped, to start.

    `by` is who asked for it: the schedule itself, or a person by the name of the API key.
    """

    schedule: ScheduleRow
    row: FiringRow
    by: str = "schedule"


def firing(
    schedule: ScheduleRow,
    due: Due,
    now: datetime,
    *,
    outcome: str = "started",
    reason: str = "schedule",
    why: str | None = None,
    key: str | None = None,
    given: Json = None,
    by: str = "schedule",
    heard_from: int | None = None,
) -> Firing:
    """A firing with its instance and its input, `given` or that of the policy."""
    starts, waits = outcome == "started", outcome == "queued"
    row = FiringRow(
        schedule_id=schedule.id,
        due=due.due,
        reason=reason,
        outcome=outcome,
        planned_at=due.planned,
        version=schedule.version,
        why=why,
        since=due.since,
        fired_at=now if starts else None,
        instance_id=new_id() if starts else None,
        key=key,
        input=_input(schedule, due.due, reason, given) if starts or waits else None,
        heard_from=heard_from,
    )
    return Firing(schedule, row, by)


def _input(schedule: ScheduleRow, due: datetime, reason: str, given: Json) -> str | None:
    policy = plan_of(schedule).policy
    if given is not None:
        return json_codec.dumps(given)
    if policy.input is None:
        return None
    local = due.astimezone(policy.timezone).isoformat()
    values = {"due": utc(due), "local": local, "schedule": schedule.id, "reason": reason}
    return json_codec.dumps(fill(policy.input, values))


def utc(time: datetime) -> str:
    """A time as ids, labels and inputs show it: ISO 8601 in UTC."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def record_firings(
    cursor: Transaction, made: Sequence[Firing], now: datetime, *, revive: bool = False
) -> list[Firing]:
    """Note firings, and start those that do start. Returns what was noted: a due time that the
    ledger has already is left alone (with `revive`, unless it had been skipped)."""
    noted = firing_queries.put(cursor, [_without_input(one.row) for one in made], revive=revive)
    new = [one for one in made if (one.row.schedule_id, one.row.due) in noted]
    start(cursor, [one for one in new if one.row.outcome == "started"], now)
    return new


def _without_input(row: FiringRow) -> FiringRow:
    """An instance has its input itself; the ledger keeps it only while it waits."""
    return row if row.outcome == "queued" else replace(row, input=None)


def start(cursor: Transaction, made: Sequence[Firing], now: datetime) -> None:
    """Start the instances of firings, by the statement that starts all instances.

    Raises `NotFound` where a workflow is gone: nothing may be committed then.
    """
    for by in sorted({one.by for one in made}):
        new = [_new_start(one) for one in made if one.by == by]
        if instances.start(cursor, new, now, by) is not Outcome.STARTED:
            raise NotFound("the schedule's workflow is gone")


def _new_start(one: Firing) -> NewStart:
    row = one.row
    if row.instance_id is None:
        raise ValueError("only what starts has an instance")
    return NewStart(
        id=row.instance_id,
        workflow_id=one.schedule.workflow_id,
        newest=False,
        input=row.input,
        labels=json_codec.dumps({"schedule": row.schedule_id, "due": utc(row.due)}),
        heard_from=row.heard_from,
    )


def cancel(cursor: Transaction, instances: Sequence[str]) -> None:
    """Cancel instances because their schedule is due again; once is enough."""
    data = {"command": "cancel", "by": "schedule", "reason": "its schedule is due again"}
    for instance in instances:
        inbox_queries.put(cursor, instance, StimulusKind.COMMAND, data=data, key="cancel:schedule")
