"""The interface of the beats' maintenance jobs to their database: Postgres, or the simulated
database of the tests."""

# ruff: noqa: D102  (the protocol documents the methods)

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from orchestrator.database.access import idempotency_queries
from orchestrator.database.connection.database import Database
from orchestrator.database.instances import outbox_queries
from orchestrator.database.schedules import (
    firing_queries,
    idle_check,
    schedule_queries,
    timer_queries,
)
from orchestrator.database.transitions import decision_lease_queries, inbox_queries
from orchestrator.database.transitions.inbox_queries import OverdueStimulus
from orchestrator.database.workers import (
    process_queries,
    route_queries,
    unclaimed_attempts,
    worker_queries,
)
from orchestrator.database.workers.unclaimed_attempts import PublishableAttempt
from orchestrator.database.workers.worker_queries import ClaimedAttemptRow
from orchestrator.database.workflows import generated_versions, instance_tree_queries
from orchestrator.metrics import Meter
from orchestrator.metrics import catalog as metrics
from orchestrator.scheduler.schedules import due_schedules
from orchestrator.scheduler.schedules.due_schedules import FiredSchedules
from orchestrator.start_requests.outbox_mover import MovedStarts, OutboxMover

#: Largest number of firings kept per schedule.
MAX_FIRINGS = 100_000
#: Largest number of rows deleted in one statement.
PURGE_BATCH = 5000


class MaintenanceStore(Protocol):
    """All operations of the jobs on their database. Every method may raise
    `DatabaseUnavailable`."""

    def fire_timers(self) -> Sequence[str]:
        """Turn a batch of due timers into stimuli. Return the instances to hint."""

    def fire_schedules(self) -> FiredSchedules:
        """Fire a batch of due schedules."""

    def move_starts(self) -> MovedStarts:
        """Move a batch of starts that were submitted in other applications' transactions."""

    def continue_schedules(self) -> FiredSchedules:
        """Continue a batch of schedules whose instance has ended."""

    def shortest_wait(self) -> float | None:
        """Return the shortest `after`, in seconds, of the schedules that wait for an end; None: no
        schedule waits."""

    def next_due(self) -> float | None:
        """Return the seconds until the next timer or schedule is due; None: there is none."""

    def is_idle(self) -> bool:
        """Whether only timers and schedules need a beat."""

    def claimed(self) -> Sequence[ClaimedAttemptRow]:
        """Return every claimed attempt, with the heartbeat of its worker."""

    def lost_messages(self, republish_after: float) -> Sequence[PublishableAttempt]:
        """Return attempts whose message seems lost, marked as published again. `republish_after`:
        seconds since the first publication; the time doubles with each one."""

    def refused_messages(self, republish_after: float) -> Sequence[PublishableAttempt]:
        """Return attempts whose message a worker refused because it can't run them, and that
        another worker can run, marked as published again."""

    def overdue_stimuli(self, seconds: float, limit: int) -> Sequence[OverdueStimulus]:
        """Return at most `limit` stimuli that have waited for `seconds`, newest first, marked as
        hinted."""

    def count_pending(self, stimuli: Sequence[int]) -> int:
        """Return how many of these stimuli still wait."""

    def purge_workers(self) -> None:
        """Delete the rows of workers, APIs and beats that ended long ago, leases on decisions that
        have expired, counts of trees that start nothing any more, and generated workflow versions
        that nobody uses."""

    def purge(self, firings: timedelta, answers: timedelta) -> bool | None:
        """Delete a batch of firings and of answers to idempotent requests that are older than
        this. Return whether there are more."""


class PostgresMaintenanceStore:
    """The `MaintenanceStore` in Postgres."""

    def __init__(
        self,
        database: Database,
        meter: Meter | None = None,
        outbox: OutboxMover | None = None,
    ) -> None:
        self._database = database
        self._meter = meter or Meter()
        self._outbox = outbox

    def fire_timers(self) -> Sequence[str]:
        fired = timer_queries.fire(self._database)
        for lateness in fired.latenesses:
            self._meter.observe(metrics.TIMER_LATENESS, lateness)
        return fired.instances

    def fire_schedules(self) -> FiredSchedules:
        fired = due_schedules.fire(self._database)
        self._meter.count(metrics.SCHEDULES_FIRED, (), fired.schedules)
        return fired

    def move_starts(self) -> MovedStarts:
        if self._outbox is None:
            return MovedStarts()
        moved = self._outbox.move()
        self._meter.count(metrics.STARTS_MOVED, ("started",), len(moved.instances))
        self._meter.count(metrics.STARTS_MOVED, ("refused",), moved.refused)
        return moved

    def continue_schedules(self) -> FiredSchedules:
        return due_schedules.continue_schedules(self._database)

    def shortest_wait(self) -> float | None:
        return schedule_queries.shortest_wait(self._database)

    def next_due(self) -> float | None:
        return idle_check.next_due(self._database)

    def is_idle(self) -> bool:
        return idle_check.is_idle(self._database)

    def claimed(self) -> Sequence[ClaimedAttemptRow]:
        return worker_queries.claimed(self._database)

    def lost_messages(self, republish_after: float) -> Sequence[PublishableAttempt]:
        return unclaimed_attempts.claim_lost_messages(self._database, republish_after)

    def refused_messages(self, republish_after: float) -> Sequence[PublishableAttempt]:
        return unclaimed_attempts.claim_refused_messages(self._database, republish_after)

    def overdue_stimuli(self, seconds: float, limit: int) -> Sequence[OverdueStimulus]:
        return inbox_queries.overdue(self._database, seconds, limit)

    def count_pending(self, stimuli: Sequence[int]) -> int:
        return inbox_queries.count_pending(self._database, stimuli)

    def purge_workers(self) -> None:
        worker_queries.purge_workers(self._database)
        decision_lease_queries.purge(self._database)
        instance_tree_queries.purge(self._database)
        process_queries.purge(self._database)
        route_queries.purge(self._database)
        generated_versions.remove_retired(self._database)
        generated_versions.retire(self._database)

    def purge(self, firings: timedelta, answers: timedelta) -> bool:
        deleted = firing_queries.purge(self._database, firings, MAX_FIRINGS, PURGE_BATCH)
        answers_deleted = idempotency_queries.purge(self._database, answers, PURGE_BATCH)
        outbox_queries.purge(self._database, firings.days)
        return max(deleted, answers_deleted) >= PURGE_BATCH
