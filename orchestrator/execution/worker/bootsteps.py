"""Our steps in the start and end of Celery's worker (celery.bootsteps)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.app import trace
from kombu import Queue
from kombu.serialization import prepare_accept_content

from orchestrator import broker_settings
from orchestrator.errors import ConfigurationError
from orchestrator.execution.worker import signal_receivers
from orchestrator.execution.worker.rabbitmq_control_consumer import (
    ControlConsumer,
    accept_what_is_there,
    is_rabbitmq,
)
from orchestrator.log import get_logger

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.execution.worker.main_process import MainProcess
    from orchestrator.execution.worker_runtime import WorkerRuntime

log = get_logger(__name__)

#: Values of worker_prefetch_multiplier that ask for no large stock of messages: Celery's
#: default, and that of those who want none.
_PREFETCHES = (4, 1)

_UNSUITABLE = (
    "steps of workflows run in the pools prefork and threads, not in {pool}: {reason}."
    " Start the worker with -P prefork or -P threads"
)
_GREEN = "its tasks share one thread, so that one waiting for Postgres would stop all"
_SPAWN = "its processes must be forked, to share memory with the worker that reports them"


def add(app: Celery, runtime: WorkerRuntime) -> None:
    """Have every worker of the app take part."""
    app.steps["worker"].add(_worker_step(runtime))
    app.steps["consumer"].add(_consumer_step(runtime))


def _worker_step(runtime: WorkerRuntime) -> type[Any]:
    class Orchestrator(bootsteps.StartStopStep):
        """Prepares before the pool forks; its threads start after."""

        requires = ("celery.worker.components:Pool",)

        def __init__(self, controller: Any, **kwargs: Any) -> None:
            super().__init__(controller, **kwargs)
            self.worker: Any = _prepared(runtime, controller)
            controller.orchestrator = self.worker

        def include_if(self, _controller: Any) -> bool:
            return self.worker is not None

        def start(self, _controller: Any) -> None:
            self.worker.start()

        def stop(self, _controller: Any) -> None:
            """Not yet: the pool ends after this. See `signals`."""

        def terminate(self, _controller: Any) -> None:
            """Nor here."""

        def info(self, _controller: Any) -> Any:
            return {"orchestrator": {"worker": runtime.worker_id, **runtime.counts()}}

    return Orchestrator


def _consumer_step(runtime: WorkerRuntime) -> type[Any]:
    class OrchestratorConsumer(bootsteps.StartStopStep):
        """Follows the consumer through its reconnects."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def include_if(self, _consumer: Any) -> bool:
            return runtime.running

        def start(self, consumer: Any) -> None:
            broker_settings.keep_client(consumer.task_consumer.channel)
            broker_settings.drop_unreadable(consumer.task_consumer.channel, _tell_of_garbage)
            consumer.controller.orchestrator.on_connected(consumer)
            if runtime.control_consumer is not None:
                runtime.control_consumer.start(consumer)

        def register_with_event_loop(self, consumer: Any, _hub: Any) -> None:
            consumer.controller.orchestrator.watch_children(consumer.pool)

        def stop(self, consumer: Any) -> None:
            if runtime.control_consumer is not None:
                runtime.control_consumer.stop(consumer)

    return OrchestratorConsumer


def _tell_of_garbage(error: Exception) -> None:
    log.warning("A message was not readable", action="message_rejected", error=repr(error))


def _prepared(runtime: WorkerRuntime, controller: Any) -> MainProcess | None:
    """The worker, if its pool is one that runs steps.

    Raises:
        ConfigurationError: it is not, or is set up so that it can't, or its database is.
        SystemExit: the latter, in a program.
    """
    kind = _kind_of_pool(controller)
    if kind is None:
        return None
    from orchestrator.database.schema.upgrade import require_schema
    from orchestrator.execution.database_schema_check import require_or_exit
    from orchestrator.execution.step import message_handler  # noqa: F401  before the fork
    from orchestrator.execution.worker.main_process import MainProcess

    require = require_or_exit if _is_program(controller) else require_schema
    runtime.schema_checked = require(runtime.settings)
    _serve_control(runtime)
    _take_only_what_can_start(runtime.app, controller)
    _accept_json(runtime.app)
    if is_rabbitmq(runtime.app):
        accept_what_is_there(runtime.app)
    concurrency = controller.max_concurrency or controller.concurrency
    runtime.become_worker(controller.hostname, concurrency, forks=kind == "prefork")
    worker = MainProcess(runtime)
    signal_receivers.set_worker(worker)
    return worker


def _kind_of_pool(controller: Any) -> str | None:
    from celery.concurrency import prefork, thread

    pool = controller.pool_cls
    if issubclass(pool, thread.TaskPool):
        return "threads"
    if issubclass(pool, prefork.TaskPool):
        if controller.pool_start_method != "fork":
            raise ConfigurationError(_UNSUITABLE.format(pool="spawned prefork", reason=_SPAWN))
        return "prefork"
    name = pool.__module__.rpartition(".")[2]
    if _is_program(controller):
        raise ConfigurationError(_UNSUITABLE.format(pool=name, reason=_GREEN))
    # celery.contrib.testing runs users' own tests in a pool of one thread by default.
    log.warning("This embedded worker runs no steps", action="no_steps", pool=name)
    return None


def _is_program(controller: Any) -> bool:
    from celery.apps.worker import Worker as Program

    return isinstance(controller, Program)


def _serve_control(runtime: WorkerRuntime) -> None:
    """Consume the control queue too, so that a small set-up needs one process."""
    app: Any = runtime.app
    name = runtime.settings.control_queue
    wanted = name in app.amqp.queues.consume_from
    if not wanted and not runtime.settings.serve_control:
        return
    queue = _declared(app, name)
    if is_rabbitmq(app):
        app.amqp.queues.deselect(name)
        runtime.control_consumer = ControlConsumer(queue)
    elif not wanted:
        app.amqp.queues.select_add(queue)


def _declared(app: Any, name: str) -> Queue:
    """The control queue as every process of ours declares it."""
    try:
        return broker_settings.queue(name, broker_settings.url_of(app))
    except ConfigurationError:  # a transport for tests, such as memory://
        return Queue(name, routing_key=name)


def _take_only_what_can_start(app: Any, controller: Any) -> None:
    """A message in a busy worker's hands is a step that waits although others are idle. On
    Redis Celery can leave it at the broker, on RabbitMQ it takes one for each slot at least;
    an app that chose otherwise keeps its choice."""
    conf = app.conf
    if conf.worker_prefetch_multiplier not in _PREFETCHES:
        return
    driver = app.connection_for_read().transport.driver_type
    if driver == "redis":
        conf.worker_disable_prefetch = True
    elif driver == "amqp":
        controller.prefetch_multiplier = 1


def _accept_json(app: Any) -> None:
    """Steps' messages are JSON, also for an app whose own messages are something else."""
    accepted = app.conf.accept_content
    if {"json", "application/json"}.intersection(accepted):
        return
    app.conf.accept_content = [*accepted, "json"]
    # What Celery's fast tracer has read before this.
    known: list[Any] = getattr(trace, "_localized", [])
    if known:
        known[1] = prepare_accept_content(app.conf.accept_content)
