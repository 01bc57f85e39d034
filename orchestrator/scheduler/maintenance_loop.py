"""What the beats do for all: timers, schedules, lost attempts, lost messages, stale stimuli.

Any number of beats run all of it at once; each row falls to one of them. One chore that fails
keeps no other from being done.
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

#: Portions of due timers, or schedules, in a row: then the other chores have their turn.
MAX_BATCHES = 10
#: How long to stand back from what is due and in another beat's hands, in s.
LOCKED_RETRY = 0.02
#: How often to ask when something is due, at least, in s: whoever armed a timer may have died
#: before it could say so.
NEXT_DUE_INTERVAL = 1.0
#: How often to ask whether everything is at rest, of a lease: what a beat knows of late, a step
#: whose worker died waits longer. And as often as any chore that is left out meanwhile.
IDLE_CHECK_SHARE = 1 / 20
#: How often to look whether an instance has ended that a schedule waits for, in s: so often
#: while one waits, and so rarely while none does.
BUSY_INTERVAL, WAITING_INTERVAL, IDLE_INTERVAL = 0.05, 0.25, 1.0
#: How long the ledger of schedules goes back, and answers to keyed requests are kept.
FIRING_RETENTION = timedelta(days=30)
IDEMPOTENCY_RETENTION = timedelta(days=1)
#: How often to forget, in s; and while there is more than is forgotten at once.
FORGET, FORGET_MORE = 600.0, 1.0


@dataclass(slots=True)
class MaintenanceJob:
    """Something to do every `period` seconds, or after as many as `do` returns. Unless it is
    `always` done, it is left out while everything is at rest (`MaintenanceStore.is_idle`)."""

    name: str
    period: float
    run: Callable[[], object]
    runs_when_idle: bool = False
    due: float = field(default=0.0)


class MaintenanceLoop:
    """Runs what is due, that of other components (`more`) too; says how long nothing will be."""

    def __init__(
        self,
        settings: Settings,
        upkeep: MaintenanceStore,
        state: StateManager,
        monotonic: Callable[[], float] = clock.monotonic,
        more: Sequence[MaintenanceJob] = (),
    ) -> None:
        self._patience = settings.republish_after
        self._upkeep = upkeep
        self._dispatcher = state.dispatcher
        self._monotonic = monotonic
        self._watchdog = LeaseWatchdog(upkeep, state, settings.lease, monotonic)
        self._meter = state.meter
        #: When to fire what is due then, and when to ask again.
        self._due = self._ask = 0.0
        self._settle = MaintenanceJob("settle", IDLE_INTERVAL, self._continue_schedules)
        self._chores = [
            MaintenanceJob("watchdog", settings.lease * MAX_GAP_SHARE, self._watch),
            MaintenanceJob("publish_again", settings.republish_after / 5, self._republish_lost),
            MaintenanceJob("hand_on", settings.republish_after / 5, self._republish_refused),
            MaintenanceJob(
                "overdue", OVERDUE / 4, HintResender(upkeep, state.dispatcher.hint).resend
            ),
            self._settle,
            MaintenanceJob("bury", 3600.0, upkeep.purge_workers, runs_when_idle=True),
            MaintenanceJob("forget", FORGET, self._forget, runs_when_idle=True),
            *more,
        ]
        looking = [chore.period for chore in self._chores if not chore.runs_when_idle]
        self._rest = min(settings.lease * IDLE_CHECK_SHARE, *looking)
        self._rested = False

    def run(self, *, told: bool = True) -> float:
        """Do what is due; returns the seconds until the next thing is. `told`: of a timer or a
        schedule that may be due earlier than was known.

        Raises `DatabaseUnavailable`.
        """
        now = self._monotonic()
        more = self._fire() if told or now >= self._due else None
        self._do([chore for chore in self._chores if chore.due <= self._monotonic()])
        if more:
            return 0.0
        if more is not None or now >= self._ask:
            self._find_next_due()
        return self._until_next()

    def _do(self, due: list[MaintenanceJob]) -> None:
        if not all(chore.runs_when_idle for chore in due):
            due = self._skip_when_idle(due)
        for chore in due:
            wait = self._run_guarded(chore.name, chore.run)
            period = wait if isinstance(wait, float) else chore.period
            chore.due = self._monotonic() + period

    def _skip_when_idle(self, due: list[MaintenanceJob]) -> list[MaintenanceJob]:
        """What is to be done of what is due: at rest, no more than is done always. When it has
        only come to rest, what is left out from then on is done once more, so that all see that
        nothing is left."""
        before, self._rested = self._rested, self._run_guarded("rest", self._upkeep.is_idle) is True
        if not self._rested:
            return due
        if not before:
            return [chore for chore in self._chores if chore in due or not chore.runs_when_idle]
        # They wake the beat together, and as soon as the one that is due most often.
        again = self._monotonic() + self._rest
        for chore in self._chores:
            if not chore.runs_when_idle:
                chore.due = again
        return [chore for chore in due if chore.runs_when_idle]

    def _fire(self) -> bool:
        """Fire timers and schedules; whether there is more to fire."""
        self._due = 0.0  # until it is known
        timers = self._run_guarded("timers", self._fire_timers)
        schedules = self._run_guarded("schedules", self._fire_schedules)
        return bool(timers or schedules)

    def _find_next_due(self) -> None:
        """Find out when the next timer or schedule is due."""
        asked, now = self._upkeep.next_due(), self._monotonic()
        self._ask = now + NEXT_DUE_INTERVAL
        due = LONGEST_SLEEP if asked is None else asked
        # What is due and was not ours to fire is in another beat's hands.
        self._due = now + (due if due > 0 else LOCKED_RETRY)

    def _run_guarded(self, name: str, do: Callable[[], object]) -> object:
        began = clock.monotonic()
        try:
            return do()
        except (DatabaseUnavailable, ConfigurationError):
            raise
        except LockTimeout:
            log.info("A chore found the rows locked", action="chore_busy", chore=name)
        except Exception:
            self._meter.count(metrics.JOB_FAILURES, (name,))
            log.exception("A chore failed and is done again", action="chore_failed", chore=name)
        finally:
            self._meter.observe(metrics.JOB_SECONDS, clock.monotonic() - began, (name,))
        return None

    def _watch(self) -> float:
        self._watchdog.check()
        return self._watchdog.until_next()

    def _fire_timers(self) -> bool:
        """Whether there is more to fire."""
        for _ in range(MAX_BATCHES):
            fired = self._upkeep.fire_timers()
            self._dispatcher.hint(*fired)
            if not fired:
                return False
        return True

    def _fire_schedules(self) -> bool:
        for _ in range(MAX_BATCHES):
            fired = self._upkeep.fire_schedules()
            self._dispatcher.hint(*fired.hints)
            if not fired.schedules:
                return False
            self._settle.due = min(self._settle.due, self._monotonic() + BUSY_INTERVAL)
        return True

    def _continue_schedules(self) -> float:
        """Go on with schedules whose instance has ended; returns when to look again."""
        shortest = self._upkeep.shortest_wait()
        if shortest is None:
            return IDLE_INTERVAL
        fired = self._upkeep.continue_schedules()
        self._ask = 0.0  # what went on is due anew
        self._dispatcher.hint(*fired.hints)
        # One that is due some time after the end is seen early enough to be due in time.
        return min(max(shortest, BUSY_INTERVAL), WAITING_INTERVAL)

    def _republish_lost(self) -> None:
        lost = self._upkeep.lost_messages(self._patience)
        if lost:
            self._meter.count(metrics.MESSAGES_REPUBLISHED, (), len(lost))
            log.warning(
                "Messages must be lost and are sent again",
                action="published_again",
                attempts=len(lost),
            )
            self._dispatcher.publish(lost)

    def _republish_refused(self) -> None:
        refused = self._upkeep.refused_messages(self._patience)
        if refused:
            log.info(
                "Messages that a worker could not run are sent for another",
                action="handed_on",
                attempts=len(refused),
            )
            self._dispatcher.publish(refused)

    def _forget(self) -> float:
        """A little at a time: timers don't wait. Returns when to go on."""
        return (
            FORGET_MORE if self._upkeep.purge(FIRING_RETENTION, IDEMPOTENCY_RETENTION) else FORGET
        )

    def _until_next(self) -> float:
        due = min(self._due, self._ask, *(chore.due for chore in self._chores))
        return max(0.0, min(due - self._monotonic(), LONGEST_SLEEP))
