"""Declares attempts lost whose worker has gone silent, or no longer has them in hand.

The evidence of life is a heartbeat's counter, seen to change, that names the attempt as held.
Time is this process's own monotonic clock, from the first look on: a stepped clock or an
outage of the database, in which nobody can beat, expires nobody (DESIGN, Leases).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from orchestrator.database.workers import Claimed
from orchestrator.errors import ERROR_TYPES, DatabaseUnavailable
from orchestrator.scheduler.upkeep import Upkeep
from orchestrator.state_manager import StateManager

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sign:
    """The last sign of life of a claimed attempt: the beat that held it, and when it was seen."""

    beat: int | None
    seen: float


class Watchdog:
    """Looks at every claimed attempt; one lease without a sign of life, and it is lost."""

    def __init__(
        self,
        upkeep: Upkeep,
        state: StateManager,
        lease: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upkeep = upkeep
        self._state = state
        self._lease = lease
        self._monotonic = monotonic
        self._signs: dict[str, Sign] = {}

    def look(self) -> int:
        """One round; returns how many attempts it declared lost."""
        try:
            claimed = self._upkeep.claimed()
        except DatabaseUnavailable:
            self._signs.clear()  # nobody could beat: every lease is counted anew
            raise
        now = self._monotonic()
        self._signs = {one.attempt: self._sign(one, now) for one in claimed}
        silent = [one for one in claimed if now - self._signs[one.attempt].seen > self._lease]
        for one in silent:
            self._lose(one)
        return len(silent)

    def _sign(self, claimed: Claimed, now: float) -> Sign:
        known = self._signs.get(claimed.attempt)
        if known is None or (claimed.held and claimed.beat not in (None, known.beat)):
            return Sign(claimed.beat, now)
        return known

    def _lose(self, claimed: Claimed) -> None:
        log.warning(
            "An attempt's lease ran out",
            action="attempt_lost",
            attempt=claimed.attempt,
            instance=claimed.instance,
            step=claimed.step,
            worker=claimed.worker,
        )
        self._state.lose_attempt(claimed.attempt, claimed.instance, claimed.step, LOST)


LOST = {
    "type": ERROR_TYPES + "runtime",
    "status": 500,
    "title": "Attempt lost",
    "detail": "the worker that ran the step gave no sign of life for one lease",
}
