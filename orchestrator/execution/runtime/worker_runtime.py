"""The state of one process of a worker: the worker's id, its rules, and its connections.

A worker's id is created in its main process at each start, before the pool forks. Each process
opens its own connections. An installed app without a worker, as in a web process, imports none of
the product's other packages.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import nullcontext, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from billiard.process import current_process

from orchestrator import broker_settings
from orchestrator.companion_queues import carries_steps, users_queue
from orchestrator.errors import ConfigurationError
from orchestrator.execution.celery_hooks.installed_app import InstalledApp
from orchestrator.execution.context_variables import log_fields
from orchestrator.execution.process.decision_alarm import DecisionAlarm
from orchestrator.execution.runtime.continuation_rules import ContinuationRules, TaskDurations
from orchestrator.execution.runtime.in_flight_table import (
    SLOTS,
    InFlightSlot,
    InFlightTable,
    SlotLease,
)
from orchestrator.ids import new_id
from orchestrator.log import add_context, get_logger
from orchestrator.metrics import Meter, Meters
from orchestrator.metrics import catalog as metrics
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.bootstrap import Services
    from orchestrator.calls.token_cache import Tokens
    from orchestrator.core.model import Attempt
    from orchestrator.database.workers.route_queries import TaskRoute
    from orchestrator.execution.internal_protocols import QueueConsumer
    from orchestrator.execution.process.probe_server import Probes
    from orchestrator.outbound import OutboundClient
    from orchestrator.state_manager import LeaseOwner


log = get_logger(__name__)


class WorkerRuntime:
    """The Task Execution Layer of an installed app, in one process of a worker."""

    def __init__(self, installed: InstalledApp) -> None:
        self.installed = installed
        self.app = installed.app
        self.durations = TaskDurations()
        #: The name of the worker's pool.
        self.pool = "prefork"
        self.hostname = ""
        self.worker_id = ""
        self.concurrency = 0
        #: Where the app routes its tasks, as the worker announces it.
        self.routes: list[TaskRoute] = []
        #: Consumes the control queue where Celery's own consumer does not (RabbitMQ).
        self.control_consumer: QueueConsumer | None = None
        #: The queues whose steps this worker cannot take, each with the broker's reason.
        self.refused_queues: dict[str, str] = {}
        #: Whether the schema was checked at the worker's start. If not (Postgres was unavailable),
        #: the first connection checks it.
        self.schema_checked = True
        #: The metrics of all processes of a worker, in shared memory; None outside a worker.
        self.meters: Meters | None = None
        self.probes: Probes | None = None
        self._reset_process()

    @property
    def settings(self) -> Settings:
        """The settings of the installed app."""
        return self.installed.settings

    @property
    def runs_steps(self) -> bool:
        """Whether this process belongs to a worker that runs steps."""
        return self.installed.runs_steps

    @property
    def is_prefork(self) -> bool:
        """Whether each step runs in a process of its own, which a time limit can end."""
        return self.pool == "prefork"

    # -- the worker: all its processes -------------------------------------------------------

    def become_worker(self, hostname: str, concurrency: int, pool: str) -> None:
        """Prepare this process as the main process of a worker, before its pool starts."""
        # Import what the pool's child processes need before they are forked, so that they share the
        # memory of these modules.
        import jsonschema_rs  # noqa: F401

        from orchestrator import bootstrap, calls  # noqa: F401
        from orchestrator.outbound import request_sender as request  # noqa: F401

        # Make two slots of attempts in flight for each task that can run at a time. A greenlet's
        # slot becomes free only a moment after the greenlet has ended, and the next greenlet needs
        # another slot.
        self.in_flight = InFlightTable(max(SLOTS, 2 * concurrency))
        self.meters = Meters(self.in_flight.slots + 1)
        self.worker_id = new_id()
        self.hostname, self.concurrency, self.pool = hostname, concurrency, pool
        self.routes = self._routes()
        self.rules = ContinuationRules(self.app, frozenset(self.queues), self.is_prefork)
        add_context("step", log_fields)
        self._reset_process(self.in_flight.slots)
        self.installed.start_steps()

    def _routes(self) -> list[TaskRoute]:
        """Return where the app routes its tasks; log what is uncertain about it."""
        from orchestrator.execution.runtime.task_router import routes_of

        routes = list(routes_of(self.app))
        for route in routes:
            if route.warning is not None:
                log.warning(
                    "The queue of a task is uncertain; name it in the document: metadata.queue",
                    action="route_uncertain",
                    task=route.task,
                    queue=route.queue or self.settings.default_queue,
                    reason=route.warning,
                )
        return routes

    @property
    def queues(self) -> list[str]:
        """The names of the queues whose steps, or hints, this worker takes."""
        own_consumer = [self.control_consumer.queue.name] if self.control_consumer else []
        control = self.settings.control_queue
        consumed = {
            users_queue(queue.name, control)
            for queue in list(self.app.amqp.queues.consume_from.values())
            if carries_steps(queue)
        }
        return sorted((consumed - self.refused_queues.keys()) | set(own_consumer))

    @property
    def step_tasks(self) -> list[str]:
        """The names of the tasks that can be steps here: all but Celery's own."""
        return sorted(name for name in self.app.tasks if not name.startswith("celery."))

    def counts(self) -> dict[str, int]:
        """Return the worker's counters since its start.

        Attempts: ``claimed`` by message, ``continued`` without one, ``ended``, ``left_to_lease``.
        Messages: ``refused``. Results of attempts that were no longer current: ``stale``."""
        counted = {"ended": 0, "stale": 0}
        for name, labels, numbers in self.meters.read() if self.meters else ():
            if name == metrics.ATTEMPTS_ENDED.name:
                counted["ended"] += int(numbers[0])
            elif name == metrics.MESSAGES_AND_RESULTS_REFUSED.name and labels == ("stale",):
                counted["stale"] += int(numbers[0])
        return {**self.in_flight.counter_totals(), **counted}

    # -- this process of the worker ---------------------------------------------------------

    def become_child(self) -> None:
        """Prepare this process as a child of the pool, with connections of its own."""
        # Keep a reference to the services that the fork has copied from the parent, but do not use
        # them. Their garbage collection would close the parent's connections.
        self._inherited = self._services
        process: Any = current_process()
        self._reset_process(process.index)
        self._is_child = True  # its only thread keeps one connection
        if self.probes is not None:
            self.probes.detach()
        self._local.slot = self.in_flight.slot(process.index, os.getpid())

    def _reset_process(self, slot: int = 0) -> None:
        self.meter = Meter() if self.meters is None else self.meters.meter(slot)
        self._lock = threading.Lock()
        self._local = threading.local()
        self._services: Services | None = None
        self._free_slots: deque[int] = deque()
        self._slots_in_use = 0
        self._is_child = False
        self._lease_owner: LeaseOwner | None = None

    @property
    def services(self) -> Services:
        """The services of this process, created at first use."""
        if self._services is None:
            from orchestrator.bootstrap import services

            with self._lock:
                if self._services is None:
                    self._services = services(
                        self.settings,
                        self.app,
                        self.meter,
                        keep=self._is_child,
                        checked=self.schema_checked,
                        guard=DecisionAlarm if self._is_child else nullcontext,
                    )
        return self._services

    @cached_property
    def outbound(self) -> OutboundClient:
        """The HTTP client of calls. It keeps no connection open, so children may inherit it."""
        from orchestrator.outbound import OutboundClient

        options = self.settings
        return OutboundClient(options.outbound_allow, options.outbound_ca)

    @cached_property
    def _is_on_redis(self) -> bool:
        try:
            return broker_settings.is_redis(broker_settings.url_of(self.app))
        except ConfigurationError:  # a transport for tests, such as memory://
            return False

    def priority_of(self, attempt: Attempt) -> int | None:
        """Return the priority that the attempt's message would have at its arrival.

        Messages that the task sends inherit it. Without a priority kombu writes 0 on Redis."""
        if attempt.priority is None:
            return 0 if self._is_on_redis else None
        return broker_settings.priority(attempt.priority, redis=self._is_on_redis)

    @cached_property
    def tokens(self) -> Tokens:
        """The access tokens that the calls of this process share."""
        from orchestrator.calls.token_cache import Tokens

        return Tokens()

    @property
    def slot(self) -> InFlightSlot:
        """The slot of this child process, thread or greenlet."""
        slot: InFlightSlot | None = getattr(self._local, "slot", None)
        if slot is None:
            index = self._free_slot()
            slot = self._local.slot = self.in_flight.slot(index, os.getpid())
            # Store the slot's lease with the thread or the greenlet, which may end before the
            # process does. At that end the lease frees the slot for another one.
            self._local.slot_lease = SlotLease(slot, index, self._free_slots)
        return slot

    def _free_slot(self) -> int:
        """Return the index of a slot that no thread or greenlet uses."""
        with suppress(IndexError):
            return self._free_slots.popleft()
        with self._lock:
            self._slots_in_use += 1
            return self._slots_in_use - 1

    @property
    def lease_owner(self) -> LeaseOwner:
        """The owner of the leases of this process's claims."""
        if self._lease_owner is None:
            from orchestrator import state_manager

            self._lease_owner = state_manager.LeaseOwner(self.worker_id, os.getpid())
        return self._lease_owner

    def close(self) -> None:
        """Close this process's connections."""
        if self._services is not None:
            self._services.close()
            self._services = None

    def queue_of(self, attempt: Attempt) -> str:
        """Return an attempt's queue: its own, or the one to which Celery routes its task."""
        return attempt.queue or self.services.dispatcher.queue_of(attempt)
