"""Wires everything once, at the top of a process (an API, a worker, a beat)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.core import Bounds
from orchestrator.database.access import secret_queries as sealed
from orchestrator.database.connection.database import Database
from orchestrator.database.connection.database_clock import DatabaseClock
from orchestrator.database.schema import upgrade
from orchestrator.database.transitions.state_store import PostgresStore
from orchestrator.event_handler.match_loop import EventHandler
from orchestrator.expressions import Evaluator
from orchestrator.expressions.sandbox import Sandbox
from orchestrator.metrics import Meter
from orchestrator.secrets.encryption import SecretCipher
from orchestrator.secrets.sources import SecretSource
from orchestrator.settings import Settings
from orchestrator.state_manager import Commander, StateManager, TransitionRunner, WorkflowCache
from orchestrator.task_dispatcher import TaskDispatcher

if TYPE_CHECKING:
    from celery import Celery


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a process needs, made from its settings and its Celery app."""

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
    meter: Meter

    def close(self) -> None:
        """Give back connections and child processes."""
        self.evaluator.close()
        self.dispatcher.close()
        self.database.close()


def services(
    settings: Settings,
    app: Celery,
    meter: Meter | None = None,
    *,
    keep: bool = False,
    checked: bool = True,
) -> Services:
    """Make the services; nothing is connected to until it is used.

    `app` is the Celery app that messages go out through: the users' own in their workers;
    `meter` counts what this process does; `keep`: its threads keep their connections
    (`Database`). Where the schema was not `checked`, every statement raises `UnknownSchema` if
    that turns out to be none that this release works on.
    """
    meter = meter or Meter()
    greet = None if checked else upgrade.check_connection
    database = Database(settings.database_url, size=settings.database_pool, keep=keep, greet=greet)
    dispatcher = TaskDispatcher(app, settings.control_queue, settings.publish_timeout, meter)
    evaluator = Evaluator(Sandbox(settings.expression_cpu))
    vault = SecretCipher(settings.secrets_key)
    secrets = SecretSource(
        settings.secrets_dir,
        stored=lambda reader, *of: sealed.opened(reader, vault, *of),
    )
    store = PostgresStore(database, secrets)
    workflows = WorkflowCache(store)
    state = StateManager(
        store=store,
        dispatcher=dispatcher,
        workflows=workflows,
        time=DatabaseClock(),
        runner=TransitionRunner(evaluator.evaluate, _limits(settings), dispatcher.queue_of),
        meter=meter,
    )
    commander = Commander(workflows, _limits(settings), dispatcher.queue_of, meter=meter)
    events = EventHandler(
        database, evaluator.evaluate, dispatcher, settings.max_payload, settings.event_look_back
    )
    return Services(
        settings=settings,
        database=database,
        dispatcher=dispatcher,
        evaluator=evaluator,
        workflows=workflows,
        store=store,
        state=state,
        commander=commander,
        secrets=secrets,
        cipher=vault,
        events=events,
        meter=meter,
    )


def _limits(settings: Settings) -> Bounds:
    """The core counts a number for each step and one for its completion."""
    return Bounds(
        counter=2 * settings.max_steps,
        other_namespaces=settings.run_across_namespaces,
        payload=settings.max_payload,
    )
