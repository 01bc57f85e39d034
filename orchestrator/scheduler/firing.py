"""Fires the schedules that are due, and those whose instance has ended.

One transaction handles a portion of schedules: it locks them (each falls to one of the beats),
decides, notes the firings, starts the instances and says when the schedules are due next, all
of it or nothing. So each due time starts one instance, whatever dies in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from orchestrator.database import firings, schedules
from orchestrator.database.connection import Busy, Database
from orchestrator.database.schedules import ScheduleRow
from orchestrator.database.slices import Reader
from orchestrator.errors import DatabaseUnavailable
from orchestrator.log import get_logger
from orchestrator.scheduler.deciding import Admission, Due, Look, Outcome, Why, admit
from orchestrator.scheduler.policy import Kind, Overlap
from orchestrator.scheduler.starting import (
    Firing,
    cancel,
    firing,
    note,
    plan_of,
    rhythm_of,
    start,
)

log = get_logger(__name__)

#: Schedules that one transaction handles at most.
PORTION = 50

#: For how long a schedule that cannot fire stands back, in s.
STAND_BACK = 30.0

Claim = Callable[[Reader, int, str | None], Sequence[ScheduleRow]]
Act = Callable[[Reader, Sequence[ScheduleRow]], list[str]]


@dataclass(frozen=True, slots=True)
class Fired:
    """How many schedules were handled, and the instances to be hinted."""

    schedules: int
    hints: list[str]


def fire(database: Database, limit: int = PORTION) -> Fired:
    """Fire up to `limit` schedules that are due."""
    return _all_or_each(database, schedules.due, limit, _fire)


def settle(database: Database, limit: int = PORTION) -> Fired:
    """Go on with up to `limit` schedules whose instance has ended: start what is queued, or
    say when the next run is due."""
    return _all_or_each(database, schedules.ready, limit, _settle)


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
    except (DatabaseUnavailable, Busy):
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
    except (DatabaseUnavailable, Busy):
        raise
    except Exception:
        log.exception("A schedule cannot fire", action="schedule_failed", schedule=id)
        schedules.put_off(database, id, STAND_BACK)
        return []


@dataclass(slots=True)
class _Round:
    """What a transaction is going to write, gathered schedule by schedule."""

    now: datetime
    running: set[str]
    firings: list[Firing] = field(default_factory=list)
    rows: list[ScheduleRow] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)

    def take(self, row: ScheduleRow) -> None:
        """Decide about one schedule."""
        look = _look(row, self.now)
        policy = plan_of(row).policy
        busy = row.last_instance in self.running
        queued = row.waiting and row.kind != Kind.AFTER
        admission = admit(look.fire, policy.overlap, busy=busy, queued=queued)
        made = [
            firing(row, one.due, self.now, outcome=one.outcome, why=one.why)
            for one in admission.admitted
        ]
        if look.missed is not None:
            missed = firing(row, look.missed, self.now, outcome=Outcome.SKIPPED, why=Why.MISSED)
            made.insert(0, missed)
        self.firings += made
        self._stop(row, admission)
        self.rows.append(_after(row, look, made))

    def _stop(self, row: ScheduleRow, admission: Admission) -> None:
        if admission.cancel and row.last_instance is not None:
            self.cancelled.append(row.last_instance)
        if admission.replace:
            self.replaced.append(row.id)


def _look(row: ScheduleRow, now: datetime) -> Look:
    rhythm = rhythm_of(row)
    if row.next_due is None or row.next_at is None:
        return Look((), None, None)
    if rhythm is None:  # `after`: due once, then again after the end of what it started
        return Look((Due(row.next_due, row.next_at),), None, None)
    return rhythm.look(row.next_due, now)


def _after(row: ScheduleRow, look: Look, made: Sequence[Firing]) -> ScheduleRow:
    """When the schedule is due next, and whether it waits for what it has started."""
    queued = any(one.row.outcome == Outcome.QUEUED for one in made)
    return replace(
        row,
        next_due=look.next.due if look.next else None,
        next_at=look.next.planned if look.next else None,
        waiting=row.waiting or queued or row.kind == Kind.AFTER,
    )


def _fire(cursor: Reader, rows: Sequence[ScheduleRow]) -> list[str]:
    # The clock is read after the locks: nothing fires early, whoever waited for whom.
    now = schedules.now(cursor)
    exclusive = [row for row in rows if plan_of(row).policy.overlap is not Overlap.ALLOW]
    last = {row.last_instance for row in exclusive if row.last_instance}
    found = _Round(now, schedules.running(cursor, last))
    for row in rows:
        found.take(row)
    firings.drop_queued(cursor, found.replaced, Why.OVERLAP)
    noted = [one.row for one in note(cursor, found.firings, now)]
    begun = {row.schedule_id: row.instance_id for row in noted if row.instance_id}
    cancel(cursor, found.cancelled)
    schedules.save(
        cursor,
        [replace(row, last_instance=begun.get(row.id, row.last_instance)) for row in found.rows],
    )
    return [*(row.instance_id for row in noted if row.instance_id), *found.cancelled]


def _settle(cursor: Reader, rows: Sequence[ScheduleRow]) -> list[str]:
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
            made = _begun(row, waiting, now)
            started.append(made)
            more = more or row.kind == Kind.AFTER
            changed.append(replace(row, last_instance=made.row.instance_id, waiting=more))
        else:
            changed.append(_rested(row, ends.get(row.last_instance or "", now)))
    firings.start(cursor, [one.row for one in started])
    start(cursor, started, now)
    schedules.save(cursor, changed)
    return [one.row.instance_id for one in started if one.row.instance_id]


def _begun(row: ScheduleRow, waiting: firings.FiringRow, now: datetime) -> Firing:
    due = Due(waiting.due, waiting.planned_at, waiting.since)
    made = firing(row, due, now, reason=waiting.reason)
    return replace(made, row=replace(made.row, input=waiting.input, heard_from=waiting.heard_from))


def _rested(row: ScheduleRow, ended: datetime) -> ScheduleRow:
    """Nothing is queued: an `after` is due after the end, anything else waits for nothing."""
    if row.kind != Kind.AFTER:
        return replace(row, waiting=False)
    due = ended + timedelta(seconds=plan_of(row).timing["after"])
    return replace(row, waiting=False, next_due=due, next_at=due)
