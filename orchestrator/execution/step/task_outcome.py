"""Converts the end of a task to the end of its attempt.

| the task ...                           | its attempt ends ...                             |
|----------------------------------------|--------------------------------------------------|
| returns                                | succeeded, with the value as JSON                |
| returns a value that is not JSON       | failed, a data error, outcome unknown            |
| raises                                 | failed, with the exception as DSL error          |
| calls `self.retry()`, or autoretries   | failed, with the delay until the next attempt    |
| raises `Ignore`                        | succeeded, without output                        |
| raises `Reject`                        | failed; with ``requeue=True`` a retry follows    |
| exits (`SystemExit`)                   | lost, outcome unknown                            |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject, Retry

from orchestrator import json_codec
from orchestrator.celery_versions import terminate_handler_fired
from orchestrator.clock import now
from orchestrator.core.model import AttemptEnd, AttemptState
from orchestrator.error_handler.task_errors import Mask, data_error, error_of, runtime_error
from orchestrator.settings import variable

if TYPE_CHECKING:
    from orchestrator.execution.step.task_arguments import Arguments

ToJson = Callable[[object], json_codec.Json]
"""Turns a Python value into JSON; raises `NotJson`."""

#: Seconds until the retry after `Reject(requeue=True)`. Celery has no delay here; without one, a
#: task that always requeues would occupy a worker.
REQUEUE_DELAY = 1.0

#: The setting that bounds the size of values, for error texts.
_SETTING = f" ({variable('max_payload')})"


def end_of_return(
    attempt: str, value: Any, limit: int, to_json: ToJson = json_codec.to_json
) -> AttemptEnd:
    """Return the end of a task that returned `value`. `limit`: largest output, in bytes of JSON."""
    try:
        output = to_json(value)
        size = len(json_codec.encode(output))
    except json_codec.NotJson as error:
        return unserializable_output(attempt, str(error), {"type": error.kind, "path": error.path})
    except Exception as error:  # noqa: BLE001  the value's own code may raise anything
        return unserializable_output(attempt, f"the output can't be read: {error!r}")
    if size > limit:
        return unserializable_output(
            attempt, f"the output has {size} bytes, the limit is {limit}{_SETTING}"
        )
    return AttemptEnd(attempt, AttemptState.SUCCEEDED, output=output)


def unserializable_output(
    attempt: str, reason: str, refused: dict[str, Any] | None = None
) -> AttemptEnd:
    """Return the end of a task that has done its work, but whose output can't be stored.

    `refused`: type and path of the value that is not JSON."""
    error = data_error(f"the task has done its work and returned, but {reason}", refused)
    return AttemptEnd(attempt, AttemptState.FAILED, error=error, outcome_unknown=True)


def end_of_exception(
    attempt: str, exc: BaseException, default_delay: float, mask: Mask
) -> AttemptEnd | None:
    """Return the end of a task that raised `exc`.

    None if a signal is ending this process: the main process knows the reason and reports the
    attempt. `default_delay`: seconds until a retry that names no delay. `mask` replaces the
    secrets in a text.
    """
    if isinstance(exc, Retry):
        return end_of_retry(attempt, exc, default_delay, mask)
    if isinstance(exc, Ignore):
        return AttemptEnd(attempt, AttemptState.SUCCEEDED)
    if isinstance(exc, Reject):
        return _rejected(attempt, exc)
    if isinstance(exc, SystemExit | KeyboardInterrupt):
        return None if terminate_handler_fired() else _exited(attempt, exc, mask)
    error, traceback = error_of(exc, mask)
    return AttemptEnd(attempt, AttemptState.FAILED, error=error, traceback=traceback)


def end_of_retry(attempt: str, retry: Retry, default_delay: float, mask: Mask) -> AttemptEnd:
    """Return the end of a task that requested a retry; see `end_of_exception`."""
    error, traceback = error_of(retry.exc or retry, mask)
    delay = _seconds(retry.when, default_delay)
    return AttemptEnd(
        attempt, AttemptState.FAILED, error=error, traceback=traceback, retry_in=delay
    )


def changes_arguments(retry: Any, arguments: Arguments) -> bool:
    """Return whether ``self.retry(args=..., kwargs=...)`` was called with other arguments."""
    signature: Any = retry.sig
    if signature is None:
        return False
    return (list(signature.args or ()), dict(signature.kwargs or {})) != (
        list(arguments.args),
        dict(arguments.kwargs),
    )


def with_arguments(
    ended: AttemptEnd,
    retry: Any,
    arguments: Arguments,
    limit: int,
    to_json: ToJson = json_codec.to_json,
) -> AttemptEnd:
    """Return `ended` with the arguments that the retry requested, for the next attempt.

    `limit`: largest arguments, in bytes of JSON. Returns a failure if the present arguments hold
    secrets: they are evaluated after each claim and never stored, but these would be stored.
    """
    if arguments.secrets is not None:
        refused = data_error("self.retry() can't change arguments that hold secrets")
        return AttemptEnd(ended.attempt, AttemptState.FAILED, error=refused)
    signature: Any = retry.sig
    try:
        args = to_json(list(signature.args or ()))
        kwargs = to_json(dict(signature.kwargs or {}))
    except json_codec.NotJson as error:
        return unserializable_output(ended.attempt, f"the arguments of self.retry() hold {error}")
    arguments_json = {"args": args, "kwargs": kwargs}
    if len(json_codec.encode(arguments_json)) > limit:
        return unserializable_output(
            ended.attempt, f"the arguments of self.retry() exceed {limit} bytes{_SETTING}"
        )
    return replace(ended, arguments=arguments_json)


def _seconds(when: Any, default: float) -> float:
    if when is None:
        return max(default, 0.0)
    if isinstance(when, datetime):
        # Read a time without a time zone as UTC, as Celery does.
        aware = when if when.tzinfo else when.replace(tzinfo=now().tzinfo)
        return max((aware - now()).total_seconds(), 0.0)
    return max(float(when), 0.0)


def _rejected(attempt: str, exc: Any) -> AttemptEnd:
    reason = "" if exc.reason is None else str(exc.reason)
    error = runtime_error("Reject", reason or "the task rejected its message")
    delay = REQUEUE_DELAY if exc.requeue else None
    return AttemptEnd(attempt, AttemptState.FAILED, error=error, retry_in=delay)


def _exited(attempt: str, exc: BaseException, mask: Mask) -> AttemptEnd:
    _, traceback = error_of(exc, mask)
    error = runtime_error(type(exc).__name__, f"the task ended its process ({exc!r})")
    return AttemptEnd(
        attempt, AttemptState.LOST, error=error, traceback=traceback, outcome_unknown=True
    )
