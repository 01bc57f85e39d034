"""Our bootsteps in the start and stop of Celery's worker (celery.bootsteps)."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.app import trace
from kombu import Queue
from kombu.serialization import prepare_accept_content

from orchestrator import broker_settings, native_threads
from orchestrator.errors import ConfigurationError, DatabaseUnavailable
from orchestrator.execution.process.configuration_exit import configuration_exit
from orchestrator.execution.process.installed_parts import require_parts
from orchestrator.execution.worker import (
    pools,
    prefetch_limit,
    signal_receivers,
    unreadable_messages,
)
from orchestrator.execution.worker.rabbitmq_control_consumer import (
    ControlConsumer,
    accept_existing_queues,
    is_rabbitmq,
)
from orchestrator.log import get_logger, warn_of_misspelt_settings

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.execution.runtime.worker_runtime import WorkerRuntime
    from orchestrator.execution.worker.main_process import MainProcess

log = get_logger(__name__)


def add(app: Celery, runtime: WorkerRuntime) -> None:
    """Add the bootsteps to every worker of the app."""
    app.steps["worker"].add(_worker_step(runtime))
    app.steps["consumer"].add(_consumer_step(runtime))


def _worker_step(runtime: WorkerRuntime) -> type[Any]:
    class Orchestrator(bootsteps.StartStopStep):
        """Prepares the worker before the pool forks, and starts its threads after that."""

        requires = ("celery.worker.components:Pool",)

        def __init__(self, controller: Any, **kwargs: Any) -> None:
            super().__init__(controller, **kwargs)
            self.worker: Any = _prepare_worker(runtime, controller)
            controller.orchestrator = self.worker

        def include_if(self, _controller: Any) -> bool:
            return self.worker is not None

        def start(self, _controller: Any) -> None:
            self.worker.start()

        def stop(self, _controller: Any) -> None:
            """Do nothing. Celery stops the pool after this bootstep; our threads must outlive it
            and are stopped by the `worker_shutdown` signal."""

        def terminate(self, _controller: Any) -> None:
            """Do nothing, as in `stop`."""

        def info(self, _controller: Any) -> Any:
            return {"orchestrator": {"worker": runtime.worker_id, **runtime.counts()}}

    return Orchestrator


def _consumer_step(runtime: WorkerRuntime) -> type[Any]:
    class OrchestratorConsumer(bootsteps.StartStopStep):
        """Connects our parts to the consumer at each of its (re)connects."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def include_if(self, _consumer: Any) -> bool:
            return runtime.runs_steps

        def start(self, consumer: Any) -> None:
            prefetch_limit.take_only_startable(consumer)
            broker_settings.keep_client(consumer.task_consumer.channel)
            unreadable_messages.protect(consumer)
            consumer.controller.orchestrator.on_connected(consumer)
            if runtime.control_consumer is not None:
                runtime.control_consumer.start(consumer)

        def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
            consumer.controller.orchestrator.listen(hub)
            consumer.controller.orchestrator.watch_children(consumer.pool)

        def stop(self, consumer: Any) -> None:
            if runtime.control_consumer is not None:
                runtime.control_consumer.stop(consumer)

    return OrchestratorConsumer


def _prepare_worker(runtime: WorkerRuntime, controller: Any) -> MainProcess | None:
    """Return the worker's main process; None if its pool runs no steps.

    Raises:
        ConfigurationError: in an embedded worker, a library is not installed or this release does
            not support the schema of the database.
        SystemExit: the same about libraries and schema, in a worker program.
    """
    warn_of_misspelt_settings()
    pool = pools.step_pool(controller)
    if pool is None:
        return None
    with configuration_exit() if pools.is_program(controller) else nullcontext():
        require_parts(runtime.settings)
        _refuse_cluster(runtime.app)
        from orchestrator.database.schema.upgrade import require_schema

        runtime.schema_checked = require_schema(runtime.settings)
    from orchestrator.execution.step import message_handler  # noqa: F401  loaded before the fork
    from orchestrator.execution.worker.main_process import MainProcess

    _adopt_broker_options(runtime)
    _consume_control_queue(runtime)
    _accept_json(runtime.app)
    if pool == pools.GEVENT or not _is_on_redis(runtime.app):
        prefetch_limit.limit_per_slot(controller)
    if is_rabbitmq(runtime.app):
        accept_existing_queues(runtime.app)
    if pool == pools.GEVENT:
        native_threads.enable(runtime.settings.database_pool)
    concurrency = 1 if pool == pools.SOLO else controller.max_concurrency or controller.concurrency
    runtime.become_worker(controller.hostname, concurrency, pool)
    worker = MainProcess(runtime)
    signal_receivers.set_worker(worker)
    return worker


def _is_on_redis(app: Celery) -> bool:
    return bool(app.connection_for_read().transport.driver_type == "redis")


def _refuse_cluster(app: Celery) -> None:
    """Raise `ConfigurationError` if the app's broker is a Redis Cluster."""
    url = broker_settings.url_of(app)
    if url.partition("://")[0] in broker_settings.REDIS - {"sentinel"}:
        broker_settings.refuse_cluster(url)


def _adopt_broker_options(runtime: WorkerRuntime) -> None:
    """Let a worker without a user's app name queues in Redis as the users' apps do."""
    if not broker_settings.is_own_app(runtime.app):
        return
    from orchestrator.database.connection.database import Database
    from orchestrator.database.workers.route_queries import routes

    database = Database(runtime.settings.database_url, size=1)
    try:
        _, announced = routes(database, runtime.settings.lease)
        url = broker_settings.url_of(runtime.app)
        runtime.app.conf.broker_transport_options = broker_settings.with_announced(url, announced)
    except (DatabaseUnavailable, ConfigurationError) as error:
        log.info("The broker's options are unknown", action="options_unknown", error=str(error))
    finally:
        database.close()


def _consume_control_queue(runtime: WorkerRuntime) -> None:
    """Let the worker consume the control queue too, so that one worker is enough."""
    app: Any = runtime.app
    name = runtime.settings.control_queue
    is_consumed = name in app.amqp.queues.consume_from
    if not is_consumed and not runtime.settings.serve_control:
        return
    queue = _control_queue(app, name)
    if is_rabbitmq(app):
        app.amqp.queues.deselect(name)
        runtime.control_consumer = ControlConsumer(queue)
    elif not is_consumed:
        app.amqp.queues.select_add(queue)


def _control_queue(app: Any, name: str) -> Queue:
    """Return the control queue as all our processes declare it."""
    try:
        return broker_settings.queue(name, broker_settings.url_of(app))
    except ConfigurationError:  # a transport for tests, such as memory://
        return Queue(name, routing_key=name)


def _accept_json(app: Any) -> None:
    """Let an app whose own messages have another format accept JSON, for the steps' messages."""
    accepted = app.conf.accept_content
    if {"json", "application/json"}.intersection(accepted):
        return
    app.conf.accept_content = [*accepted, "json"]
    # Accept JSON in Celery's tracer too: it made its own copy of the accepted formats earlier.
    localized: list[Any] = getattr(trace, "_localized", [])
    if localized:
        localized[1] = prepare_accept_content(app.conf.accept_content)
