"""What the beats ask of a database: the seam between their chores and Postgres, and between
those and the simulated database of the tests."""

# ruff: noqa: D102  (the protocol says it)

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from orchestrator.database import (
    attempts,
    due,
    firings,
    idempotency,
    processes,
    schedules,
    stimuli,
    timers,
    workers,
)
from orchestrator.database.attempts import Ready
from orchestrator.database.connection import Database
from orchestrator.database.stimuli import Late
from orchestrator.database.workers import Claimed
from orchestrator.metrics import Meter
from orchestrator.metrics import catalog as metrics
from orchestrator.scheduler import firing
from orchestrator.scheduler.firing import Fired

#: Entries that the ledger keeps of one schedule.
ENTRIES = 100_000
#: Rows that are forgotten at once.
PORTION = 5000


class Upkeep(Protocol):
    """All that the chores ask of a database. Every method may raise `DatabaseUnavailable`."""

    def fire_timers(self) -> Sequence[str]:
        """Turn a portion of the due timers into stimuli; the instances they belong to."""

    def fire_schedules(self) -> Fired:
        """Fire a portion of the due schedules."""

    def settle_schedules(self) -> Fired:
        """Go on with a portion of the schedules whose instance has ended."""

    def schedules_wait(self) -> float | None:
        """The shortest `after`, in s, of the schedules that wait for an end; None: none does."""

    def next_due(self) -> float | None:
        """Seconds until the next timer or schedule is due; None: there is none."""

    def at_rest(self) -> bool:
        """Whether there is nothing but timers and schedules to look after."""

    def claimed(self) -> Sequence[Claimed]:
        """Every claimed attempt, with the beat of its worker."""

    def lost_messages(self, patience: float) -> Sequence[Ready]:
        """Attempts whose message must be lost, stamped as published again."""

    def refused_messages(self, patience: float) -> Sequence[Ready]:
        """Attempts whose message was refused by a worker that can't run them, and that another
        one can, stamped as published."""

    def overdue(self, seconds: float, limit: int) -> Sequence[Late]:
        """Stimuli that have waited for so long, stamped as hinted; the newest first."""

    def waiting(self, notes: Sequence[int]) -> int:
        """How many of these stimuli still wait."""

    def bury(self) -> None:
        """Forget workers, APIs and beats that are long gone."""

    def forget(self, ledger: timedelta, answers: timedelta) -> bool | None:
        """Forget a portion of the firings and the answers to keyed requests of such an age;
        whether there is more."""


class PostgresUpkeep:
    """The `Upkeep` in Postgres."""

    def __init__(self, database: Database, meter: Meter | None = None) -> None:
        self._database = database
        self._meter = meter or Meter()

    def fire_timers(self) -> Sequence[str]:
        fired = timers.fire(self._database)
        for late in fired.latenesses:
            self._meter.observe(metrics.TIMER_LATENESS, late)
        return fired.instances

    def fire_schedules(self) -> Fired:
        fired = firing.fire(self._database)
        self._meter.count(metrics.SCHEDULES_FIRED, (), fired.schedules)
        return fired

    def settle_schedules(self) -> Fired:
        return firing.settle(self._database)

    def schedules_wait(self) -> float | None:
        return schedules.patience(self._database)

    def next_due(self) -> float | None:
        return due.next_due(self._database)

    def at_rest(self) -> bool:
        return due.at_rest(self._database)

    def claimed(self) -> Sequence[Claimed]:
        return workers.claimed(self._database)

    def lost_messages(self, patience: float) -> Sequence[Ready]:
        return attempts.to_publish_again(self._database, patience)

    def refused_messages(self, patience: float) -> Sequence[Ready]:
        return attempts.to_hand_on(self._database, patience)

    def overdue(self, seconds: float, limit: int) -> Sequence[Late]:
        return stimuli.overdue(self._database, seconds, limit)

    def waiting(self, notes: Sequence[int]) -> int:
        return stimuli.waiting(self._database, notes)

    def bury(self) -> None:
        workers.bury(self._database)
        processes.forget(self._database)

    def forget(self, ledger: timedelta, answers: timedelta) -> bool:
        entries = firings.forget(self._database, ledger, ENTRIES, PORTION)
        given = idempotency.forget(self._database, answers, PORTION)
        return max(entries, given) >= PORTION
