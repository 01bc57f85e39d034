"""What a process of a worker knows: who the worker is, what it may do, what it has connected.

A worker is one *incarnation*: an id made at its start, in its main process, before the pool
forks. Connections are made anew in each process. Where an app is installed but runs no worker,
as in a web process, none of the product's other parts are even imported.
"""

from __future__ import annotations

import os
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any

from billiard.process import current_process

from orchestrator import broker_settings
from orchestrator.errors import ConfigurationError
from orchestrator.execution.context_variables import log_fields
from orchestrator.execution.continuation_rules import ContinuationRules, TaskDurations
from orchestrator.execution.in_flight_table import InFlightSlot, InFlightTable
from orchestrator.execution.installed_app import InstalledApp
from orchestrator.ids import new_id
from orchestrator.log import add_context
from orchestrator.metrics import Meter, Meters
from orchestrator.metrics import catalog as metrics
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.bootstrap import Services
    from orchestrator.calls.token_cache import Tokens
    from orchestrator.core.model import Attempt
    from orchestrator.execution.internal_protocols import QueueConsumer
    from orchestrator.execution.probe_server import Probes
    from orchestrator.outbound import OutboundClient
    from orchestrator.state_manager import LeaseOwner


class WorkerRuntime:
    """The Task Execution Layer of an installed app, in one process of a worker."""

    def __init__(self, installed: InstalledApp) -> None:
        self.installed = installed
        self.app = installed.app
        self.durations = TaskDurations()
        self.is_prefork = True
        self.hostname = ""
        self.worker_id = ""
        self.concurrency = 0
        #: Consumes the control queue where Celery's own consumer does not (RabbitMQ).
        self.control_consumer: QueueConsumer | None = None
        #: Postgres was there when the worker started; else it is asked at the first connection.
        self.schema_checked = True
        #: What the worker's processes count; shared only where somebody can read it.
        self.meters: Meters | None = None
        self.probes: Probes | None = None
        self._reset_process()

    @property
    def settings(self) -> Settings:
        """Those of the installed app."""
        return self.installed.settings

    @property
    def running(self) -> bool:
        """Whether this process belongs to a worker."""
        return self.installed.runs_steps

    # -- the worker --------------------------------------------------------------------------

    def become_worker(self, hostname: str, concurrency: int, *, forks: bool) -> None:
        """From now on the main process of a worker, whose pool has not started yet.

        Raises:
            ConfigurationError: the pool is larger than a worker's may be.
        """
        # What the children need is loaded here, once, and shared over the fork.
        import jsonschema_rs  # noqa: F401

        from orchestrator import bootstrap, calls  # noqa: F401
        from orchestrator.outbound import request_sender as request  # noqa: F401

        self.in_flight = InFlightTable()
        if concurrency > self.in_flight.slots:
            raise ConfigurationError(f"a worker runs at most {self.in_flight.slots} processes")
        self.meters = Meters(self.in_flight.slots + 1)
        self.worker_id = new_id()
        self.hostname, self.concurrency, self.is_prefork = hostname, concurrency, forks
        self.rules = ContinuationRules(self.app, frozenset(self.queues), forks)
        add_context("step", log_fields)
        self._reset_process(self.in_flight.slots)
        self.installed.start_steps()

    @property
    def queues(self) -> list[str]:
        """The names of the queues that this worker consumes."""
        apart = [self.control_consumer.queue.name] if self.control_consumer else []
        return sorted({*self.app.amqp.queues.consume_from, *apart})

    @property
    def step_tasks(self) -> list[str]:
        """The names of the tasks that can be steps here; Celery's own are none."""
        return sorted(name for name in self.app.tasks if not name.startswith("celery."))

    def counts(self) -> dict[str, int]:
        """What the worker's processes have counted since its start: attempts that it claimed by
        their messages, continued with, ended, left to their leases; messages that it refused;
        results that came too late (``stale``)."""
        counted = {"ended": 0, "stale": 0}
        for name, labels, numbers in self.meters.read() if self.meters else ():
            if name == metrics.ATTEMPTS_ENDED.name:
                counted["ended"] += int(numbers[0])
            elif name == metrics.MESSAGES_AND_RESULTS_REFUSED.name and labels == ("stale",):
                counted["stale"] += int(numbers[0])
        return {**self.in_flight.counts(), **counted}

    # -- the process ------------------------------------------------------------------------

    def become_child(self) -> None:
        """From now on a child of the pool: nothing that is connected is inherited."""
        # Kept for good, so that nobody here closes what is the parent's.
        self._inherited = self._services
        process: Any = current_process()
        self._reset_process(process.index)
        self._is_child = True  # of one thread that asks the database
        if self.probes is not None:
            self.probes.detach()
        self._local.hand = self.in_flight.slot(process.index, os.getpid())

    def _reset_process(self, slot: int = 0) -> None:
        self.meter = Meter() if self.meters is None else self.meters.meter(slot)
        self._lock = threading.Lock()
        self._local = threading.local()
        self._services: Services | None = None
        self._threads = 0
        self._is_child = False
        self._holder: LeaseOwner | None = None

    @property
    def services(self) -> Services:
        """The services of this process, made at first use."""
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
                    )
        return self._services

    @cached_property
    def outbound(self) -> OutboundClient:
        """What requests of calls go out through; holds no connection, so it may be inherited."""
        from orchestrator.outbound import OutboundClient

        chosen = self.settings
        return OutboundClient(chosen.outbound_allow, chosen.outbound_resolve, chosen.outbound_ca)

    @cached_property
    def _is_on_redis(self) -> bool:
        try:
            return broker_settings.is_redis(broker_settings.url_of(self.app))
        except ConfigurationError:  # a transport for tests, such as memory://
            return False

    def priority_of(self, attempt: Attempt) -> int | None:
        """The number that a message of the attempt has when it arrives: what Celery lets messages
        inherit that the task sends. (On Redis kombu writes 0 where none is given.)"""
        if attempt.priority is None:
            return 0 if self._is_on_redis else None
        return broker_settings.priority(attempt.priority, redis=self._is_on_redis)

    @cached_property
    def tokens(self) -> Tokens:
        """Access tokens that the calls of this process share."""
        from orchestrator.calls.token_cache import Tokens

        return Tokens()

    @property
    def slot(self) -> InFlightSlot:
        """The slot of this child process, or of this thread of the pool of threads."""
        hand: InFlightSlot | None = getattr(self._local, "hand", None)
        if hand is None:
            with self._lock:
                index, self._threads = self._threads, self._threads + 1
            hand = self._local.hand = self.in_flight.slot(index, os.getpid())
        return hand

    @property
    def lease_owner(self) -> LeaseOwner:
        """Who holds what this process claims."""
        if self._holder is None:
            from orchestrator import state_manager

            self._holder = state_manager.LeaseOwner(self.worker_id, os.getpid())
        return self._holder

    def close(self) -> None:
        """Give back what this process has connected."""
        if self._services is not None:
            self._services.close()
            self._services = None

    def queue_of(self, attempt: Attempt) -> str:
        """The queue of an attempt: its own, or where Celery routes its task."""
        return attempt.queue or self.services.dispatcher.queue_of(attempt)
