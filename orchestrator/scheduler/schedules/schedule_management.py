"""Changes of schedules from outside: people pause, trigger and backfill them, events make them due.

Every function works in the caller's transaction and notifies the beats when that commits. The
caller then sends hints to the instances that the function returned.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from orchestrator.core.model import Json
from orchestrator.database.connection.database import Transaction
from orchestrator.database.schedules import firing_queries, schedule_queries, timer_queries
from orchestrator.database.schedules.schedule_queries import ACTIVE, PAUSED, STOPPED, ScheduleRow
from orchestrator.errors import Conflict, NotFound, OrchestratorError
from orchestrator.scheduler.schedules.firing_policy import (
    Due,
    FiringOutcome,
    SkipReason,
    apply_overlap,
)
from orchestrator.scheduler.schedules.firing_record import (
    Firing,
    cancel_open_instances,
    due_times_of,
    new_firing,
    plan_of,
    record_firings,
    with_next_due,
)
from orchestrator.scheduler.schedules.policy_options import Overlap, ScheduleKind
from orchestrator.scheduler.schedules.recurrence import between, following

#: Largest number of due times of one backfill.
MAX_BACKFILL = 1000


class TooMany(OrchestratorError):
    """The range has more due times than one backfill may have."""


def pause(transaction: Transaction, id: str) -> ScheduleRow:
    """Pause a schedule: it starts nothing until it is resumed. Raises `NotFound`, `Conflict`."""
    row = _locked(transaction, id)
    paused = replace(row, state=PAUSED, next_due=None, next_fire_at=None)
    schedule_queries.save(transaction, [paused])
    return paused


def resume(transaction: Transaction, id: str) -> ScheduleRow:
    """Resume a schedule from now on. It does not fire the due times of the pause (`backfill`
    does). Raises `NotFound`, `Conflict`."""
    row = _locked(transaction, id)
    if row.state == ACTIVE:
        return row
    resumed = with_next_due(replace(row, state=ACTIVE), schedule_queries.now(transaction))
    schedule_queries.save(transaction, [resumed])
    schedule_queries.set_mark(transaction, id)
    timer_queries.announce(transaction)
    return resumed


def trigger(transaction: Transaction, id: str, by: str, input: Json = None) -> Firing:
    """Start an instance now, also of a paused schedule and regardless of its overlap policy.
    `input` replaces the policy's input. Raises `NotFound`, `Conflict`."""
    row = _locked(transaction, id)
    made = _firing_now(transaction, row, reason="manual", by=by, input=input)
    after = row.kind == ScheduleKind.AFTER
    schedule_queries.save(
        transaction,
        [
            replace(
                row,
                last_instance_id=made.row.instance_id,
                waits_for_end=row.waits_for_end or after,
                next_due=None if after else row.next_due,
                next_fire_at=None if after else row.next_fire_at,
            )
        ],
    )
    return made


def backfill(
    transaction: Transaction, id: str, first: datetime, last: datetime, by: str
) -> list[Firing]:
    """Fire the due times from `first` to `last` that have not fired. They start now, or one after
    the other if instances must not overlap.

    Raises `NotFound`; `Conflict` if the schedule has no due times or the range is not over;
    `TooMany`.
    """
    row = _locked(transaction, id)
    due_times = due_times_of(row)
    if due_times is None:
        raise Conflict(f"a schedule of kind '{row.kind}' has no due times to go back to")
    now = schedule_queries.now(transaction)
    if last > now:
        raise Conflict("the range is not over yet")
    times = between(due_times.recurrence, first, last, MAX_BACKFILL + 1)
    if len(times) > MAX_BACKFILL:
        raise TooMany(f"the range has more than {MAX_BACKFILL} due times")
    queued = plan_of(row).policy.overlap is not Overlap.ALLOW
    outcome = FiringOutcome.QUEUED if queued else FiringOutcome.STARTED
    made = [
        new_firing(row, Due(at, at), now, outcome=outcome, reason="backfill", by=by) for at in times
    ]
    recorded = record_firings(transaction, made, now, overwrite_skipped=True)
    if queued and recorded:
        schedule_queries.save(transaction, [replace(row, waits_for_end=True)])
        timer_queries.announce(transaction)
    return recorded


def upcoming(row: ScheduleRow, now: datetime, count: int) -> list[Due]:
    """Return the next `count` due times of a schedule; none if it is paused or stopped."""
    due_times = due_times_of(row)
    if row.next_due is None or row.next_fire_at is None:
        return []
    if due_times is None:
        return [Due(row.next_due, row.next_fire_at)][:count]
    first = [row.next_due] if row.next_due > now else []
    times = [*first, *islice(following(due_times.recurrence, max(row.next_due, now)), count)]
    return [due_times.due(at) for at in times[:count]]


# Schedules that events trigger


def trigger_by_event(
    transaction: Transaction, id: str, key: str, events: Json, last: int
) -> list[str]:
    """Fire a schedule of kind `on` with `events` as its instance's input (an array: dsl.md, Input
    of event-driven scheduled workflows). Return the instances to send hints to.

    `key` identifies the cause: a repetition changes nothing. `last` is the greatest receipt number
    of the events: the instance hears the events after it, also if its start is queued. Raises
    `NotFound`.
    """
    row = schedule_queries.lock(transaction, id)
    if row is None:
        raise NotFound(f"there is no schedule {id}")
    if row.state != ACTIVE or firing_queries.is_recorded(transaction, id, key):
        return []
    overlap = plan_of(row).policy.overlap
    exclusive = overlap is not Overlap.ALLOW and row.last_instance_id is not None
    busy = exclusive and bool(
        schedule_queries.still_running(transaction, [row.last_instance_id or ""])
    )
    now = schedule_queries.now(transaction)
    decision = apply_overlap([Due(now, now)], overlap, busy=busy, queued=row.waits_for_end)
    if decision.replace:
        firing_queries.drop_queued(transaction, [id], SkipReason.OVERLAP)
    (result,) = decision.results
    made = _firing_now(
        transaction, row, reason="event", key=key, input=events,
        outcome=result.outcome, skip_reason=result.skip_reason, heard_from=last,
    )  # fmt: skip
    instance = made.row.instance_id
    waiting = row.waits_for_end or result.outcome is FiringOutcome.QUEUED
    changed = replace(row, last_instance_id=instance or row.last_instance_id, waits_for_end=waiting)
    schedule_queries.save(transaction, [changed])
    cancelled = [row.last_instance_id] if decision.cancel and row.last_instance_id else []
    cancel_open_instances(transaction, cancelled)
    timer_queries.announce(transaction)
    return [*([instance] if instance else []), *cancelled]


def _locked(transaction: Transaction, id: str) -> ScheduleRow:
    row = schedule_queries.lock(transaction, id)
    if row is None:
        raise NotFound(f"there is no schedule {id}")
    if row.state == STOPPED:
        raise Conflict(
            "the schedule is stopped: the newest version of its workflow does not have it"
        )
    return row


def _firing_now(transaction: Transaction, row: ScheduleRow, **about: Any) -> Firing:
    """Record and start a firing that is due now, or at the next microsecond without a firing."""
    now = due = schedule_queries.now(transaction)
    while True:
        recorded = record_firings(transaction, [new_firing(row, Due(due, due), now, **about)], now)
        if recorded:
            return recorded[0]
        due += timedelta(microseconds=1)
