"""A Celery app after `install(app)`: its settings, internal tasks and tracers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from orchestrator.execution.celery_hooks.celery_trace_result import ignored
from orchestrator.execution.celery_hooks.task_mixin import add_call_hook
from orchestrator.execution.internal_protocols import Tracer
from orchestrator.log import get_logger
from orchestrator.message_names import HEADER
from orchestrator.settings import Settings, load_settings

if TYPE_CHECKING:
    from celery import Celery

log = get_logger(__name__)

StepHandler = Callable[[Any, str, dict[str, Any]], Any]
"""Handles a step's message: `(task, attempt id, request)`. Returns a tracer's result."""


class InstalledApp:
    """One Celery app after `install(app)`. `on_step_message` handles the messages of steps."""

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
        """The settings, read at first use: an app that never runs a worker needs none."""
        return self._settings or load_settings()

    def start_steps(self) -> None:
        """Let the tasks of this process run as steps."""
        self.runs_steps = True
        for task in list(self.app.tasks.values()):
            add_call_hook(type(task))

    def register_internal_task(
        self, name: str, wrap: Callable[[Tracer], Tracer] = lambda tracer: tracer
    ) -> None:
        """Register an internal task. It runs even where `steps_only` refuses all other tasks.
        `wrap` wraps its tracer."""
        self._internal_tasks[name] = wrap

    def is_internal_task(self, name: str) -> bool:
        """Return whether a task of this name is internal."""
        return name in self._internal_tasks

    def wrap_tracer(self, task: Any, tracer: Tracer) -> Tracer:
        """Return the function that Celery calls for each message of a task. `tracer`: Celery's."""
        self._tracers[task.name] = tracer
        if self.runs_steps:
            add_call_hook(type(task))
        foreign_tracer = self._foreign_tracer(task.name, tracer)

        def trace_task(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
            if request and HEADER in request:
                return self._on_step_message(task, uuid, request)
            return foreign_tracer(uuid, args, kwargs, request)

        return trace_task

    def _foreign_tracer(self, name: str, tracer: Tracer) -> Tracer:
        """Return the function for messages that are not a step's."""
        if name in self._internal_tasks:
            return self._internal_tasks[name](tracer)
        # Test `runs_steps` first. It is False outside a worker, where the settings may be absent
        # and must not be read.
        return _refuse_foreign if self.runs_steps and self.settings.steps_only else tracer

    def tracer_of(self, task: Any) -> Tracer:
        """Return Celery's own tracer of a task, as this process has built it."""
        return self._tracers[task.name]


def _refuse_foreign(uuid: str, _args: Any, _kwargs: Any, request: Any = None) -> Any:
    name = (request or {}).get("task")
    log.warning(
        "A message that is not a step's was refused", action="message_refused", id=uuid, task=name
    )
    return ignored("only steps run here")
