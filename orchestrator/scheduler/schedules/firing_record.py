"""Records firings and starts their instances, in the caller's transaction.

The caller has the schedules' row locks, so that no other process starts instances of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from orchestrator import json_codec
from orchestrator.core.model import Json, StimulusKind
from orchestrator.database.connection.database import Transaction
from orchestrator.database.instances import instance_queries as instances
from orchestrator.database.instances.instance_queries import NewStart, StartOutcome
from orchestrator.database.schedules import firing_queries
from orchestrator.database.schedules.firing_queries import FiringRow
from orchestrator.database.schedules.schedule_queries import ACTIVE, ScheduleRow
from orchestrator.database.transitions import inbox_queries
from orchestrator.errors import NotFound
from orchestrator.ids import new_id
from orchestrator.scheduler.schedules.firing_policy import Due, DueTimes
from orchestrator.scheduler.schedules.policy_options import (
    ScheduleKind,
    SchedulePlan,
    fill,
    policy_of,
)


@lru_cache(maxsize=1024)
def _plan(kind: str, timing: str, policy: str) -> SchedulePlan:
    return SchedulePlan(
        ScheduleKind(kind), json_codec.loads(timing), policy_of(json_codec.loads(policy))
    )


def plan_of(row: ScheduleRow) -> SchedulePlan:
    """Return the plan of a schedule's row."""
    return _plan(row.kind, row.timing, row.policy)


def due_times_of(row: ScheduleRow) -> DueTimes | None:
    """Return the due times of a schedule; None if they do not depend on time alone."""
    plan = plan_of(row)
    recurrence = plan.recurrence(row.anchor)
    return DueTimes(row.id, recurrence, plan.policy) if recurrence else None


@dataclass(frozen=True, slots=True)
class Firing:
    """A due time to record and, unless it is queued or skipped, to start.

    `by` is its origin: ``schedule``, or the name of a person's API key.
    """

    schedule: ScheduleRow
    row: FiringRow
    by: str = "schedule"


def new_firing(
    schedule: ScheduleRow,
    due: Due,
    now: datetime,
    *,
    outcome: str = "started",
    reason: str = "schedule",
    skip_reason: str | None = None,
    key: str | None = None,
    input: Json = None,
    by: str = "schedule",
    heard_from: int | None = None,
) -> Firing:
    """Return a firing with its instance's id and input: `input`, or else the policy's."""
    starts, is_queued = outcome == "started", outcome == "queued"
    row = FiringRow(
        schedule_id=schedule.id,
        due=due.due,
        reason=reason,
        outcome=outcome,
        fires_at=due.fires_at,
        version=schedule.version,
        skip_reason=skip_reason,
        missed_since=due.missed_since,
        fired_at=now if starts else None,
        instance_id=new_id() if starts else None,
        key=key,
        input=_input(schedule, due.due, reason, input) if starts or is_queued else None,
        heard_from=heard_from,
    )
    return Firing(schedule, row, by)


def _input(schedule: ScheduleRow, due: datetime, reason: str, input: Json) -> str | None:
    policy = plan_of(schedule).policy
    if input is not None:
        return json_codec.dumps(input)
    if policy.input is None:
        return None
    local = due.astimezone(policy.timezone).isoformat()
    values = {"due": utc(due), "local": local, "schedule": schedule.id, "reason": reason}
    return json_codec.dumps(fill(policy.input, values))


def utc(time: datetime) -> str:
    """Format a time for ids, labels and inputs: ISO 8601 in UTC."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def record_firings(
    transaction: Transaction,
    made: Sequence[Firing],
    now: datetime,
    *,
    overwrite_skipped: bool = False,
) -> list[Firing]:
    """Record firings and start those with outcome ``started``. Return the recorded ones: a due time
    that has a row already is ignored, unless it was skipped and `overwrite_skipped` is set."""
    recorded = firing_queries.put(
        transaction, [_without_input(firing.row) for firing in made], revive=overwrite_skipped
    )
    new = [firing for firing in made if (firing.row.schedule_id, firing.row.due) in recorded]
    start(transaction, [firing for firing in new if firing.row.outcome == "started"], now)
    return new


def _without_input(row: FiringRow) -> FiringRow:
    """Omit the input unless the firing is queued: a started instance has it itself."""
    return row if row.outcome == "queued" else replace(row, input=None)


def start(transaction: Transaction, made: Sequence[Firing], now: datetime) -> None:
    """Start the instances of firings.

    Raises `NotFound` if a workflow is deleted: the caller must not commit then.
    """
    for by in sorted({one.by for one in made}):
        new = [_new_start(one) for one in made if one.by == by]
        if instances.start(transaction, new, now, by) is not StartOutcome.STARTED:
            raise NotFound("the schedule's workflow is gone")


def _new_start(one: Firing) -> NewStart:
    row = one.row
    if row.instance_id is None:
        raise ValueError("a firing that does not start has no instance")
    return NewStart(
        id=row.instance_id,
        workflow_id=one.schedule.workflow_id,
        newest=False,
        input=row.input,
        labels=json_codec.dumps({"schedule": row.schedule_id, "due": utc(row.due)}),
        heard_from=row.heard_from,
    )


def cancel_open_instances(transaction: Transaction, instances: Sequence[str]) -> None:
    """Send `cancel` to instances whose schedule is due again, at most once to each."""
    data = {"command": "cancel", "by": "schedule", "reason": "its schedule is due again"}
    for instance in instances:
        inbox_queries.put(
            transaction, instance, StimulusKind.COMMAND, data=data, key="cancel:schedule"
        )


def with_next_due(row: ScheduleRow, now: datetime) -> ScheduleRow:
    """Return the schedule with the first due time after `now`, if it is active."""
    due_times = due_times_of(row)
    due: Due | None = None
    if row.state == ACTIVE and due_times is not None:
        due = due_times.next_after(now)
    elif row.state == ACTIVE and row.kind == ScheduleKind.AFTER and not row.waits_for_end:
        at = now + timedelta(seconds=plan_of(row).timing["after"])
        due = Due(at, at)
    return replace(
        row, next_due=due.due if due else None, next_fire_at=due.fires_at if due else None
    )
