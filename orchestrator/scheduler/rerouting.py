"""Routes ready attempts anew whose queue no worker of their task serves any more.

Their queue came from a worker's announcement, or was the default one, and another announcement
holds now. A queue that the document names stays.
"""

from __future__ import annotations

from orchestrator.database.connection.database import Database
from orchestrator.database.workers import route_queries
from orchestrator.database.workers.route_queries import Misrouted
from orchestrator.log import get_logger
from orchestrator.scheduler.maintenance_loop import MaintenanceJob
from orchestrator.state_manager import WorkflowCache
from orchestrator.task_dispatcher import TaskDispatcher

log = get_logger(__name__)


class Rerouting:
    """The job of a beat. `lease` and `period` in seconds."""

    def __init__(
        self,
        database: Database,
        workflows: WorkflowCache,
        dispatcher: TaskDispatcher,
        lease: float,
        period: float,
    ) -> None:
        self._database = database
        self._workflows = workflows
        self._dispatcher = dispatcher
        self._lease = lease
        self._period = period

    def job(self) -> MaintenanceJob:
        """Return the job."""
        return MaintenanceJob("reroute", self._period, self.run)

    def run(self) -> None:
        """Move the attempts to the queues that their tasks are routed to now, and publish them."""
        found = route_queries.misrouted(self._database, self._lease)
        chosen = [each for each in found if not self._is_named(each)]
        if not chosen:
            return
        moved = route_queries.reroute(self._database, chosen)
        self._dispatcher.publish(moved)
        log.info(
            "Steps were routed anew: no worker of their task serves the queue any more",
            action="steps_rerouted",
            attempts=len(moved),
        )

    def _is_named(self, found: Misrouted) -> bool:
        task = self._workflows.get(found.workflow).task(found.reference)
        arguments = task.body.get("with") if task.body.get("call") == "celery" else None
        return "queue" in task.metadata or "queue" in (arguments or {})
