"""Declares attempts lost whose worker is silent or does not have them in flight any more.

An attempt is alive while its worker's heartbeat counter changes and the heartbeat names it. Time
is this process's monotonic clock, starting at the first check. So a stepped clock, or a database
outage in which no worker can send heartbeats, expires no lease.

Only watched time counts. If the watchdog was stopped, or an outage that another job met kept it
from checking, it must not take its own absence for the workers' silence: of the time between two
checks it counts at most one heartbeat interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator import clock
from orchestrator.database.workers.worker_queries import ClaimedAttemptRow
from orchestrator.error_handler.loss_reasons import LEASE_EXPIRED
from orchestrator.errors import ERROR_TYPES, DatabaseUnavailable
from orchestrator.log import get_logger
from orchestrator.metrics import catalog as metrics
from orchestrator.scheduler.maintenance_store import MaintenanceStore
from orchestrator.state_manager import StateManager

log = get_logger(__name__)

#: Longest time that counts between two checks, as a share of the lease: the interval of heartbeats.
MAX_GAP_SHARE = 1 / 3
#: Longest and shortest time between two checks, as shares of the lease. A late check delays the
#: recovery of a lost attempt by as much.
MAX_INTERVAL_SHARE, MIN_INTERVAL_SHARE = 1 / 20, 1 / 200
#: Time between two reports of the same lost attempt, as a share of the lease.
REDECLARE_SHARE = 1 / 10


@dataclass(frozen=True, slots=True)
class LeaseSign:
    """The last sign of life of a claimed attempt: the heartbeat's counter and when it was seen.
    `declared_at`: when the attempt was last declared lost. Both times are in seconds of watched
    time. `unwatched`: the seconds that the watchdog had missed by then."""

    heartbeat_count: int | None
    seen_at: float
    declared_at: float | None = None
    unwatched: float = 0.0


class LeaseWatchdog:
    """Checks every claimed attempt. After one lease without a sign of life it is lost."""

    def __init__(
        self,
        store: MaintenanceStore,
        state: StateManager,
        lease: float,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        self._store = store
        self._state = state
        self._lease = lease
        self._monotonic = monotonic
        self._signs: dict[str, LeaseSign] = {}
        self._checked_at = monotonic()
        self._watched = 0.0
        self._unwatched = 0.0

    def check(self) -> int:
        """Check all claimed attempts. Return how many were declared lost.

        Raises `DatabaseUnavailable`.
        """
        before = self._advance_watched_time()
        try:
            claimed = self._store.claimed()
        except DatabaseUnavailable:
            self._signs.clear()  # no worker could send a heartbeat: all leases start again
            raise
        after = self._advance_watched_time()  # not earlier than any heartbeat in the rows
        self._signs = {row.attempt: self._sign(row, after) for row in claimed}
        silent = [row for row in claimed if before > self._due(self._signs[row.attempt])]
        for row in silent:
            self._declare_lost(row, before)
        return len(silent)

    def _due(self, sign: LeaseSign) -> float:
        """Return when to declare the attempt lost. While the report is not applied it is repeated,
        because its hint may be lost."""
        if sign.declared_at is None:
            return sign.seen_at + self._lease
        return sign.declared_at + self._lease * REDECLARE_SHARE

    def until_next(self) -> float:
        """Return the seconds until the next check: early enough to see new claims soon, and at
        once when the first lease can have expired."""
        longest = self._watched + self._lease * MAX_INTERVAL_SHARE
        due = min([longest, *map(self._due, self._signs.values())])
        return max(0.0, due - self._watched) + self._lease * MIN_INTERVAL_SHARE

    def _advance_watched_time(self) -> float:
        """Return the seconds of watched time so far."""
        now = self._monotonic()
        passed = now - self._checked_at
        counts = min(passed, self._lease * MAX_GAP_SHARE)
        self._watched += counts
        self._unwatched += passed - counts
        self._checked_at = now
        return self._watched

    def _sign(self, claimed: ClaimedAttemptRow, now: float) -> LeaseSign:
        sign = self._signs.get(claimed.attempt)
        if sign is None or (
            claimed.in_flight and claimed.heartbeat_count not in (None, sign.heartbeat_count)
        ):
            return LeaseSign(claimed.heartbeat_count, now, unwatched=self._unwatched)
        return sign

    def _declare_lost(self, claimed: ClaimedAttemptRow, now: float) -> None:
        sign = self._signs[claimed.attempt]
        if sign.declared_at is None:
            self._state.meter.count(metrics.LEASES_EXPIRED)
            log.warning(
                "An attempt's lease expired: it is declared lost",
                action="attempt_lost",
                attempt=claimed.attempt,
                instance=claimed.instance,
                step=claimed.step,
                worker=claimed.worker,
                # The seconds between the end of the lease and this check. A large number means that
                # this beat checked late.
                delay_seconds=round(now - self._due(sign), 3),
                unwatched=round(self._unwatched - sign.unwatched, 3),
            )
        self._signs[claimed.attempt] = replace(sign, declared_at=now)
        self._state.report_lost_attempt(claimed.attempt, claimed.instance, claimed.step, LOST)


LOST = {
    "type": ERROR_TYPES + "runtime",
    "status": 500,
    "title": "Attempt lost",
    "detail": LEASE_EXPIRED,
}
