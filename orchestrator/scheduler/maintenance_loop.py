"""The rounds of a beat: timers, schedules, submitted starts, lost attempts, lost messages, overdue
stimuli, purges.

Any number of beats run all jobs at once; row locks give each row to one of them. A job that fails
does not stop the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from orchestrator import clock
from orchestrator.database.connection.database import LockTimeout
from orchestrator.database.schedules.timer_queries import LONGEST_SLEEP
from orchestrator.errors import ConfigurationError, DatabaseUnavailable
from orchestrator.log import get_logger
from orchestrator.metrics import catalog as metrics
from orchestrator.scheduler.hint_resender import OVERDUE, HintResender
from orchestrator.scheduler.lease_watchdog import MAX_GAP_SHARE, LeaseWatchdog
from orchestrator.scheduler.maintenance_store import MaintenanceStore
from orchestrator.settings import Settings
from orchestrator.state_manager import StateManager

log = get_logger(__name__)

#: Largest number of batches of due timers, or schedules, in a row. Then the other jobs run.
MAX_BATCHES = 10
#: Seconds until the next try if another beat has locked the rows that are due.
LOCKED_RETRY = 0.02
#: Longest time between two queries for the next due time, in seconds: a process may die between
#: arming a timer and announcing it.
NEXT_DUE_INTERVAL = 1.0
#: Interval of the idle check, as a share of the lease. While idle, the beat skips most jobs, among
#: them the lease watchdog: a longer interval would delay the recovery of a dead worker's step. It
#: never exceeds the shortest period of a skipped job.
IDLE_CHECK_SHARE = 1 / 20
#: Seconds between two checks for ended instances that schedules wait for: right after a firing,
#: while a schedule waits, and while none does.
BUSY_INTERVAL, WAITING_INTERVAL, IDLE_INTERVAL = 0.05, 0.25, 1.0
#: How long firings of schedules, and answers to idempotent requests, are kept.
FIRING_RETENTION = timedelta(days=30)
IDEMPOTENCY_RETENTION = timedelta(days=1)
#: Seconds until the next purge: if no old row is left, and if there are more.
PURGE_INTERVAL, BUSY_PURGE_INTERVAL = 600.0, 1.0


@dataclass(slots=True)
class MaintenanceJob:
    """A job that runs every `period` seconds, or after the seconds that `run` returns. It is
    skipped while the beat is idle (`MaintenanceStore.is_idle`) unless `runs_when_idle`."""

    name: str
    period: float
    run: Callable[[], object]
    runs_when_idle: bool = False
    due: float = field(default=0.0)


class MaintenanceLoop:
    """Fires timers and schedules, moves submitted starts out of the outbox and runs the maintenance
    jobs, those of other components (`more`) too."""

    def __init__(
        self,
        settings: Settings,
        store: MaintenanceStore,
        state: StateManager,
        monotonic: Callable[[], float] = clock.monotonic,
        more: Sequence[MaintenanceJob] = (),
    ) -> None:
        self._republish_after = settings.republish_after
        self._store = store
        self._dispatcher = state.dispatcher
        self._monotonic = monotonic
        self._watchdog = LeaseWatchdog(store, state, settings.lease, monotonic)
        self._meter = state.meter
        #: When the next timer or schedule is due, and when to query that again.
        self._due = self._query_at = 0.0
        self._continue = MaintenanceJob(
            "continue_schedules", IDLE_INTERVAL, self._continue_schedules
        )
        self._jobs = [
            MaintenanceJob("watchdog", settings.lease * MAX_GAP_SHARE, self._watch),
            MaintenanceJob("republish_lost", settings.republish_after / 5, self._republish_lost),
            MaintenanceJob(
                "republish_refused", settings.republish_after / 5, self._republish_refused
            ),
            MaintenanceJob(
                "resend_hints", OVERDUE / 4, HintResender(store, state.dispatcher.hint).resend
            ),
            self._continue,
            MaintenanceJob("purge_workers", 3600.0, store.purge_workers, runs_when_idle=True),
            MaintenanceJob(
                "purge_records", PURGE_INTERVAL, self._purge_records, runs_when_idle=True
            ),
            *more,
        ]
        skipped = [job.period for job in self._jobs if not job.runs_when_idle]
        self._idle_check_interval = min(settings.lease * IDLE_CHECK_SHARE, *skipped)
        self._is_idle = False

    def run(self, *, announced: bool = True) -> float:
        """Run the jobs that are due. Return the seconds until the next one. `announced`: another
        process armed a timer or schedule that may be due earlier than expected.

        Raises `DatabaseUnavailable`.
        """
        now = self._monotonic()
        more = self._fire() if announced or now >= self._due else None
        self._run_jobs([job for job in self._jobs if job.due <= self._monotonic()])
        if more:
            return 0.0
        if more is not None or now >= self._query_at:
            self._find_next_due()
        return self._until_next()

    def _run_jobs(self, due: list[MaintenanceJob]) -> None:
        if not all(job.runs_when_idle for job in due):
            due = self._skip_when_idle(due)
        for job in due:
            wait = self._run_guarded(job.name, job.run)
            period = wait if isinstance(wait, float) else job.period
            job.due = self._monotonic() + period

    def _skip_when_idle(self, due: list[MaintenanceJob]) -> list[MaintenanceJob]:
        """Return the due jobs to run now. An idle beat runs only those that run when idle. When it
        becomes idle, the jobs that are skipped from then on run once more, so that each sees that
        no work is left."""
        was_idle = self._is_idle
        self._is_idle = self._run_guarded("idle_check", self._store.is_idle) is True
        if not self._is_idle:
            return due
        if not was_idle:
            return [job for job in self._jobs if job in due or not job.runs_when_idle]
        # Give all jobs that an idle beat skips the same next due time. So the beat wakes only once
        # for all of them, to check whether it is still idle.
        next_check = self._monotonic() + self._idle_check_interval
        for job in self._jobs:
            if not job.runs_when_idle:
                job.due = next_check
        return [job for job in due if job.runs_when_idle]

    def _fire(self) -> bool:
        """Fire timers and schedules, move submitted starts. Return whether there are more."""
        self._due = 0.0  # until `_find_next_due` has queried it
        timers = self._run_guarded("timers", self._fire_timers)
        starts = self._run_guarded("starts", self._move_starts)
        schedules = self._run_guarded("schedules", self._fire_schedules)
        return bool(timers or schedules or starts)

    def _find_next_due(self) -> None:
        """Query when the next timer or schedule is due."""
        seconds, now = self._store.next_due(), self._monotonic()
        self._query_at = now + NEXT_DUE_INTERVAL
        due = LONGEST_SLEEP if seconds is None else seconds
        # If a timer or schedule is due although this beat has just fired all that it could lock,
        # another beat has locked that row: try again after `LOCKED_RETRY`.
        self._due = now + (due if due > 0 else LOCKED_RETRY)

    def _run_guarded(self, name: str, run: Callable[[], object]) -> object:
        started_at = clock.monotonic()
        try:
            return run()
        except (DatabaseUnavailable, ConfigurationError):
            raise
        except LockTimeout:
            log.info("A maintenance job found its rows locked", action="job_locked", job=name)
        except Exception:
            self._meter.count(metrics.JOB_FAILURES, (name,))
            log.exception(
                "A maintenance job failed and will run again", action="job_failed", job=name
            )
        finally:
            self._meter.observe(metrics.JOB_SECONDS, clock.monotonic() - started_at, (name,))
        return None

    def _watch(self) -> float:
        self._watchdog.check()
        return self._watchdog.until_next()

    def _fire_timers(self) -> bool:
        for _ in range(MAX_BATCHES):
            fired = self._store.fire_timers()
            self._dispatcher.hint(*fired)
            if not fired:
                return False
        return True

    def _fire_schedules(self) -> bool:
        for _ in range(MAX_BATCHES):
            fired = self._store.fire_schedules()
            self._dispatcher.hint(*fired.instances_to_hint)
            if not fired.schedules:
                return False
            self._continue.due = min(self._continue.due, self._monotonic() + BUSY_INTERVAL)
        return True

    def _move_starts(self) -> bool:
        for _ in range(MAX_BATCHES):
            moved = self._store.move_starts()
            self._dispatcher.hint(*moved.instances)
            if not moved.count:
                return False
        return True

    def _continue_schedules(self) -> float:
        """Continue schedules whose instance has ended. Return the seconds until the next check."""
        shortest = self._store.shortest_wait()
        if shortest is None:
            return IDLE_INTERVAL
        fired = self._store.continue_schedules()
        self._query_at = 0.0  # a continued schedule has a new due time
        self._dispatcher.hint(*fired.instances_to_hint)
        # Check again after the shortest `after` of the waiting schedules: with a longer pause that
        # schedule's next start would be late.
        return min(max(shortest, BUSY_INTERVAL), WAITING_INTERVAL)

    def _republish_lost(self) -> None:
        lost = self._store.lost_messages(self._republish_after)
        if lost:
            self._meter.count(metrics.MESSAGES_REPUBLISHED, (), len(lost))
            log.warning(
                "Messages of attempts seem lost and were sent again",
                action="messages_republished",
                reason="lost",
                attempts=len(lost),
            )
            self._dispatcher.publish(lost)

    def _republish_refused(self) -> None:
        refused = self._store.refused_messages(self._republish_after)
        if refused:
            log.info(
                "Messages that a worker refused were sent again for another worker",
                action="messages_republished",
                reason="refused",
                attempts=len(refused),
            )
            self._dispatcher.publish(refused)

    def _purge_records(self) -> float:
        """Delete one batch, so that timers need not wait. Return the seconds until the next one."""
        has_more = self._store.purge(FIRING_RETENTION, IDEMPOTENCY_RETENTION)
        return BUSY_PURGE_INTERVAL if has_more else PURGE_INTERVAL

    def _until_next(self) -> float:
        due = min(self._due, self._query_at, *(job.due for job in self._jobs))
        return max(0.0, min(due - self._monotonic(), LONGEST_SLEEP))
