"""What is added to the class of each task of an installed app.

Outside a workflow nothing but one look at the message's headers is: Celery's own tracer runs
the task, and an app that is no worker does not even have the ``__call__`` of `arm`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.canvas import Signature
from celery.exceptions import Ignore, Retry
from celery.result import AsyncResult

from orchestrator.execution.context_variables import current_attempt
from orchestrator.message_names import HEADER

if TYPE_CHECKING:
    from celery import Task

    from orchestrator.execution.internal_protocols import CurrentAttempt, TracerSource


class TaskReplaced(Ignore):
    """A step's task put another in its place; to Celery it is an ignored task."""

    def __init__(self, signature: Signature[Any]) -> None:
        super().__init__("Replaced by new task")
        self.signature = signature


class UnsentSignature(Signature):
    """A signature that is not sent: the retry of a step is a timer's row, not a message."""

    def apply_async(self, *_: Any, **__: Any) -> AsyncResult[Any]:
        """Say what would have been sent."""
        result: AsyncResult[Any] = self.type.AsyncResult(self.options.get("task_id"))
        return result


class StepMixin:
    """The first base of a task's class."""

    _installed: TracerSource
    _traced: Any = None

    @property
    def __trace__(self) -> Any:
        """What Celery calls for each message (celery.app.trace)."""
        return self._traced

    @__trace__.setter
    def __trace__(self, tracer: Any) -> None:
        self._traced = tracer and self._installed.wrap_tracer(self, tracer)

    def retry(self, *args: Any, **kwargs: Any) -> Any:
        """As `Task.retry`; within a step it counts and raises the same, but sends nothing."""
        hold = _current_attempt_of(self)
        if hold is None:
            return super().retry(*args, **kwargs)  # type: ignore[misc]
        with hold.intercept_retry():
            asked = super().retry(*args, **kwargs)  # type: ignore[misc]
        if isinstance(asked, Retry):
            hold.record_retry(asked)
        return asked

    def signature_from_request(self, request: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `Task.signature_from_request`; a step's own message is never sent again."""
        signature = super().signature_from_request(request, *args, **kwargs)  # type: ignore[misc]
        hold = _current_attempt_of(self)
        if (hold is not None and hold.is_retrying) or _is_steps(request):
            return UnsentSignature(signature, app=self.app)  # type: ignore[attr-defined]
        return signature

    def on_replace(self, sig: Signature[Any]) -> Any:
        """As `Task.on_replace`; a step's replacement runs at once, in its place."""
        hold = _current_attempt_of(self)
        if hold is None or self.request.is_eager:  # type: ignore[attr-defined]
            return super().on_replace(sig)  # type: ignore[misc]
        raise TaskReplaced(sig)


def _current_attempt_of(task: object) -> CurrentAttempt | None:
    """The step that this task carries out right now; none for its eager calls of itself."""
    hold = current_attempt.get()
    return hold if hold is not None and hold.is_of(task) else None


def _is_steps(request: Any) -> bool:
    """Whether a request of Celery's main process came with our header."""
    return HEADER in (getattr(request, "headers", None) or ())


def with_mixin(cls: type[Any], installed: TracerSource) -> type[Any]:
    """The class with the mixin, looking from outside like itself."""
    if getattr(cls, "_installed", None) is installed:
        return cls
    looks = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
    bases = (cls,) if issubclass(cls, StepMixin) else (StepMixin, cls)
    return type(cls.__name__, bases, {**looks, "_installed": installed})


def add_call_hook(cls: type[Any]) -> None:
    """Give the class, in a worker, the ``__call__`` through which a step's body runs.

    Celery's tracer calls the task itself where its class has a ``__call__`` (as it does for
    every task of a worker), so this is around the task's own one, around what `autoretry_for`
    made of `run`, and around what error trackers have put there.
    """
    if "__call__" in cls.__dict__:
        return

    def __call__(self: Task[Any, Any], *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        hold = current_attempt.get()
        call = super(cls, self).__call__
        if hold is None or not hold.is_outer_call(self):
            return call(*args, **kwargs)
        return hold.run_body(lambda: call(*args, **kwargs))

    cls.__call__ = __call__
