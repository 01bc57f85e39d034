"""What is done to schedules from outside: deployments make and stop them, people pause them,
trigger them and catch up on them, events make them due.

Every function works in the transaction that it is given, and tells the beats, who hear of it
when that transaction commits. What it returns as instances is to be hinted then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from orchestrator import json_codec
from orchestrator.core.model import Json
from orchestrator.database.connection.database import Transaction
from orchestrator.database.schedules import firing_queries, schedule_queries, timer_queries
from orchestrator.database.schedules.schedule_queries import ScheduleRow
from orchestrator.errors import Conflict, NotFound, OrchestratorError
from orchestrator.ids import new_id
from orchestrator.scheduler.schedules.firing_policy import Due, Outcome, SkipReason, apply_overlap
from orchestrator.scheduler.schedules.firing_record import (
    Firing,
    cancel,
    due_times_of,
    firing,
    plan_of,
    record_firings,
)
from orchestrator.scheduler.schedules.policy_options import (
    Overlap,
    Plan,
    ScheduleKind,
    plans,
    stored_policy,
)
from orchestrator.scheduler.schedules.recurrence import between, following

#: Due times that one backfill takes at most.
MOST = 1000

ACTIVE, PAUSED, STOPPED = "active", "paused", "stopped"


class TooMany(OrchestratorError):
    """The range has more due times than one backfill takes."""


# Deployments


def deployed(
    cursor: Transaction,
    workflow_id: str,
    namespace: str,
    name: str,
    version: str,
    document: Mapping[str, Any],
    shortest: float = 0.0,
) -> None:
    """Let the schedules of a workflow follow the version that has been deployed, if it is the
    newest: it takes over what it has, and stops what it has not. Repeating it is harmless.
    None of them fires more often than every `shortest` seconds.

    To be called in the transaction that puts the version in.
    """
    wanted = plans(document, shortest)
    standing = {row.kind: row for row in schedule_queries.lock_all(cursor, namespace, name)}
    if not (wanted or standing) or not schedule_queries.is_newest(cursor, workflow_id):
        return
    now = schedule_queries.now(cursor)
    policy = json_codec.dumps(stored_policy(document))
    for plan in wanted:
        known = standing.pop(plan.kind.value, None)
        fresh = ScheduleRow(
            id=known.id if known else new_id(),
            namespace=namespace,
            workflow=name,
            kind=plan.kind.value,
            state=known.state if known and known.state != STOPPED else ACTIVE,
            workflow_id=workflow_id,
            version=version,
            timing=json_codec.dumps(dict(plan.timing)),
            policy=policy,
            anchor=now,
        )
        if known is None:
            schedule_queries.put(cursor, _due_next(fresh, now))
        else:
            schedule_queries.save(cursor, [_carried_over(known, fresh, plan, now)])
            if known.state == STOPPED:
                schedule_queries.mark(cursor, known.id)
    _stop(cursor, [row for row in standing.values() if row.state != STOPPED])
    timer_queries.announce(cursor)


def _carried_over(known: ScheduleRow, fresh: ScheduleRow, plan: Plan, now: datetime) -> ScheduleRow:
    """The schedule under its new version: while its times are the same, they go on; a due
    time that has come and not been handled yet is not lost."""
    fresh = replace(fresh, last_instance=known.last_instance, waiting=known.waiting)
    if known.state == STOPPED or not _same_times(known, fresh, plan):
        return _due_next(fresh, now)
    kept = replace(fresh, anchor=known.anchor, next_due=known.next_due, next_at=known.next_at)
    rhythm = due_times_of(kept)
    if kept.next_due is None or rhythm is None:
        return kept
    return replace(kept, next_at=rhythm.due(kept.next_due).planned)


def _same_times(known: ScheduleRow, fresh: ScheduleRow, plan: Plan) -> bool:
    old, new = plan_of(known), plan_of(fresh)
    if json_codec.loads(known.timing) != json_codec.loads(fresh.timing):
        return False
    return plan.kind is not ScheduleKind.CRON or _clock(old) == _clock(new)


def _clock(plan: Plan) -> tuple[object, ...]:
    return plan.policy.timezone.key, plan.policy.missing, plan.policy.repeated


def _due_next(row: ScheduleRow, now: datetime) -> ScheduleRow:
    """The schedule with the first due time after `now`, if it is active."""
    rhythm = due_times_of(row)
    due: Due | None = None
    if row.state == ACTIVE and rhythm is not None:
        due = rhythm.next_after(now)
    elif row.state == ACTIVE and row.kind == ScheduleKind.AFTER and not row.waiting:
        at = now + timedelta(seconds=plan_of(row).timing["after"])
        due = Due(at, at)
    return replace(row, next_due=due.due if due else None, next_at=due.planned if due else None)


def lock_schedules(cursor: Transaction, workflow_ids: Sequence[str]) -> None:
    """Lock the schedules of versions that may be removed: to be called before anything else
    is locked, so that no beat waits for us while we wait for it."""
    schedule_queries.lock_of(cursor, workflow_ids)


def removed(cursor: Transaction, workflow_ids: Sequence[str]) -> None:
    """Stop the schedules of versions that are removed; to be called in their transaction.

    An older version does not take them over by itself: it does when it is deployed again.
    """
    _stop(cursor, schedule_queries.lock_of(cursor, workflow_ids))


def _stop(cursor: Transaction, rows: Sequence[ScheduleRow]) -> None:
    firing_queries.drop_queued(cursor, [row.id for row in rows], SkipReason.STOPPED)
    schedule_queries.save(
        cursor,
        [replace(row, state=STOPPED, next_due=None, next_at=None, waiting=False) for row in rows],
    )


# People


def pause(cursor: Transaction, id: str) -> ScheduleRow:
    """Let a schedule start nothing until it is resumed. Raises `NotFound`, `Conflict`."""
    row = _locked(cursor, id)
    paused = replace(row, state=PAUSED, next_due=None, next_at=None)
    schedule_queries.save(cursor, [paused])
    return paused


def resume(cursor: Transaction, id: str) -> ScheduleRow:
    """Let a schedule go on from now: what was due meanwhile is not made up for (`backfill`
    does that). Raises `NotFound`, `Conflict`."""
    row = _locked(cursor, id)
    if row.state == ACTIVE:
        return row
    resumed = _due_next(replace(row, state=ACTIVE), schedule_queries.now(cursor))
    schedule_queries.save(cursor, [resumed])
    schedule_queries.mark(cursor, id)
    timer_queries.announce(cursor)
    return resumed


def trigger(cursor: Transaction, id: str, by: str, given: Json = None) -> Firing:
    """Start an instance now, whatever the schedule's state and its policy for overlaps;
    `given` is its input in place of the policy's. Raises `NotFound`, `Conflict`."""
    row = _locked(cursor, id)
    made = _firing_now(cursor, row, reason="manual", by=by, given=given)
    after = row.kind == ScheduleKind.AFTER
    schedule_queries.save(
        cursor,
        [
            replace(
                row,
                last_instance=made.row.instance_id,
                waiting=row.waiting or after,
                next_due=None if after else row.next_due,
                next_at=None if after else row.next_at,
            )
        ],
    )
    return made


def backfill(
    cursor: Transaction, id: str, first: datetime, last: datetime, by: str
) -> list[Firing]:
    """Fire the due times from `first` to `last` that have not fired: they start now, or, where
    runs must not overlap, one after the other.

    Raises `NotFound`; `Conflict` where the schedule has no due times or the range is not over;
    `TooMany`.
    """
    row = _locked(cursor, id)
    rhythm = due_times_of(row)
    if rhythm is None:
        raise Conflict(f"a schedule of kind '{row.kind}' has no due times to go back to")
    now = schedule_queries.now(cursor)
    if last > now:
        raise Conflict("the range is not over yet")
    times = between(rhythm.recurrence, first, last, MOST + 1)
    if len(times) > MOST:
        raise TooMany(f"the range has more than {MOST} due times")
    queued = plan_of(row).policy.overlap is not Overlap.ALLOW
    outcome = Outcome.QUEUED if queued else Outcome.STARTED
    made = [
        firing(row, Due(at, at), now, outcome=outcome, reason="backfill", by=by) for at in times
    ]
    noted = record_firings(cursor, made, now, revive=True)
    if queued and noted:
        schedule_queries.save(cursor, [replace(row, waiting=True)])
        timer_queries.announce(cursor)
    return noted


def upcoming(row: ScheduleRow, now: datetime, count: int) -> list[Due]:
    """The next due times of a schedule that is not paused or stopped."""
    rhythm = due_times_of(row)
    if row.next_due is None or row.next_at is None:
        return []
    if rhythm is None:
        return [Due(row.next_due, row.next_at)][:count]
    first = [row.next_due] if row.next_due > now else []
    times = [*first, *islice(following(rhythm.recurrence, max(row.next_due, now)), count)]
    return [rhythm.due(at) for at in times[:count]]


# Events


def trigger_by_event(cursor: Transaction, id: str, key: str, events: Json, last: int) -> list[str]:
    """Events have made a schedule of kind `on` due, with `events` as its instance's input (an
    array: dsl.md, Input of event-driven scheduled workflows).

    `key` names the cause: the same one again changes nothing. `last` is the greatest number of
    the events: the instance hears what follows them, also where it has to wait. Returns the
    instances to be hinted. Raises `NotFound`.
    """
    row = schedule_queries.lock(cursor, id)
    if row is None:
        raise NotFound(f"there is no schedule {id}")
    if row.state != ACTIVE or firing_queries.has(cursor, id, key):
        return []
    overlap = plan_of(row).policy.overlap
    exclusive = overlap is not Overlap.ALLOW and row.last_instance is not None
    busy = exclusive and bool(schedule_queries.running(cursor, [row.last_instance or ""]))
    now = schedule_queries.now(cursor)
    admission = apply_overlap([Due(now, now)], overlap, busy=busy, queued=row.waiting)
    if admission.replace:
        firing_queries.drop_queued(cursor, [id], SkipReason.OVERLAP)
    (admitted,) = admission.admitted
    made = _firing_now(
        cursor, row, reason="event", key=key, given=events,
        outcome=admitted.outcome, why=admitted.why, heard_from=last,
    )  # fmt: skip
    instance = made.row.instance_id
    waiting = row.waiting or admitted.outcome is Outcome.QUEUED
    changed = replace(row, last_instance=instance or row.last_instance, waiting=waiting)
    schedule_queries.save(cursor, [changed])
    cancelled = [row.last_instance] if admission.cancel and row.last_instance else []
    cancel(cursor, cancelled)
    timer_queries.announce(cursor)
    return [*([instance] if instance else []), *cancelled]


def _locked(cursor: Transaction, id: str) -> ScheduleRow:
    row = schedule_queries.lock(cursor, id)
    if row is None:
        raise NotFound(f"there is no schedule {id}")
    if row.state == STOPPED:
        raise Conflict("the schedule is stopped: no version of its workflow has it any more")
    return row


def _firing_now(cursor: Transaction, row: ScheduleRow, **about: Any) -> Firing:
    """A firing that is due at this moment, or at the next that no other has."""
    now = due = schedule_queries.now(cursor)
    while True:
        noted = record_firings(cursor, [firing(row, Due(due, due), now, **about)], now)
        if noted:
            return noted[0]
        due += timedelta(microseconds=1)
