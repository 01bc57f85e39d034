"""Stubs in place of the bodies of tasks: within a real task's signature and retries, or within a
task that exists for the stub only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.app.autoretry import add_autoretry_behaviour

from orchestrator.execution.celery_hooks.task_mixin import add_call_hook
from orchestrator.execution.installation import install
from orchestrator.message_names import CALL
from orchestrator.testing import stubs
from orchestrator.testing.stubs import Stub

if TYPE_CHECKING:
    from celery import Task

    from orchestrator.execution.step.task_arguments import Arguments


class _StubbedTask:
    """A task with a stub for its body, for Celery's own autoretry."""

    def __init__(self, task: Any, run: Callable[..., Any]) -> None:
        self.__dict__.update(_task=task, run=run)

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_run":  # set by autoretry
            raise AttributeError(name)
        return getattr(self._task, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("_orig_run", "run"):
            self.__dict__[name] = value
        else:  # Task.retry reads it from the task
            setattr(self._task, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._task, name)


def run_stub(task: Task[Any, Any], stub: Stub, arguments: Arguments) -> Any:
    """Call a stub as the body of a task."""
    args, kwargs = arguments.args, arguments.kwargs
    check = getattr(task, "__header__", None)
    if check is not None and task.typing:
        check(*args, **kwargs)

    def run(*args: Any, **kwargs: Any) -> Any:
        return stubs.answer(stub, args, kwargs)

    if not getattr(task, "autoretry_for", None):
        return run(*args, **kwargs)
    with_retries = _StubbedTask(task, run)
    add_autoretry_behaviour(with_retries)
    return with_retries.run(*args, **kwargs)


_apps: list[Celery] = []


def stub_app() -> Celery:
    """Return the app of stubs that no real task has the name of, and of calls."""
    if not _apps:
        app = Celery(
            "orchestrator.testing", broker="memory://", backend="disabled", set_as_current=False
        )
        install(app)
        add_call_hook(type(app.tasks[CALL]))
        _apps.append(app)
    return _apps[0]


def stub_task(app: Celery, name: str) -> Task[Any, Any]:
    """Return the task that carries the stubs of a name that no real task has."""
    if name not in app.tasks:
        options: dict[str, Any] = {"name": name, "shared": False, "typing": False}
        app.task(**options)(_never_run)
        add_call_hook(type(app.tasks[name]))
    return app.tasks[name]


def _never_run(*args: Any, **kwargs: Any) -> None:
    raise AssertionError(f"a stub runs instead of this body ({args}, {kwargs})")
