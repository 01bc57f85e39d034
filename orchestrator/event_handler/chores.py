"""What the beats do for events: they find what nobody matched, tell of what happens to
instances, and forget what is old."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.database import deliveries, events, groups, listeners
from orchestrator.database.connection import Database
from orchestrator.event_handler.telling import SELDOM, Teller
from orchestrator.scheduler.chores import Chore
from orchestrator.task_dispatcher import TaskDispatcher

#: An event or a listener that has waited this long has lost its hint or its matcher, in s.
OVERDUE = 2.0
#: How often to look for such, in s.
LOOK = 1.0
#: How often to forget, in s; and how many events at most in one go.
FORGET = 60.0
PORTION = 2000


@dataclass(frozen=True, slots=True)
class EventChores:
    """The chores of the Event Handler. Events are kept for as long as `kept`."""

    database: Database
    dispatcher: TaskDispatcher
    kept: timedelta

    def chores(self) -> Sequence[Chore]:
        """All of them."""
        return [
            Chore("match_overdue", LOOK, self.match_overdue),
            Chore("tell", SELDOM, Teller(self.database, self.dispatcher).tell, always=True),
            Chore("forget_events", FORGET, self.forget, always=True),
        ]

    def match_overdue(self) -> None:
        """Ask again for what nobody has matched."""
        self.dispatcher.match(*events.overdue(self.database, OVERDUE))

    def forget(self) -> float:
        """Forget old events and filters that nobody has; returns when to go on."""
        gone = events.forget(self.database, self.kept, PORTION)
        if gone == PORTION:
            return LOOK
        listeners.tidy(self.database)
        groups.forget(self.database, self.kept)
        deliveries.forget(self.database, self.kept)
        return FORGET
