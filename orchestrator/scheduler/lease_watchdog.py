"""Declares attempts lost whose worker has gone silent, or no longer has them in hand.

The evidence of life is a heartbeat's counter, seen to change, that names the attempt as held.
Time is this process's own monotonic clock, from the first look on: a stepped clock or an
outage of the database, in which nobody can beat, expires nobody (DESIGN, Leases).

Only time in which the watchdog looked counts. One that was stopped, or kept from the database
by an outage that others of the beat's chores met first, must not take its own absence for the
workers': of the time between two looks it counts what a worker takes for one beat at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator import clock
from orchestrator.database.workers.worker_queries import ClaimedAttemptRow
from orchestrator.errors import ERROR_TYPES, DatabaseUnavailable
from orchestrator.log import get_logger
from orchestrator.metrics import catalog as metrics
from orchestrator.scheduler.maintenance_store import MaintenanceStore
from orchestrator.state_manager import StateManager

log = get_logger(__name__)

#: The share of a lease that may pass unseen: workers beat as often.
MAX_GAP_SHARE = 1 / 3
#: Between two looks, of a lease: at most, and at least. What a look comes late, a step whose
#: worker died waits longer.
MAX_INTERVAL_SHARE, MIN_INTERVAL_SHARE = 1 / 20, 1 / 200
#: Between two declarations of the same loss, of a lease.
REDECLARE_SHARE = 1 / 10


@dataclass(frozen=True, slots=True)
class LeaseSign:
    """The last sign of life of a claimed attempt: the beat that held it, and when it was seen;
    and when it was last declared lost (in seconds of watching). `unwatched`: how many seconds
    the watchdog had missed by then."""

    beat: int | None
    seen_at: float
    declared_at: float | None = None
    unwatched: float = 0.0


class LeaseWatchdog:
    """Looks at every claimed attempt; one lease without a sign of life, and it is lost."""

    def __init__(
        self,
        upkeep: MaintenanceStore,
        state: StateManager,
        lease: float,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        self._upkeep = upkeep
        self._state = state
        self._lease = lease
        self._monotonic = monotonic
        self._signs: dict[str, LeaseSign] = {}
        self._looked = monotonic()
        self._counted = 0.0
        self._unwatched = 0.0

    def check(self) -> int:
        """One round; returns how many attempts it declared lost."""
        asked = self._elapsed()
        try:
            claimed = self._upkeep.claimed()
        except DatabaseUnavailable:
            self._signs.clear()  # nobody could beat: every lease is counted anew
            raise
        answered = self._elapsed()  # never before the signs that the answer tells of
        self._signs = {one.attempt: self._sign(one, answered) for one in claimed}
        silent = [one for one in claimed if asked > self._due(self._signs[one.attempt])]
        for one in silent:
            self._declare_lost(one, asked)
        return len(silent)

    def _due(self, sign: LeaseSign) -> float:
        """When the attempt is to be declared lost: for want of a sign, and again for as long as
        nobody has brought that, lest its hint was lost."""
        if sign.declared_at is None:
            return sign.seen_at + self._lease
        return sign.declared_at + self._lease * REDECLARE_SHARE

    def until_next(self) -> float:
        """Seconds until it is worth looking again: soon, so that a claim is known while it is
        young; at once when the first lease can have run out."""
        longest = self._counted + self._lease * MAX_INTERVAL_SHARE
        due = min([longest, *map(self._due, self._signs.values())])
        return max(0.0, due - self._counted) + self._lease * MIN_INTERVAL_SHARE

    def _elapsed(self) -> float:
        """Seconds of watching so far."""
        now = self._monotonic()
        passed = now - self._looked
        counts = min(passed, self._lease * MAX_GAP_SHARE)
        self._counted += counts
        self._unwatched += passed - counts
        self._looked = now
        return self._counted

    def _sign(self, claimed: ClaimedAttemptRow, now: float) -> LeaseSign:
        known = self._signs.get(claimed.attempt)
        if known is None or (
            claimed.in_flight and claimed.heartbeat_count not in (None, known.beat)
        ):
            return LeaseSign(claimed.heartbeat_count, now, unwatched=self._unwatched)
        return known

    def _declare_lost(self, claimed: ClaimedAttemptRow, now: float) -> None:
        sign = self._signs[claimed.attempt]
        if sign.declared_at is None:
            self._state.meter.count(metrics.LEASES_EXPIRED)
            log.warning(
                "An attempt's lease ran out",
                action="attempt_lost",
                attempt=claimed.attempt,
                instance=claimed.instance,
                step=claimed.step,
                worker=claimed.worker,
                # Whether a loss was declared late because this beat looked late.
                late=round(now - self._due(sign), 3),
                unwatched=round(self._unwatched - sign.unwatched, 3),
            )
        self._signs[claimed.attempt] = replace(sign, declared_at=now)
        self._state.report_lost_attempt(claimed.attempt, claimed.instance, claimed.step, LOST)


LOST = {
    "type": ERROR_TYPES + "runtime",
    "status": 500,
    "title": "Attempt lost",
    "detail": "the worker that ran the step gave no sign of life for one lease",
}
