"""How a task's way of ending reads as the end of an attempt.

| the task ...                           | its attempt ends ...                             |
|----------------------------------------|--------------------------------------------------|
| returns                                | succeeded, with the value as JSON                |
| returns what JSON can't say            | failed, a data error, outcome unknown            |
| raises                                 | failed, with the exception as DSL error          |
| asks for `self.retry()`, autoretries   | failed, to be tried again in that many seconds   |
| raises `Ignore`                        | succeeded, without output                        |
| raises `Reject`                        | failed; with ``requeue=True`` to be tried again  |
| exits (`SystemExit`)                   | lost: nobody knows what was done                 |
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]
from celery.exceptions import Ignore, Reject, Retry

from orchestrator import json_codec
from orchestrator.clock import now
from orchestrator.core.model import AttemptEnd, AttemptState
from orchestrator.error_handler.task_errors import Mask, data_error, error_of, runtime_error
from orchestrator.settings import variable

if TYPE_CHECKING:
    from orchestrator.execution.step.task_arguments import Arguments

#: `Reject(requeue=True)` hands the message back to the broker at once; a step waits a little,
#: so that a task that always does it does not fill a worker.
REQUEUE_DELAY = 1.0


#: What bounds the size of values.
_BY = f" ({variable('max_payload')})"


def end_of_return(attempt: str, value: Any, limit: int) -> AttemptEnd:
    """The end of a task that returned. `limit`: the largest output, in bytes of JSON."""
    try:
        output = json_codec.to_json(value)
        size = len(json_codec.encode(output))
    except json_codec.NotJson as error:
        return unserializable_output(attempt, str(error), {"type": error.kind, "path": error.path})
    except Exception as error:  # noqa: BLE001  a value's own code, as an attribute's
        return unserializable_output(attempt, f"the output can't be read: {error!r}")
    if size > limit:
        return unserializable_output(
            attempt, f"the output has {size} bytes, the limit is {limit}{_BY}"
        )
    return AttemptEnd(attempt, AttemptState.SUCCEEDED, output=output)


def unserializable_output(
    attempt: str, why: str, refused: dict[str, Any] | None = None
) -> AttemptEnd:
    """The end of a task that has done its work, with an output that can't be kept. `refused`:
    type and path of the value that is no JSON."""
    error = data_error(f"the task has done its work and returned, but {why}", refused)
    return AttemptEnd(attempt, AttemptState.FAILED, error=error, unknown=True)


def end_of_exception(
    attempt: str, exc: BaseException, default_delay: float, mask: Mask
) -> AttemptEnd | None:
    """The end of a task that raised. None: this process is being stopped from outside, so its
    main process, which knows why, ends what it has in hand.

    `default_delay`: seconds until the retry where the task's request does not say. `mask`
    takes secrets out of a text.
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


def end_of_retry(attempt: str, asked: Retry, default_delay: float, mask: Mask) -> AttemptEnd:
    """The end of a task that asked to be tried again."""
    error, traceback = error_of(asked.exc or asked, mask)
    delay = _seconds(asked.when, default_delay)
    return AttemptEnd(
        attempt, AttemptState.FAILED, error=error, traceback=traceback, retry_in=delay
    )


def changes_arguments(asked: Any, arguments: Arguments) -> bool:
    """Whether ``self.retry(args=..., kwargs=...)`` asked for other arguments than these."""
    signature: Any = asked.sig
    if signature is None:
        return False
    return (list(signature.args or ()), dict(signature.kwargs or {})) != (
        list(arguments.args),
        dict(arguments.kwargs),
    )


def with_arguments(ended: AttemptEnd, asked: Any, arguments: Arguments, limit: int) -> AttemptEnd:
    """`ended`, whose next attempt is called with what the task asked for. `limit`: the
    largest arguments, in bytes of JSON.

    Arguments that hold secrets are evaluated after each claim and stored nowhere; others in
    their place would have to be, so that this is refused.
    """
    if arguments.secrets is not None:
        refused = data_error("self.retry() can't change arguments that hold secrets")
        return AttemptEnd(ended.attempt, AttemptState.FAILED, error=refused)
    signature: Any = asked.sig
    try:
        args = json_codec.to_json(list(signature.args or ()))
        kwargs = json_codec.to_json(dict(signature.kwargs or {}))
    except json_codec.NotJson as error:
        return unserializable_output(ended.attempt, f"the arguments of self.retry() hold {error}")
    found = {"args": args, "kwargs": kwargs}
    if len(json_codec.encode(found)) > limit:
        return unserializable_output(
            ended.attempt, f"the arguments of self.retry() exceed {limit} bytes{_BY}"
        )
    return replace(ended, arguments=found)


def _seconds(when: Any, default: float) -> float:
    if when is None:
        return max(default, 0.0)
    if isinstance(when, datetime):
        # As Celery has it: a time without a zone is UTC.
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
    return AttemptEnd(attempt, AttemptState.LOST, error=error, traceback=traceback, unknown=True)
