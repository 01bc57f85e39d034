"""What the beats do for all: timers, lost attempts, lost messages, notes nobody brought.

Any number of beats run all of it at once; each row falls to one of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from orchestrator.database import attempts, stimuli, timers, workers
from orchestrator.database.connection import Database
from orchestrator.database.timers import LONGEST_SLEEP
from orchestrator.scheduler.watchdog import Watchdog
from orchestrator.settings import Settings
from orchestrator.state_manager import StateManager

log = structlog.get_logger(__name__)

#: A note in an inbox that has waited this long has lost its bringer or its hint, in s.
OVERDUE = 5.0


@dataclass(slots=True)
class Chore:
    """Something to do every `period` seconds."""

    name: str
    period: float
    do: Callable[[], object]
    due: float = field(default=0.0)


class Chores:
    """Runs what is due; says how long nothing will be."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        state: StateManager,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience = settings.republish_after
        self._database = database
        self._dispatcher = state.dispatcher
        self._monotonic = monotonic
        watchdog = Watchdog(database, state, settings.lease)
        self._chores = [
            Chore("watchdog", settings.lease / 5, watchdog.look),
            Chore("publish_again", settings.republish_after / 5, self._publish_again),
            Chore("overdue", OVERDUE / 2, self._overdue),
            Chore("bury", 3600.0, lambda: workers.bury(database)),
        ]

    def run(self) -> float:
        """Do what is due; returns the seconds until the next thing is."""
        self._fire()
        for chore in self._chores:
            if chore.due <= self._monotonic():
                chore.do()
                chore.due = self._monotonic() + chore.period
        return self._until_next()

    def _fire(self) -> None:
        while fired := timers.fire(self._database).instances:
            self._dispatcher.hint(*fired)

    def _publish_again(self) -> None:
        lost = attempts.to_publish_again(self._database, self._patience)
        if lost:
            log.warning(
                "Messages must be lost and are sent again",
                action="published_again",
                attempts=len(lost),
            )
            self._dispatcher.publish(lost)

    def _overdue(self) -> None:
        self._dispatcher.hint(*stimuli.overdue(self._database, OVERDUE))

    def _until_next(self) -> float:
        timer = timers.next_due(self._database)
        chore = min(chore.due for chore in self._chores) - self._monotonic()
        return max(0.0, min(chore, LONGEST_SLEEP, LONGEST_SLEEP if timer is None else timer))
