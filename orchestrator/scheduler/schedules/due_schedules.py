"""Fires the schedules that are due, and continues those whose instance has ended.

One transaction handles a batch of schedules: it locks them (each goes to one beat), decides,
records the firings, starts the instances and stores the next due times. So each due time starts
one instance, even if a process dies in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from orchestrator.database.connection.database import Database, LockTimeout, Transaction
from orchestrator.database.schedules import firing_queries as firings
from orchestrator.database.schedules import schedule_queries as schedules
from orchestrator.database.schedules.schedule_queries import ScheduleRow
from orchestrator.errors import DatabaseUnavailable
from orchestrator.log import get_logger
from orchestrator.scheduler.schedules.firing_policy import (
    Due,
    FiringDecision,
    FiringOutcome,
    OverlapDecision,
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
    start,
)
from orchestrator.scheduler.schedules.policy_options import Overlap, ScheduleKind

log = get_logger(__name__)

#: Largest number of schedules in one transaction.
BATCH = 50

#: Seconds until the next try of a schedule that failed to fire.
FAILURE_DELAY = 30.0

Claim = Callable[[Transaction, int, str | None], Sequence[ScheduleRow]]
Act = Callable[[Transaction, Sequence[ScheduleRow]], list[str]]


@dataclass(frozen=True, slots=True)
class FiredSchedules:
    """How many schedules were handled, and the instances to send hints to."""

    schedules: int
    instances_to_hint: list[str]


def fire(database: Database, limit: int = BATCH) -> FiredSchedules:
    """Fire up to `limit` schedules that are due."""
    return _all_or_each(database, schedules.lock_due, limit, _fire)


def continue_schedules(database: Database, limit: int = BATCH) -> FiredSchedules:
    """Continue up to `limit` schedules whose instance has ended: start the queued due time, or
    compute the next one of an `after`."""
    return _all_or_each(database, schedules.lock_continuable, limit, _continue)


def _all_or_each(database: Database, claim: Claim, limit: int, act: Act) -> FiredSchedules:
    """Handle all claimed schedules in one transaction. If that fails, handle each in its own, so
    that one bad schedule does not block the others."""
    claimed: list[str] = []
    try:
        with database.transaction() as transaction:
            rows = claim(transaction, limit, None)
            claimed = [row.id for row in rows]
            hints = act(transaction, rows) if rows else []
        return FiredSchedules(len(rows), hints)
    except (DatabaseUnavailable, LockTimeout):
        raise
    except Exception:
        if not claimed:
            raise
        log.exception("Schedules failed together", action="schedules_failed", count=len(claimed))
    hints = [instance for id in claimed for instance in _handle_one(database, claim, id, act)]
    return FiredSchedules(len(claimed), hints)


def _handle_one(database: Database, claim: Claim, id: str, act: Act) -> list[str]:
    try:
        with database.transaction() as transaction:
            rows = claim(transaction, 1, id)
            return act(transaction, rows) if rows else []
    except (DatabaseUnavailable, LockTimeout):
        raise
    except Exception:
        log.exception("A schedule failed to fire", action="schedule_failed", schedule=id)
        schedules.postpone(database, id, FAILURE_DELAY)
        return []


@dataclass(slots=True)
class _FiringBatch:
    """The changes that a transaction will write, collected per schedule."""

    now: datetime
    running: set[str]
    firings: list[Firing] = field(default_factory=list)
    rows: list[ScheduleRow] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)

    def add(self, row: ScheduleRow) -> None:
        """Decide about one schedule."""
        decision = _decide(row, self.now)
        policy = plan_of(row).policy
        busy = row.last_instance_id in self.running
        queued = row.waits_for_end and row.kind != ScheduleKind.AFTER
        overlap = apply_overlap(decision.fire, policy.overlap, busy=busy, queued=queued)
        made = [
            new_firing(
                row,
                result.due,
                self.now,
                outcome=result.outcome,
                skip_reason=result.skip_reason,
            )
            for result in overlap.results
        ]
        if decision.missed is not None:
            missed = new_firing(
                row,
                decision.missed,
                self.now,
                outcome=FiringOutcome.SKIPPED,
                skip_reason=SkipReason.MISSED,
            )
            made.insert(0, missed)
        self.firings += made
        self._stop(row, overlap)
        self.rows.append(_with_next(row, decision, made))

    def _stop(self, row: ScheduleRow, overlap: OverlapDecision) -> None:
        if overlap.cancel and row.last_instance_id is not None:
            self.cancelled.append(row.last_instance_id)
        if overlap.replace:
            self.replaced.append(row.id)


def _decide(row: ScheduleRow, now: datetime) -> FiringDecision:
    due_times = due_times_of(row)
    if row.next_due is None or row.next_fire_at is None:
        return FiringDecision((), None, None)
    if due_times is None:  # `after`: due once, then again after the end of what it started
        return FiringDecision((Due(row.next_due, row.next_fire_at),), None, None)
    return due_times.decide(row.next_due, now)


def _with_next(row: ScheduleRow, decision: FiringDecision, made: Sequence[Firing]) -> ScheduleRow:
    """Return the schedule with its next due time, and whether it waits for the instance that it
    has started."""
    queued = any(firing.row.outcome == FiringOutcome.QUEUED for firing in made)
    return replace(
        row,
        next_due=decision.next.due if decision.next else None,
        next_fire_at=decision.next.fires_at if decision.next else None,
        waits_for_end=row.waits_for_end or queued or row.kind == ScheduleKind.AFTER,
    )


def _fire(transaction: Transaction, rows: Sequence[ScheduleRow]) -> list[str]:
    # Read the clock only now, after this transaction has locked the schedules. If it was read
    # before, a transaction that waits for a lock would decide by an old time.
    now = schedules.now(transaction)
    exclusive = [row for row in rows if plan_of(row).policy.overlap is not Overlap.ALLOW]
    last = {row.last_instance_id for row in exclusive if row.last_instance_id}
    batch = _FiringBatch(now, schedules.still_running(transaction, last))
    for row in rows:
        batch.add(row)
    firings.drop_queued(transaction, batch.replaced, SkipReason.OVERLAP)
    recorded = [firing.row for firing in record_firings(transaction, batch.firings, now)]
    started = {row.schedule_id: row.instance_id for row in recorded if row.instance_id}
    cancel_open_instances(transaction, batch.cancelled)
    schedules.save(
        transaction,
        [
            replace(row, last_instance_id=started.get(row.id, row.last_instance_id))
            for row in batch.rows
        ],
    )
    return [*(row.instance_id for row in recorded if row.instance_id), *batch.cancelled]


def _continue(transaction: Transaction, rows: Sequence[ScheduleRow]) -> list[str]:
    now = schedules.now(transaction)
    last = {row.last_instance_id for row in rows if row.last_instance_id}
    running, ends = (
        schedules.still_running(transaction, last),
        schedules.end_times(transaction, last),
    )
    free = [row for row in rows if row.last_instance_id not in running]
    queued = {
        row.schedule_id: (row, more)
        for row, more in firings.queued(transaction, [row.id for row in free])
    }
    started: list[Firing] = []
    changed: list[ScheduleRow] = []
    for row in free:
        if row.id in queued:
            waiting, more = queued[row.id]
            made = _started(row, waiting, now)
            started.append(made)
            more = more or row.kind == ScheduleKind.AFTER
            changed.append(replace(row, last_instance_id=made.row.instance_id, waits_for_end=more))
        else:
            changed.append(_not_waiting(row, ends.get(row.last_instance_id or "", now)))
    firings.start(transaction, [one.row for one in started])
    start(transaction, started, now)
    schedules.save(transaction, changed)
    return [one.row.instance_id for one in started if one.row.instance_id]


def _started(row: ScheduleRow, waiting: firings.FiringRow, now: datetime) -> Firing:
    due = Due(waiting.due, waiting.fires_at, waiting.missed_since)
    made = new_firing(row, due, now, reason=waiting.reason)
    return replace(made, row=replace(made.row, input=waiting.input, heard_from=waiting.heard_from))


def _not_waiting(row: ScheduleRow, ended: datetime) -> ScheduleRow:
    """Return a schedule without a queued due time. An `after` is due its time after the end; other
    kinds wait no longer."""
    if row.kind != ScheduleKind.AFTER:
        return replace(row, waits_for_end=False)
    due = ended + timedelta(seconds=plan_of(row).timing["after"])
    return replace(row, waits_for_end=False, next_due=due, next_fire_at=due)
