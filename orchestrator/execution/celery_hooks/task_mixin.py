"""The mixin of each task class of an installed app.

Outside a workflow it only checks each message for our header, and Celery's own tracer runs the
task. A process that is no worker does not get the ``__call__`` of `add_call_hook` either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.canvas import Signature
from celery.exceptions import Ignore, Retry
from celery.result import AsyncResult

from orchestrator.celery_versions import OBEYS_IGNORE_RESULT
from orchestrator.execution.celery_hooks.result_backend import refuse_steps
from orchestrator.execution.context_variables import current_attempt
from orchestrator.message_names import HEADER

if TYPE_CHECKING:
    from celery import Task

    from orchestrator.execution.internal_protocols import CurrentAttempt, TracerSource


class TaskReplaced(Ignore):
    """A step's task was replaced by `signature`. Celery handles it as an ignored task."""

    def __init__(self, signature: Signature[Any]) -> None:
        super().__init__("Replaced by new task")
        self.signature = signature


class UnsentSignature(Signature):
    """A signature that is not sent: a step's retry is a timer in Postgres, not a message."""

    def apply_async(self, *_: Any, **__: Any) -> AsyncResult[Any]:
        """Return the result object of the message, without sending it.

        Raises:
            TypeError: the task does not accept these arguments; `Task.apply_async` checks the same.
        """
        check_arguments = getattr(self.type, "__header__", None)
        if self.type.typing and check_arguments is not None:
            check_arguments(*(self.args or ()), **(self.kwargs or {}))
        result: AsyncResult[Any] = self.type.AsyncResult(self.options.get("task_id"))
        return result


class StepMixin:
    """The first base class of a task's class."""

    _installed: TracerSource
    _traced: Any = None

    @property
    def __trace__(self) -> Any:
        """The function that Celery calls for each message (celery.app.trace)."""
        return self._traced

    @__trace__.setter
    def __trace__(self, tracer: Any) -> None:
        self._traced = tracer and self._installed.wrap_tracer(self, tracer)

    def retry(self, *args: Any, **kwargs: Any) -> Any:
        """Call `Task.retry`. In a step it counts and raises the same, but sends no message."""
        running = _current_attempt_of(self)
        if running is None:
            return super().retry(*args, **kwargs)  # type: ignore[misc]
        with running.intercept_retry():
            retry = super().retry(*args, **kwargs)  # type: ignore[misc]
        if isinstance(retry, Retry):
            running.record_retry(retry)
        return retry

    def signature_from_request(self, request: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Call `Task.signature_from_request`. A step's own message is never sent again."""
        signature = super().signature_from_request(request, *args, **kwargs)  # type: ignore[misc]
        running = _current_attempt_of(self)
        if (running is not None and running.is_retrying) or _is_steps(request):
            return UnsentSignature(signature, app=self.app)  # type: ignore[attr-defined]
        return signature

    def on_replace(self, sig: Signature[Any]) -> Any:
        """Call `Task.on_replace`. In a step the replacement runs at once, in the same slot."""
        running = _current_attempt_of(self)
        if running is None or self.request.is_eager:  # type: ignore[attr-defined]
            return super().on_replace(sig)  # type: ignore[misc]
        raise TaskReplaced(sig)


class ResultlessStepMixin(StepMixin):
    """The mixin for a Celery that stores a step's states although its message forbids it."""

    @property
    def backend(self) -> Any:
        """The task's result backend."""
        return refuse_steps(super().backend)  # type: ignore[misc]

    @backend.setter
    def backend(self, backend: Any) -> None:
        self._backend = backend


_MIXIN = StepMixin if OBEYS_IGNORE_RESULT else ResultlessStepMixin


def _current_attempt_of(task: object) -> CurrentAttempt | None:
    """Return the attempt that this task runs; None outside a step, and in an eager call."""
    running = current_attempt.get()
    return running if running is not None and running.is_of(task) else None


def _is_steps(request: Any) -> bool:
    """Return whether a request of Celery's main process has our header."""
    return HEADER in (getattr(request, "headers", None) or ())


def with_mixin(cls: type[Any], installed: TracerSource) -> type[Any]:
    """Return a subclass of `cls` with the mixin, and with the name and docstring of `cls`."""
    if getattr(cls, "_installed", None) is installed:
        return cls
    identity = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
    bases = (cls,) if issubclass(cls, StepMixin) else (_MIXIN, cls)
    return type(cls.__name__, bases, {**identity, "_installed": installed})


def add_call_hook(cls: type[Any]) -> None:
    """Give the task class of a worker a ``__call__`` that runs a step's body.

    Celery's tracer calls the task itself if its class has a ``__call__``. So this one wraps the
    task's own ``__call__``, the `run` that `autoretry_for` has wrapped, and the hooks of error
    trackers.
    """
    if "__call__" in cls.__dict__:
        return

    def __call__(self: Task[Any, Any], *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        running = current_attempt.get()
        call = super(cls, self).__call__
        if running is None or not running.is_outer_call(self):
            return call(*args, **kwargs)
        return running.run_body(lambda: call(*args, **kwargs))

    cls.__call__ = __call__
