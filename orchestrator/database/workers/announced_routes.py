"""The announced routes and broker options as one process knows them: read every 5 seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.clock import monotonic
from orchestrator.database.connection.database import Database
from orchestrator.database.workers import route_queries
from orchestrator.errors import DatabaseUnavailable

#: Seconds for which a process uses what it has read.
LIFETIME = 5.0


class AnnouncedRoutes:
    """The queues of the tasks whose documents name none. `lease` in seconds; `default_queue`: that
    of a task without an announcement."""

    def __init__(self, database: Database, lease: float, default_queue: str) -> None:
        self._database = database
        self._lease = lease
        self._default_queue = default_queue
        self._queues: Mapping[str, str] = {}
        #: The options of the broker's transport on which all processes must agree.
        self.options: Mapping[str, Any] = {}
        self._due = 0.0

    def refresh(self) -> None:
        """Read the announcements anew if they are older than `LIFETIME`; call it outside of a
        transaction. Without Postgres the old ones stay."""
        if monotonic() < self._due:
            return
        self._due = monotonic() + LIFETIME  # the other threads use the old ones meanwhile
        try:
            self._queues, self.options = route_queries.routes(self._database, self._lease)
        except DatabaseUnavailable:
            self._due = 0.0

    def queue_of(self, task: str) -> str:
        """Return the queue to which a task is routed."""
        return self._queues.get(task, self._default_queue)
