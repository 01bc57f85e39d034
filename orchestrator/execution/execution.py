"""What one installed app knows: its settings, and, in a worker, who that is and what it may do.

A worker is one *incarnation*: an id made at its start, in its main process, before the pool
forks; whatever is connected is made anew in each process. Where an app is installed but runs
no worker, as in a web process, none of the product's other parts are even imported.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from billiard.process import current_process

from orchestrator import broker
from orchestrator.errors import ConfigurationError
from orchestrator.execution.context import ids
from orchestrator.execution.continuation import Durations, Rules
from orchestrator.execution.hands import Hand, Hands
from orchestrator.execution.mixin import arm
from orchestrator.execution.results import ignored
from orchestrator.ids import new_id
from orchestrator.log import add_context, get_logger
from orchestrator.metrics import Meter, Meters
from orchestrator.metrics import catalog as metrics
from orchestrator.names import HEADER
from orchestrator.settings import Settings, load_settings

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.bootstrap import Services
    from orchestrator.calls.tokens import Tokens
    from orchestrator.core.values import Attempt
    from orchestrator.execution.probes import Probes
    from orchestrator.execution.rabbitmq import ControlConsumer
    from orchestrator.outbound import Outbound
    from orchestrator.state_manager import Holder

log = get_logger(__name__)

Tracer = Callable[..., Any]


class Execution:
    """The Task Execution Layer of one Celery app, in one process."""

    def __init__(self, app: Celery, settings: Settings | None) -> None:
        self.app = app
        self.durations = Durations()
        self.running = False
        self.forks = True
        self.hostname = ""
        self.worker_id = ""
        self.concurrency = 0
        #: Consumes the control queue where Celery's own consumer does not (RabbitMQ).
        self.control: ControlConsumer | None = None
        #: Postgres was there when the worker started; else it is asked at the first connection.
        self.schema_checked = True
        #: What the worker's processes count; shared only where somebody can read it.
        self.meters: Meters | None = None
        self.probes: Probes | None = None
        self._given = settings
        self._tracers: dict[str, Tracer] = {}
        self._own_tasks: dict[str, Callable[[Tracer], Tracer]] = {}
        self._fresh_process()

    @cached_property
    def settings(self) -> Settings:
        """Read at first use: an app that never runs a worker needs none."""
        return self._given or load_settings()

    # -- the worker --------------------------------------------------------------------------

    def become_worker(self, hostname: str, concurrency: int, *, forks: bool) -> None:
        """From now on the main process of a worker, whose pool has not started yet.

        Raises:
            ConfigurationError: the pool is larger than a worker's may be.
        """
        # What the children need is loaded here, once, and shared over the fork.
        import jsonschema_rs  # noqa: F401

        from orchestrator import bootstrap, calls  # noqa: F401
        from orchestrator.execution import steps  # noqa: F401
        from orchestrator.outbound import request  # noqa: F401

        self.hands = Hands()
        if concurrency > self.hands.slots:
            raise ConfigurationError(f"a worker runs at most {self.hands.slots} processes")
        self.meters = Meters(self.hands.slots + 1)
        self.worker_id = new_id()
        self.hostname, self.concurrency, self.forks = hostname, concurrency, forks
        self.rules = Rules(self.app, frozenset(self.queues), forks)
        self.running = True
        add_context("step", ids)
        self._fresh_process(self.hands.slots)
        for task in list(self.app.tasks.values()):
            arm(type(task))

    @property
    def queues(self) -> list[str]:
        """The names of the queues that this worker consumes."""
        apart = [self.control.queue.name] if self.control else []
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
            elif name == metrics.REFUSALS.name and labels == ("stale",):
                counted["stale"] += int(numbers[0])
        return {**self.hands.counts(), **counted}

    # -- the process ------------------------------------------------------------------------

    def become_child(self) -> None:
        """From now on a child of the pool: nothing that is connected is inherited."""
        # Kept for good, so that nobody here closes what is the parent's.
        self._inherited = self._services
        process: Any = current_process()
        self._fresh_process(process.index)
        self._is_child = True  # of one thread that asks the database
        if self.probes is not None:
            self.probes.forget()
        self._local.hand = self.hands.slot(process.index, os.getpid())

    def _fresh_process(self, slot: int = 0) -> None:
        self.meter = Meter() if self.meters is None else self.meters.meter(slot)
        self._lock = threading.Lock()
        self._local = threading.local()
        self._services: Services | None = None
        self._threads = 0
        self._is_child = False
        self._holder: Holder | None = None

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
    def outbound(self) -> Outbound:
        """What requests of calls go out through; holds no connection, so it may be inherited."""
        from orchestrator.outbound import Outbound

        chosen = self.settings
        return Outbound(chosen.outbound_allow, chosen.outbound_resolve, chosen.outbound_ca)

    @cached_property
    def _is_on_redis(self) -> bool:
        try:
            return broker.is_redis(broker.url_of(self.app))
        except ConfigurationError:  # a transport for tests, such as memory://
            return False

    def priority_of(self, attempt: Attempt) -> int | None:
        """The number that a message of the attempt has when it arrives: what Celery lets messages
        inherit that the task sends. (On Redis kombu writes 0 where none is given.)"""
        if attempt.priority is None:
            return 0 if self._is_on_redis else None
        return broker.priority(attempt.priority, redis=self._is_on_redis)

    @cached_property
    def tokens(self) -> Tokens:
        """Access tokens that the calls of this process share."""
        from orchestrator.calls.tokens import Tokens

        return Tokens()

    @property
    def hand(self) -> Hand:
        """The slot of this child process, or of this thread of the pool of threads."""
        hand: Hand | None = getattr(self._local, "hand", None)
        if hand is None:
            with self._lock:
                index, self._threads = self._threads, self._threads + 1
            hand = self._local.hand = self.hands.slot(index, os.getpid())
        return hand

    @property
    def holder(self) -> Holder:
        """Who holds what this process claims."""
        if self._holder is None:
            from orchestrator import state_manager

            self._holder = state_manager.Holder(self.worker_id, os.getpid())
        return self._holder

    def close(self) -> None:
        """Give back what this process has connected."""
        if self._services is not None:
            self._services.close()
            self._services = None

    # -- its tasks ---------------------------------------------------------------------------

    def own(self, name: str, wrap: Callable[[Tracer], Tracer] = lambda tracer: tracer) -> None:
        """A task of this name is ours: it passes although only steps may run, traced so."""
        self._own_tasks[name] = wrap

    def owns(self, name: str) -> bool:
        """Whether a task of this name is ours."""
        return name in self._own_tasks

    def traced(self, task: Any, tracer: Tracer) -> Tracer:
        """What Celery is to call for each message of a task, given its own tracer for it."""
        self._tracers[task.name] = tracer
        if self.running:
            arm(type(task))
        others = self._for_others(task.name, tracer)

        def trace_task(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
            if request and HEADER in request:
                from orchestrator.execution import steps

                return steps.on_message(self, task, uuid, request)
            return others(uuid, args, kwargs, request)

        return trace_task

    def _for_others(self, name: str, tracer: Tracer) -> Tracer:
        """What handles the messages of a task that are no step's."""
        if name in self._own_tasks:
            return self._own_tasks[name](tracer)
        # Outside a worker the settings are not even read.
        return _refuse_others if self.running and self.settings.steps_only else tracer

    def tracer_of(self, task: Any) -> Tracer:
        """Celery's own tracer of a task, as this process has built it."""
        return self._tracers[task.name]

    def queue_of(self, attempt: Attempt) -> str:
        """The queue of an attempt: its own, or where Celery routes its task."""
        return attempt.queue or self.services.dispatcher.queue_of(attempt)


def _refuse_others(uuid: str, _args: Any, _kwargs: Any, request: Any = None) -> Any:
    name = (request or {}).get("task")
    log.warning("A message that is no step's was refused", action="refused", id=uuid, task=name)
    return ignored("only steps run here")
