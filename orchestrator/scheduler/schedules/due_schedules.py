"""Fires the schedules that are due, and those whose instance has ended.

One transaction handles a portion of schedules: it locks them (each falls to one of the beats),
decides, notes the firings, starts the instances and says when the schedules are due next, all
of it or nothing. So each due time starts one instance, whatever dies in between.
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
    Outcome,
    OverlapDecision,
    SkipReason,
    apply_overlap,
)
from orchestrator.scheduler.schedules.firing_record import (
    Firing,
    cancel,
    due_times_of,
    firing,
    plan_of,
    record_firings,
    start,
)
from orchestrator.scheduler.schedules.policy_options import Overlap, ScheduleKind

log = get_logger(__name__)

#: Schedules that one transaction handles at most.
PORTION = 50

#: For how long a schedule that cannot fire stands back, in s.
FAILURE_DELAY = 30.0

Claim = Callable[[Transaction, int, str | None], Sequence[ScheduleRow]]
Act = Callable[[Transaction, Sequence[ScheduleRow]], list[str]]


@dataclass(frozen=True, slots=True)
class Fired:
    """How many schedules were handled, and the instances to be hinted."""

    schedules: int
    hints: list[str]


def fire(database: Database, limit: int = PORTION) -> Fired:
    """Fire up to `limit` schedules that are due."""
    return _all_or_each(database, schedules.lock_due, limit, _fire)


def continue_schedules(database: Database, limit: int = PORTION) -> Fired:
    """Go on with up to `limit` schedules whose instance has ended: start what is queued, or
    say when the next run is due."""
    return _all_or_each(database, schedules.lock_continuable, limit, _settle)


def _all_or_each(database: Database, claim: Claim, limit: int, act: Act) -> Fired:
    """All that is claimed in one transaction; where that fails, each for itself, so that one
    bad schedule holds up no other."""
    claimed: list[str] = []
    try:
        with database.transaction() as cursor:
            rows = claim(cursor, limit, None)
            claimed = [row.id for row in rows]
            hints = act(cursor, rows) if rows else []
        return Fired(len(rows), hints)
    except (DatabaseUnavailable, LockTimeout):
        raise
    except Exception:
        if not claimed:
            raise
        log.exception("Schedules failed together", action="schedules_failed", count=len(claimed))
    hints = [instance for id in claimed for instance in _one(database, claim, id, act)]
    return Fired(len(claimed), hints)


def _one(database: Database, claim: Claim, id: str, act: Act) -> list[str]:
    try:
        with database.transaction() as cursor:
            rows = claim(cursor, 1, id)
            return act(cursor, rows) if rows else []
    except (DatabaseUnavailable, LockTimeout):
        raise
    except Exception:
        log.exception("A schedule cannot fire", action="schedule_failed", schedule=id)
        schedules.postpone(database, id, FAILURE_DELAY)
        return []


@dataclass(slots=True)
class _FiringBatch:
    """What a transaction is going to write, gathered schedule by schedule."""

    now: datetime
    running: set[str]
    firings: list[Firing] = field(default_factory=list)
    rows: list[ScheduleRow] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)

    def add(self, row: ScheduleRow) -> None:
        """Decide about one schedule."""
        look = _look(row, self.now)
        policy = plan_of(row).policy
        busy = row.last_instance in self.running
        queued = row.waiting and row.kind != ScheduleKind.AFTER
        admission = apply_overlap(look.fire, policy.overlap, busy=busy, queued=queued)
        made = [
            firing(row, one.due, self.now, outcome=one.outcome, why=one.why)
            for one in admission.admitted
        ]
        if look.missed is not None:
            missed = firing(
                row, look.missed, self.now, outcome=Outcome.SKIPPED, why=SkipReason.MISSED
            )
            made.insert(0, missed)
        self.firings += made
        self._stop(row, admission)
        self.rows.append(_after(row, look, made))

    def _stop(self, row: ScheduleRow, admission: OverlapDecision) -> None:
        if admission.cancel and row.last_instance is not None:
            self.cancelled.append(row.last_instance)
        if admission.replace:
            self.replaced.append(row.id)


def _look(row: ScheduleRow, now: datetime) -> FiringDecision:
    rhythm = due_times_of(row)
    if row.next_due is None or row.next_at is None:
        return FiringDecision((), None, None)
    if rhythm is None:  # `after`: due once, then again after the end of what it started
        return FiringDecision((Due(row.next_due, row.next_at),), None, None)
    return rhythm.decide(row.next_due, now)


def _after(row: ScheduleRow, look: FiringDecision, made: Sequence[Firing]) -> ScheduleRow:
    """When the schedule is due next, and whether it waits for what it has started."""
    queued = any(one.row.outcome == Outcome.QUEUED for one in made)
    return replace(
        row,
        next_due=look.next.due if look.next else None,
        next_at=look.next.planned if look.next else None,
        waiting=row.waiting or queued or row.kind == ScheduleKind.AFTER,
    )


def _fire(cursor: Transaction, rows: Sequence[ScheduleRow]) -> list[str]:
    # The clock is read after the locks: nothing fires early, whoever waited for whom.
    now = schedules.now(cursor)
    exclusive = [row for row in rows if plan_of(row).policy.overlap is not Overlap.ALLOW]
    last = {row.last_instance for row in exclusive if row.last_instance}
    found = _FiringBatch(now, schedules.running(cursor, last))
    for row in rows:
        found.add(row)
    firings.drop_queued(cursor, found.replaced, SkipReason.OVERLAP)
    noted = [one.row for one in record_firings(cursor, found.firings, now)]
    begun = {row.schedule_id: row.instance_id for row in noted if row.instance_id}
    cancel(cursor, found.cancelled)
    schedules.save(
        cursor,
        [replace(row, last_instance=begun.get(row.id, row.last_instance)) for row in found.rows],
    )
    return [*(row.instance_id for row in noted if row.instance_id), *found.cancelled]


def _settle(cursor: Transaction, rows: Sequence[ScheduleRow]) -> list[str]:
    now = schedules.now(cursor)
    last = {row.last_instance for row in rows if row.last_instance}
    running, ends = schedules.running(cursor, last), schedules.ends(cursor, last)
    free = [row for row in rows if row.last_instance not in running]
    queued = {
        row.schedule_id: (row, more)
        for row, more in firings.queued(cursor, [row.id for row in free])
    }
    started: list[Firing] = []
    changed: list[ScheduleRow] = []
    for row in free:
        if row.id in queued:
            waiting, more = queued[row.id]
            made = _started(row, waiting, now)
            started.append(made)
            more = more or row.kind == ScheduleKind.AFTER
            changed.append(replace(row, last_instance=made.row.instance_id, waiting=more))
        else:
            changed.append(_not_waiting(row, ends.get(row.last_instance or "", now)))
    firings.start(cursor, [one.row for one in started])
    start(cursor, started, now)
    schedules.save(cursor, changed)
    return [one.row.instance_id for one in started if one.row.instance_id]


def _started(row: ScheduleRow, waiting: firings.FiringRow, now: datetime) -> Firing:
    due = Due(waiting.due, waiting.planned_at, waiting.since)
    made = firing(row, due, now, reason=waiting.reason)
    return replace(made, row=replace(made.row, input=waiting.input, heard_from=waiting.heard_from))


def _not_waiting(row: ScheduleRow, ended: datetime) -> ScheduleRow:
    """Nothing is queued: an `after` is due after the end, anything else waits for nothing."""
    if row.kind != ScheduleKind.AFTER:
        return replace(row, waiting=False)
    due = ended + timedelta(seconds=plan_of(row).timing["after"])
    return replace(row, waiting=False, next_due=due, next_at=due)
