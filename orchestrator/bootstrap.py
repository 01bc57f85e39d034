"""Creates the services of a process (an API, a worker, a beat) and connects them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.broker_settings import is_own_app, url_of, without_password
from orchestrator.core import Bounds
from orchestrator.database.access import secret_queries
from orchestrator.database.connection.database import Database
from orchestrator.database.connection.database_clock import DatabaseClock
from orchestrator.database.schema import upgrade
from orchestrator.database.transitions.state_store import PostgresStore
from orchestrator.database.workers.announced_routes import AnnouncedRoutes
from orchestrator.event_handler.match_loop import EventHandler
from orchestrator.expressions import Evaluator
from orchestrator.metrics import Meter
from orchestrator.outage_log import BROKER, POSTGRES
from orchestrator.secrets.encryption import SecretCipher
from orchestrator.secrets.sources import SecretSource
from orchestrator.settings import Settings
from orchestrator.start_requests.outbox_mover import OutboxMover
from orchestrator.start_requests.workflow_versions import Catalog
from orchestrator.state_manager import (
    Commander,
    Deliberation,
    StateManager,
    TransitionRunner,
    WorkflowCache,
)
from orchestrator.task_dispatcher import PUBLISH_TIMEOUT, TaskDispatcher

if TYPE_CHECKING:
    from celery import Celery


@dataclass(frozen=True, slots=True)
class Services:
    """The services of one process, created from its settings and its Celery app."""

    settings: Settings
    database: Database
    dispatcher: TaskDispatcher
    evaluator: Evaluator
    workflows: WorkflowCache
    store: PostgresStore
    state: StateManager
    commander: Commander
    secrets: SecretSource
    cipher: SecretCipher
    events: EventHandler
    versions: Catalog
    outbox: OutboxMover
    meter: Meter

    def close(self) -> None:
        """Close all connections and end the child processes."""
        self.evaluator.close()
        self.dispatcher.close()
        self.database.close()


def _shown(url: str) -> str | None:
    """Return a URL for a log line; None for anything else, which may be a password."""
    return without_password(url) if "://" in url else None


def _dispatcher(
    settings: Settings, app: Celery, database: Database, meter: Meter
) -> TaskDispatcher:
    return TaskDispatcher(
        app,
        settings.control_queue,
        PUBLISH_TIMEOUT,
        meter,
        AnnouncedRoutes(database, settings.lease, settings.default_queue),
        follows_options=is_own_app(app),
    )


def services(
    settings: Settings,
    app: Celery,
    meter: Meter | None = None,
    *,
    keep: bool = False,
    checked: bool = True,
    guard: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Services:
    """Create the services. Each connects at its first use.

    `app`: the Celery app that publishes messages; in users' workers their own. `meter`: the
    metrics of this process. `keep`: its threads keep their connections (`Database`).
    `checked`: False if the schema was not checked; every statement then raises `UnknownSchema`
    if this release does not support it. `guard`: the context of each decision.
    """
    meter = meter or Meter()
    POSTGRES.address = _shown(settings.database_url)
    BROKER.address = _shown(url_of(app))
    database = database_of(settings, keep=keep, checked=checked)
    dispatcher = _dispatcher(settings, app, database, meter)
    evaluator = Evaluator()
    cipher = SecretCipher(settings.secrets_key)
    secrets = _secret_source(settings, cipher)
    store = PostgresStore(database, secrets)
    workflows, versions = WorkflowCache(store), Catalog()
    return Services(
        settings=settings,
        database=database,
        dispatcher=dispatcher,
        evaluator=evaluator,
        workflows=workflows,
        store=store,
        state=StateManager(
            store=store,
            dispatcher=dispatcher,
            workflows=workflows,
            time=DatabaseClock(),
            runner=_runner(settings, evaluator, dispatcher, guard),
            meter=meter,
            lease=settings.lease,
        ),
        commander=Commander(workflows, _limits(settings), dispatcher.queue_of, meter=meter),
        secrets=secrets,
        cipher=cipher,
        versions=versions,
        outbox=OutboxMover(database, versions, settings, evaluator.evaluate),
        events=EventHandler(database, evaluator.evaluate, dispatcher, settings.max_payload),
        meter=meter,
    )


def database_of(
    settings: Settings, *, keep: bool = False, checked: bool = True, size: int | None = None
) -> Database:
    """Create a pool of connections as `services` does; `size`: None for the setting's."""
    return Database(
        settings.database_url,
        size=size or settings.database_pool,
        keep_per_thread=keep,
        on_connect=None if checked else upgrade.check_connection,
    )


def _secret_source(settings: Settings, cipher: SecretCipher) -> SecretSource:
    return SecretSource(
        settings.secrets_dir,
        stored=lambda reader, *of: secret_queries.read_decrypted(reader, cipher, *of),
    )


def _runner(
    settings: Settings,
    evaluator: Evaluator,
    dispatcher: TaskDispatcher,
    guard: Callable[[], AbstractContextManager[None]],
) -> TransitionRunner:
    return TransitionRunner(
        partial(Deliberation, evaluator.evaluate, evaluator.sandbox.run),
        _limits(settings),
        dispatcher.queue_of,
        guard,
    )


def _limits(settings: Settings) -> Bounds:
    """Return the core's bounds."""
    return Bounds(
        other_namespaces=settings.run_across_namespaces,
        payload=settings.max_payload,
    )
