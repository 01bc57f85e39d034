"""What the beats ask of a database: the seam between their chores and Postgres, and between
those and the simulated database of the tests."""

# ruff: noqa: D102  (the protocol says it)

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from orchestrator.database.access import idempotency_queries
from orchestrator.database.connection.database import Database
from orchestrator.database.schedules import (
    firing_queries,
    idle_check,
    schedule_queries,
    timer_queries,
)
from orchestrator.database.transitions import inbox_queries
from orchestrator.database.transitions.inbox_queries import OverdueStimulus
from orchestrator.database.workers import process_queries, unclaimed_attempts, worker_queries
from orchestrator.database.workers.unclaimed_attempts import PublishableAttempt
from orchestrator.database.workers.worker_queries import ClaimedAttemptRow
from orchestrator.metrics import Meter
from orchestrator.metrics import catalog as metrics
from orchestrator.scheduler.schedules import due_schedules
from orchestrator.scheduler.schedules.due_schedules import Fired

#: Entries that the ledger keeps of one schedule.
ENTRIES = 100_000
#: Rows that are forgotten at once.
PORTION = 5000


class MaintenanceStore(Protocol):
    """All that the chores ask of a database. Every method may raise `DatabaseUnavailable`."""

    def fire_timers(self) -> Sequence[str]:
        """Turn a portion of the due timers into stimuli; the instances they belong to."""

    def fire_schedules(self) -> Fired:
        """Fire a portion of the due schedules."""

    def continue_schedules(self) -> Fired:
        """Go on with a portion of the schedules whose instance has ended."""

    def shortest_wait(self) -> float | None:
        """The shortest `after`, in s, of the schedules that wait for an end; None: none does."""

    def next_due(self) -> float | None:
        """Seconds until the next timer or schedule is due; None: there is none."""

    def is_idle(self) -> bool:
        """Whether there is nothing but timers and schedules to look after."""

    def claimed(self) -> Sequence[ClaimedAttemptRow]:
        """Every claimed attempt, with the beat of its worker."""

    def lost_messages(self, patience: float) -> Sequence[PublishableAttempt]:
        """Attempts whose message must be lost, stamped as published again."""

    def refused_messages(self, patience: float) -> Sequence[PublishableAttempt]:
        """Attempts whose message was refused by a worker that can't run them, and that another
        one can, stamped as published."""

    def overdue_stimuli(self, seconds: float, limit: int) -> Sequence[OverdueStimulus]:
        """Stimuli that have waited for so long, stamped as hinted; the newest first."""

    def count_pending(self, notes: Sequence[int]) -> int:
        """How many of these stimuli still wait."""

    def purge_workers(self) -> None:
        """Forget workers, APIs and beats that are long gone."""

    def purge(self, ledger: timedelta, answers: timedelta) -> bool | None:
        """Forget a portion of the firings and the answers to keyed requests of such an age;
        whether there is more."""


class PostgresMaintenanceStore:
    """The `MaintenanceStore` in Postgres."""

    def __init__(self, database: Database, meter: Meter | None = None) -> None:
        self._database = database
        self._meter = meter or Meter()

    def fire_timers(self) -> Sequence[str]:
        fired = timer_queries.fire(self._database)
        for late in fired.latenesses:
            self._meter.observe(metrics.TIMER_LATENESS, late)
        return fired.instances

    def fire_schedules(self) -> Fired:
        fired = due_schedules.fire(self._database)
        self._meter.count(metrics.SCHEDULES_FIRED, (), fired.schedules)
        return fired

    def continue_schedules(self) -> Fired:
        return due_schedules.continue_schedules(self._database)

    def shortest_wait(self) -> float | None:
        return schedule_queries.shortest_wait(self._database)

    def next_due(self) -> float | None:
        return idle_check.next_due(self._database)

    def is_idle(self) -> bool:
        return idle_check.is_idle(self._database)

    def claimed(self) -> Sequence[ClaimedAttemptRow]:
        return worker_queries.claimed(self._database)

    def lost_messages(self, patience: float) -> Sequence[PublishableAttempt]:
        return unclaimed_attempts.claim_lost_messages(self._database, patience)

    def refused_messages(self, patience: float) -> Sequence[PublishableAttempt]:
        return unclaimed_attempts.claim_refused_messages(self._database, patience)

    def overdue_stimuli(self, seconds: float, limit: int) -> Sequence[OverdueStimulus]:
        return inbox_queries.overdue(self._database, seconds, limit)

    def count_pending(self, notes: Sequence[int]) -> int:
        return inbox_queries.count_pending(self._database, notes)

    def purge_workers(self) -> None:
        worker_queries.purge_workers(self._database)
        process_queries.purge(self._database)

    def purge(self, ledger: timedelta, answers: timedelta) -> bool:
        entries = firing_queries.purge(self._database, ledger, ENTRIES, PORTION)
        given = idempotency_queries.purge(self._database, answers, PORTION)
        return max(entries, given) >= PORTION
