"""``install(app)``: lets every task of a Celery app run as a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from orchestrator.errors import ConfigurationError
from orchestrator.execution import internal_tasks
from orchestrator.execution.celery_hooks.installed_app import InstalledApp
from orchestrator.execution.celery_hooks.task_mixin import with_mixin
from orchestrator.execution.runtime.worker_runtime import WorkerRuntime
from orchestrator.execution.worker import bootsteps, signal_receivers

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.settings import Settings

_installed: WeakKeyDictionary[Celery, WorkerRuntime] = WeakKeyDictionary()

_TOO_LATE = (
    "install(app) comes too late: the worker of this app has started already. Call it where the"
    " app is made, right after Celery(...)"
)


def install(app: Celery, settings: Settings | None = None) -> None:
    """Let the workers of this app run the steps of workflows.

    Tasks, and calls of them outside a workflow, do not change. Call it before or after the tasks
    are defined; a second call does nothing. `settings`: None to read them from the environment
    when a worker starts.

    Raises:
        ConfigurationError: a worker of this app runs already.
    """
    if app in _installed:
        return
    if _is_started(app):
        raise ConfigurationError(_TOO_LATE)

    def on_step_message(task: Any, uuid: str, request: dict[str, Any]) -> Any:
        # Import the handler at a step's first message: an app without a worker must not load it.
        from orchestrator.execution.step.message_handler import on_message

        return on_message(runtime, task, uuid, request)

    installed = InstalledApp(app, settings, on_step_message)
    runtime = _installed[app] = WorkerRuntime(installed)
    _watch_registry(app, installed)
    internal_tasks.register(app, runtime)
    bootsteps.add(app, runtime)
    signal_receivers.connect()


def runtime_of(app: Celery) -> WorkerRuntime | None:
    """Return the runtime of an app; None without `install(app)`."""
    return _installed.get(app)


def _is_started(app: Any) -> bool:
    """Return whether a worker of this app has started, and has built its tasks' tracers."""
    if app.use_fast_trace_task:
        return True
    return any(getattr(task, "__trace__", None) is not None for task in app._tasks.values())  # noqa: SLF001


def _watch_registry(app: Any, installed: InstalledApp) -> None:
    """Add the mixin to all tasks of the app, and to each task when it is registered.

    Only the registry sees all of them: lazily decorated tasks, shared tasks, class-based tasks,
    and tasks that are registered in a running worker.
    """
    registry = app._tasks  # noqa: SLF001  `app.tasks` would finalise the app
    base = type(registry)

    class Registry(base):  # type: ignore[misc, valid-type]
        """The app's task registry, which adds the mixin to each task."""

        def __setitem__(self, name: str, task: Any) -> None:
            _add_mixin(task, installed)
            super().__setitem__(name, task)

    Registry.__name__, Registry.__qualname__ = base.__name__, base.__qualname__
    registry.__class__ = Registry
    for task in registry.values():
        _add_mixin(task, installed)


def _add_mixin(task: Any, installed: InstalledApp) -> None:
    task.__class__ = with_mixin(type(task), installed)
