"""The maintenance jobs of events: hints for unmatched events, lifecycle events, purges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.database.connection.database import Database
from orchestrator.database.events import (
    delivery_queries,
    event_group_queries,
    event_matching_queries,
    event_queries,
    listener_index,
)
from orchestrator.event_handler.lifecycle_publisher import IDLE_INTERVAL, LifecyclePublisher
from orchestrator.scheduler.maintenance_loop import MaintenanceJob
from orchestrator.task_dispatcher import TaskDispatcher

#: Age in seconds of an unmatched event or listener whose hint or matching process was lost.
OVERDUE = 2.0
#: Seconds between two queries for those.
POLL_INTERVAL = 1.0
#: Seconds between two purges, and the largest number of events deleted in one statement.
PURGE_INTERVAL = 60.0
PURGE_BATCH = 2000


@dataclass(frozen=True, slots=True)
class EventMaintenance:
    """The maintenance jobs of the Event Handler. Events are kept for the time `retention`."""

    database: Database
    dispatcher: TaskDispatcher
    retention: timedelta

    def jobs(self) -> Sequence[MaintenanceJob]:
        """Return all of them."""
        return [
            MaintenanceJob("match_overdue", POLL_INTERVAL, self.match_overdue),
            MaintenanceJob(
                "publish_lifecycle_events",
                IDLE_INTERVAL,
                LifecyclePublisher(self.database, self.dispatcher).publish,
                runs_when_idle=True,
            ),
            MaintenanceJob("purge_events", PURGE_INTERVAL, self.purge, runs_when_idle=True),
        ]

    def match_overdue(self) -> None:
        """Send the hints of namespaces with overdue events or listeners again."""
        self.dispatcher.match(*event_matching_queries.overdue_namespaces(self.database, OVERDUE))

    def purge(self) -> float:
        """Delete old events and unused filters. Return the seconds until the next call."""
        deleted = event_queries.purge(self.database, self.retention, PURGE_BATCH)
        if deleted == PURGE_BATCH:
            return POLL_INTERVAL
        listener_index.purge_filters(self.database)
        event_group_queries.purge(self.database, self.retention)
        delivery_queries.purge(self.database, self.retention)
        return PURGE_INTERVAL
