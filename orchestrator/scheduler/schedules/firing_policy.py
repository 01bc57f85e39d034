"""Decides which due times fire, which are missed, and which must wait; pure.

One decision handles either all due times that were missed (by the policy `misfire`), or the next
due times that came in time, each of which the policy `overlap` starts, queues or skips. The
remaining ones follow at once in the next decision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice, takewhile

from orchestrator.scheduler.schedules.policy_options import Misfire, Overlap, SchedulePolicy
from orchestrator.scheduler.schedules.recurrence import Recurrence, following, preceding

#: Largest number of due times of one schedule in one decision.
MAX_FIRINGS = 100


class FiringOutcome(StrEnum):
    """The outcome of a due time."""

    STARTED = "started"
    QUEUED = "queued"
    SKIPPED = "skipped"


class SkipReason(StrEnum):
    """Why a due time did not fire."""

    MISSED = "missed"
    OVERLAP = "overlap"
    STOPPED = "stopped"  # it was queued when its schedule stopped


@dataclass(frozen=True, slots=True)
class Due:
    """A due time. It should fire at `fires_at`: `due` plus the jitter. `missed_since` is set if it
    represents all missed due times from then on."""

    due: datetime
    fires_at: datetime
    missed_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class FiringDecision:
    """`fire` are the due times to start, `missed` is skipped, `next` is the due time after them."""

    fire: tuple[Due, ...]
    missed: Due | None
    next: Due | None


@dataclass(frozen=True, slots=True)
class DueTimes:
    """The due times of one schedule, each delayed by its own share of the jitter."""

    schedule: str
    recurrence: Recurrence
    policy: SchedulePolicy

    def due(self, at: datetime, missed_since: datetime | None = None) -> Due:
        """Return a due time with its jitter. The jitter is the same in every process."""
        if not self.policy.jitter:
            return Due(at, at, missed_since)
        seed = hashlib.blake2b(f"{self.schedule} {at.isoformat()}".encode(), digest_size=8)
        share = int.from_bytes(seed.digest()) / 2**64
        return Due(at, at + timedelta(seconds=self.policy.jitter * share), missed_since)

    def next_after(self, time: datetime) -> Due | None:
        """Return the first due time after `time`."""
        at = self.recurrence.after(time)
        return None if at is None else self.due(at)

    def decide(self, first: datetime, now: datetime) -> FiringDecision:
        """Decide about the due times up to `now`. `first`: the first due time not yet handled."""
        horizon = now - timedelta(seconds=self.policy.grace + self.policy.jitter)
        missed = self.recurrence.until(horizon) if first <= horizon else None
        if missed is not None and missed >= first:
            return self._missed(first, missed)
        return self._in_time(first, now)

    def _in_time(self, first: datetime, now: datetime) -> FiringDecision:
        times = map(self.due, _from(self.recurrence, first))
        fire = tuple(islice(takewhile(lambda due: due.fires_at <= now, times), MAX_FIRINGS))
        return FiringDecision(
            fire, None, self.next_after(fire[-1].due) if fire else self.due(first)
        )

    def _missed(self, first: datetime, last: datetime) -> FiringDecision:
        following = self.next_after(last)
        missed_since = first if first < last else None
        if self.policy.misfire is Misfire.SKIP:
            return FiringDecision((), self.due(last, missed_since), following)
        if self.policy.misfire is Misfire.ONCE:
            return FiringDecision((self.due(last, missed_since),), None, following)
        times = takewhile(lambda at: at >= first, preceding(self.recurrence, last))
        newest = list(islice(times, self.policy.cap + 1))
        fire = tuple(self.due(at) for at in reversed(newest[: self.policy.cap]))
        if len(newest) <= self.policy.cap:
            return FiringDecision(fire, None, following)
        oldest = newest[-1]
        return FiringDecision(fire, self.due(oldest, first if first < oldest else None), following)


def _from(recurrence: Recurrence, first: datetime) -> Iterable[datetime]:
    yield first
    yield from following(recurrence, first)


@dataclass(frozen=True, slots=True)
class OverlapResult:
    """The outcome of one due time under the policy `overlap`."""

    due: Due
    outcome: FiringOutcome
    skip_reason: SkipReason | None = None


@dataclass(frozen=True, slots=True)
class OverlapDecision:
    """The outcomes of due times, and what happens to the open instance and the queued due time."""

    results: tuple[OverlapResult, ...]
    cancel: bool = False  # cancel the open instance
    replace: bool = False  # skip the queued due time; the new one replaces it


def apply_overlap(
    dues: Iterable[Due], overlap: Overlap, *, busy: bool, queued: bool
) -> OverlapDecision:
    """Apply the policy `overlap`. `busy`: the schedule's last instance is open; `queued`: a due
    time is already queued for its end."""
    dues = tuple(dues)
    if overlap is Overlap.ALLOW or not dues:
        return OverlapDecision(tuple(OverlapResult(due, FiringOutcome.STARTED) for due in dues))
    if overlap is Overlap.CANCEL:
        return _cancelling(dues, busy=busy, queued=queued)
    results = []
    for due in dues:
        if not busy and not queued:
            results.append(OverlapResult(due, FiringOutcome.STARTED))
            busy = True
        elif overlap is Overlap.QUEUE and not queued:
            results.append(OverlapResult(due, FiringOutcome.QUEUED))
            queued = True
        else:
            results.append(OverlapResult(due, FiringOutcome.SKIPPED, SkipReason.OVERLAP))
    return OverlapDecision(tuple(results))


def _cancelling(dues: tuple[Due, ...], *, busy: bool, queued: bool) -> OverlapDecision:
    """Keep only the newest due time: it cancels the open instance and starts after it."""
    older = tuple(
        OverlapResult(due, FiringOutcome.SKIPPED, SkipReason.OVERLAP) for due in dues[:-1]
    )
    waits = busy or queued
    newest = OverlapResult(dues[-1], FiringOutcome.QUEUED if waits else FiringOutcome.STARTED)
    return OverlapDecision((*older, newest), cancel=busy, replace=queued)
