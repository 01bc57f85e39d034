"""Steps of documents with ``metadata.values: celery``: arguments, results and errors as in Celery.

Arguments and results keep kombu's type tags. An error carries the exception's class and arguments
and the request, so that callers and error callbacks get what they get from Celery. ``raise Ignore``
and ``self.request.chain = None`` end the rest of the chain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery.app.task import Context

from orchestrator import json_codec
from orchestrator.error_handler import exception_records
from orchestrator.error_handler.task_errors import runtime_error
from orchestrator.errors import WorkflowError
from orchestrator.execution.step import annotated_values
from orchestrator.execution.step.task_arguments import Arguments
from orchestrator.json_codec import celery_values

if TYPE_CHECKING:
    from orchestrator.core.model import AttemptEnd
    from orchestrator.state_manager import ClaimedAttempt

#: Largest arguments that an error carries for its error callbacks, in bytes of JSON.
REQUEST_LIMIT = 8 * 1024


class StepValues:
    """How the values of one attempt pass between its task and the instance."""

    def __init__(self, claimed: ClaimedAttempt) -> None:
        self._claimed = claimed
        self.are_celerys = claimed.workflow.metadata.get("values") == "celery"
        #: The `chain` of the task's request. A task that replaces it ends the rest of its chain.
        self.chain: list[Any] | None = [] if self.are_celerys else None

    @property
    def encode(self) -> Callable[[object], json_codec.Json]:
        """The function that turns a Python value into JSON."""
        return celery_values.encode if self.are_celerys else json_codec.to_json

    def decoded(self, arguments: Arguments, function: Callable[..., Any]) -> Arguments:
        """Return the arguments as the task gets them; `function` is its body.

        Raises:
            WorkflowError: one can't be read here, or an error callback's exception can't be built.
        """
        if not self.are_celerys:
            args, kwargs = annotated_values.annotated(function, arguments.args, arguments.kwargs)
            return replace(arguments, args=args, kwargs=kwargs)
        try:
            args, kwargs = celery_values.decode([arguments.args, arguments.kwargs])
        except json_codec.NotJson as error:
            raise _refusal(str(error)) from error
        metadata = self._claimed.workflow.task(self._claimed.step.reference).metadata
        if metadata.get("errback") is True:
            args = [*_error_arguments(arguments.args[0]), *args[1:]]
        return replace(arguments, args=args, kwargs=kwargs)

    def leaves_chain(self, request: Any) -> bool:
        """Whether the task has replaced `self.request.chain`, and so ends the rest of its chain."""
        return self.chain is not None and request.chain is not self.chain

    def with_exception(
        self, ended: AttemptEnd, exc: BaseException, arguments: Arguments | None
    ) -> AttemptEnd:
        """Return the end of a failed attempt with the exception's record in its error."""
        if not self.are_celerys or ended.error is None:
            return ended
        data = ended.error.get("data")
        carried = {**(data if isinstance(data, dict) else {}), **self._record(exc, arguments)}
        return replace(ended, error={**ended.error, "data": carried})

    def _record(self, exc: BaseException, arguments: Arguments | None) -> dict[str, Any]:
        attempt = self._claimed.attempt
        request: dict[str, Any] = {"id": attempt.id, "task": attempt.task}
        if arguments is not None and arguments.secrets is None:
            try:
                values = celery_values.encode([list(arguments.args), arguments.kwargs])
                if len(json_codec.encode(values)) <= REQUEST_LIMIT:
                    request["args"], request["kwargs"] = values
            except json_codec.NotJson:
                pass
        return {"exception": exception_records.record(exc), "request": request}


def _error_arguments(error: Any) -> list[Any]:
    """Return ``[request, exc, traceback]`` of an error callback."""
    data = error.get("data") if isinstance(error, dict) else None
    recorded = data.get("exception") if isinstance(data, dict) else None
    exc = exception_records.rebuild(recorded) if isinstance(recorded, dict) else None
    if exc is None or data is None:
        raise _refusal("the exception can't be built again here, which the callback needs")
    request = celery_values.decode(data.get("request") or {})
    return [Context({"args": [], "kwargs": {}, **request}), exc, None]


def _refusal(detail: str) -> WorkflowError:
    error = runtime_error("The arguments can't be read", detail)
    return WorkflowError(error["type"], error["status"], error["title"], error["detail"])
