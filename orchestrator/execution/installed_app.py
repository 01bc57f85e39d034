"""What is known of an app once `install(app)` was called: its settings, tasks and tracers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from orchestrator.execution.celery_trace_result import ignored
from orchestrator.execution.internal_protocols import Tracer
from orchestrator.execution.task_mixin import add_call_hook
from orchestrator.log import get_logger
from orchestrator.message_names import HEADER
from orchestrator.settings import Settings, load_settings

if TYPE_CHECKING:
    from celery import Celery

log = get_logger(__name__)

StepHandler = Callable[[Any, str, dict[str, Any]], Any]
"""Handles a step's message: `(task, attempt id, request)`; returns a tracer's result."""


class InstalledApp:
    """One Celery app with `install(app)`. `on_step_message` gets the messages of steps."""

    def __init__(
        self, app: Celery, settings: Settings | None, on_step_message: StepHandler
    ) -> None:
        self.app = app
        #: Whether this process belongs to a worker that runs steps.
        self.runs_steps = False
        self._settings = settings
        self._on_step_message = on_step_message
        self._tracers: dict[str, Tracer] = {}
        self._internal_tasks: dict[str, Callable[[Tracer], Tracer]] = {}

    @cached_property
    def settings(self) -> Settings:
        """Read at first use: an app that never runs a worker needs none."""
        return self._settings or load_settings()

    def start_steps(self) -> None:
        """From now on the tasks of this process may run as steps."""
        self.runs_steps = True
        for task in list(self.app.tasks.values()):
            add_call_hook(type(task))

    def register_internal_task(
        self, name: str, wrap: Callable[[Tracer], Tracer] = lambda tracer: tracer
    ) -> None:
        """Register one of our own tasks. It runs even where `steps_only` refuses all tasks that
        are no steps. `wrap` wraps its tracer."""
        self._internal_tasks[name] = wrap

    def is_internal_task(self, name: str) -> bool:
        """Whether a task of this name is one of our own."""
        return name in self._internal_tasks

    def wrap_tracer(self, task: Any, tracer: Tracer) -> Tracer:
        """Return what Celery is to call for each message of a task, given its own tracer."""
        self._tracers[task.name] = tracer
        if self.runs_steps:
            add_call_hook(type(task))
        others = self._foreign_tracer(task.name, tracer)

        def trace_task(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
            if request and HEADER in request:
                return self._on_step_message(task, uuid, request)
            return others(uuid, args, kwargs, request)

        return trace_task

    def _foreign_tracer(self, name: str, tracer: Tracer) -> Tracer:
        """What handles the messages of a task that are no step's."""
        if name in self._internal_tasks:
            return self._internal_tasks[name](tracer)
        # Outside a worker the settings are not even read.
        return _refuse_foreign if self.runs_steps and self.settings.steps_only else tracer

    def tracer_of(self, task: Any) -> Tracer:
        """Celery's own tracer of a task, as this process has built it."""
        return self._tracers[task.name]


def _refuse_foreign(uuid: str, _args: Any, _kwargs: Any, request: Any = None) -> Any:
    name = (request or {}).get("task")
    log.warning("A message that is no step's was refused", action="refused", id=uuid, task=name)
    return ignored("only steps run here")
