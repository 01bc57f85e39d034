"""Which due times fire, which are missed, which have to wait; pure.

A look at a schedule handles either the stretch of due times that were missed (the policy
`misfire` says what becomes of it) or the next few that came in time, each of which the policy
`overlap` admits, puts off or drops. What is left is for the next look, at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice, takewhile

from orchestrator.scheduler.schedules.policy_options import Misfire, Overlap, Policy
from orchestrator.scheduler.schedules.recurrence import Recurrence, following, preceding

#: Due times of one schedule that one look handles at most.
MAX_FIRINGS = 100


class Outcome(StrEnum):
    """What became of a due time."""

    STARTED = "started"
    QUEUED = "queued"
    SKIPPED = "skipped"


class SkipReason(StrEnum):
    """Why a due time did not fire."""

    MISSED = "missed"
    OVERLAP = "overlap"
    STOPPED = "stopped"  # it waited when its schedule stopped


@dataclass(frozen=True, slots=True)
class Due:
    """A due time. `planned` is when it should fire: `due` and the jitter. `since` is set
    where it stands for all the due times from then on that were missed."""

    due: datetime
    planned: datetime
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class FiringDecision:
    """What one look found: `fire` is due, `missed` is dropped, `next` comes then."""

    fire: tuple[Due, ...]
    missed: Due | None
    next: Due | None


@dataclass(frozen=True, slots=True)
class DueTimes:
    """The due times of one schedule, each put off by its own share of the jitter."""

    schedule: str
    recurrence: Recurrence
    policy: Policy

    def due(self, at: datetime, since: datetime | None = None) -> Due:
        """A due time with its jitter, which is the same whoever computes it."""
        if not self.policy.jitter:
            return Due(at, at, since)
        seed = hashlib.blake2b(f"{self.schedule} {at.isoformat()}".encode(), digest_size=8)
        share = int.from_bytes(seed.digest()) / 2**64
        return Due(at, at + timedelta(seconds=self.policy.jitter * share), since)

    def next_after(self, time: datetime) -> Due | None:
        """The first due time after `time`."""
        at = self.recurrence.after(time)
        return None if at is None else self.due(at)

    def decide(self, first: datetime, now: datetime) -> FiringDecision:
        """What has become due by `now`, `first` being the first due time not yet handled."""
        horizon = now - timedelta(seconds=self.policy.grace + self.policy.jitter)
        missed = self.recurrence.until(horizon) if first <= horizon else None
        if missed is not None and missed >= first:
            return self._missed(first, missed)
        return self._in_time(first, now)

    def _in_time(self, first: datetime, now: datetime) -> FiringDecision:
        times = map(self.due, _from(self.recurrence, first))
        fire = tuple(islice(takewhile(lambda one: one.planned <= now, times), MAX_FIRINGS))
        return FiringDecision(
            fire, None, self.next_after(fire[-1].due) if fire else self.due(first)
        )

    def _missed(self, first: datetime, last: datetime) -> FiringDecision:
        following = self.next_after(last)
        since = first if first < last else None
        if self.policy.misfire is Misfire.SKIP:
            return FiringDecision((), self.due(last, since), following)
        if self.policy.misfire is Misfire.ONCE:
            return FiringDecision((self.due(last, since),), None, following)
        times = takewhile(lambda at: at >= first, preceding(self.recurrence, last))
        newest = list(islice(times, self.policy.cap + 1))
        kept = tuple(self.due(at) for at in reversed(newest[: self.policy.cap]))
        if len(newest) <= self.policy.cap:
            return FiringDecision(kept, None, following)
        oldest = newest[-1]
        return FiringDecision(kept, self.due(oldest, first if first < oldest else None), following)


def _from(recurrence: Recurrence, first: datetime) -> Iterable[datetime]:
    yield first
    yield from following(recurrence, first)


@dataclass(frozen=True, slots=True)
class OverlapResult:
    """What becomes of a due time."""

    due: Due
    outcome: Outcome
    why: SkipReason | None = None


@dataclass(frozen=True, slots=True)
class OverlapDecision:
    """What becomes of some due times, of the instance that is open and of what is queued."""

    admitted: tuple[OverlapResult, ...]
    cancel: bool = False  # the open instance
    replace: bool = False  # what has been queued is dropped for the new


def apply_overlap(
    dues: Iterable[Due], overlap: Overlap, *, busy: bool, queued: bool
) -> OverlapDecision:
    """Apply the policy `overlap`. `busy`: the instance started before is open; `queued`: a due
    time waits for its end already."""
    given = tuple(dues)
    if overlap is Overlap.ALLOW or not given:
        return OverlapDecision(tuple(OverlapResult(due, Outcome.STARTED) for due in given))
    if overlap is Overlap.CANCEL:
        return _cancelling(given, busy=busy, queued=queued)
    found = []
    for due in given:
        if not busy and not queued:
            found.append(OverlapResult(due, Outcome.STARTED))
            busy = True
        elif overlap is Overlap.QUEUE and not queued:
            found.append(OverlapResult(due, Outcome.QUEUED))
            queued = True
        else:
            found.append(OverlapResult(due, Outcome.SKIPPED, SkipReason.OVERLAP))
    return OverlapDecision(tuple(found))


def _cancelling(dues: tuple[Due, ...], *, busy: bool, queued: bool) -> OverlapDecision:
    """Only the newest counts."""
    older = tuple(OverlapResult(due, Outcome.SKIPPED, SkipReason.OVERLAP) for due in dues[:-1])
    waits = busy or queued
    newest = OverlapResult(dues[-1], Outcome.QUEUED if waits else Outcome.STARTED)
    return OverlapDecision((*older, newest), cancel=busy, replace=queued)
