"""What the beats do for events: they find what nobody matched, tell of what happens to
instances, and forget what is old."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.database.connection.database import Database
from orchestrator.database.events import (
    delivery_queries,
    event_group_queries,
    event_queries,
    listener_queries,
)
from orchestrator.event_handler.lifecycle_publisher import IDLE_INTERVAL, LifecyclePublisher
from orchestrator.scheduler.maintenance_loop import MaintenanceJob
from orchestrator.task_dispatcher import TaskDispatcher

#: An event or a listener that has waited this long has lost its hint or its matcher, in s.
OVERDUE = 2.0
#: How often to look for such, in s.
LOOK = 1.0
#: How often to forget, in s; and how many events at most in one go.
PURGE_INTERVAL = 60.0
PURGE_BATCH = 2000


@dataclass(frozen=True, slots=True)
class EventMaintenance:
    """The chores of the Event Handler. Events are kept for as long as `kept`."""

    database: Database
    dispatcher: TaskDispatcher
    kept: timedelta

    def chores(self) -> Sequence[MaintenanceJob]:
        """All of them."""
        return [
            MaintenanceJob("match_overdue", LOOK, self.match_overdue),
            MaintenanceJob(
                "tell",
                IDLE_INTERVAL,
                LifecyclePublisher(self.database, self.dispatcher).publish,
                runs_when_idle=True,
            ),
            MaintenanceJob("forget_events", PURGE_INTERVAL, self.purge, runs_when_idle=True),
        ]

    def match_overdue(self) -> None:
        """Ask again for what nobody has matched."""
        self.dispatcher.match(*event_queries.overdue_namespaces(self.database, OVERDUE))

    def purge(self) -> float:
        """Forget old events and filters that nobody has; returns when to go on."""
        gone = event_queries.purge(self.database, self.kept, PURGE_BATCH)
        if gone == PURGE_BATCH:
            return LOOK
        listener_queries.purge_filters(self.database)
        event_group_queries.purge(self.database, self.kept)
        delivery_queries.purge(self.database, self.kept)
        return PURGE_INTERVAL
