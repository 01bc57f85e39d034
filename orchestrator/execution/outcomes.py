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

from orchestrator import codec
from orchestrator.clock import now
from orchestrator.core.values import AttemptState, Ended
from orchestrator.error_handler import Mask, data_error, error_of, runtime_error
from orchestrator.settings import variable

if TYPE_CHECKING:
    from orchestrator.execution.arguments import Arguments

#: `Reject(requeue=True)` hands the message back to the broker at once; a step waits a little,
#: so that a task that always does it does not fill a worker.
REQUEUE_DELAY = 1.0


#: What bounds the size of values.
_BY = f" ({variable('max_payload')})"


def returned(attempt: str, value: Any, limit: int) -> Ended:
    """The end of a task that returned. `limit`: the largest output, in bytes of JSON."""
    try:
        output = codec.to_json(value)
        size = len(codec.encode(output))
    except codec.NotJson as error:
        return unusable(attempt, str(error), {"type": error.kind, "path": error.path})
    except Exception as error:  # noqa: BLE001  a value's own code, as an attribute's
        return unusable(attempt, f"the output can't be read: {error!r}")
    if size > limit:
        return unusable(attempt, f"the output has {size} bytes, the limit is {limit}{_BY}")
    return Ended(attempt, AttemptState.SUCCEEDED, output=output)


def unusable(attempt: str, why: str, refused: dict[str, Any] | None = None) -> Ended:
    """The end of a task that has done its work, with an output that can't be kept. `refused`:
    type and path of the value that is no JSON."""
    error = data_error(f"the task has done its work and returned, but {why}", refused)
    return Ended(attempt, AttemptState.FAILED, error=error, unknown=True)


def raised(attempt: str, exc: BaseException, default_delay: float, mask: Mask) -> Ended | None:
    """The end of a task that raised. None: this process is being stopped from outside, so its
    main process, which knows why, ends what it has in hand.

    `default_delay`: seconds until the retry where the task's request does not say. `mask`
    takes secrets out of a text.
    """
    if isinstance(exc, Retry):
        return retried(attempt, exc, default_delay, mask)
    if isinstance(exc, Ignore):
        return Ended(attempt, AttemptState.SUCCEEDED)
    if isinstance(exc, Reject):
        return _rejected(attempt, exc)
    if isinstance(exc, SystemExit | KeyboardInterrupt):
        return None if terminate_handler_fired() else _exited(attempt, exc, mask)
    error, traceback = error_of(exc, mask)
    return Ended(attempt, AttemptState.FAILED, error=error, traceback=traceback)


def retried(attempt: str, asked: Retry, default_delay: float, mask: Mask) -> Ended:
    """The end of a task that asked to be tried again."""
    error, traceback = error_of(asked.exc or asked, mask)
    delay = _seconds(asked.when, default_delay)
    return Ended(attempt, AttemptState.FAILED, error=error, traceback=traceback, retry_in=delay)


def asks_for_others(asked: Any, arguments: Arguments) -> bool:
    """Whether ``self.retry(args=..., kwargs=...)`` asked for other arguments than these."""
    signature: Any = asked.sig
    if signature is None:
        return False
    return (list(signature.args or ()), dict(signature.kwargs or {})) != (
        list(arguments.args),
        dict(arguments.kwargs),
    )


def with_others(ended: Ended, asked: Any, arguments: Arguments, limit: int) -> Ended:
    """`ended`, whose next attempt is called with what the task asked for. `limit`: the
    largest arguments, in bytes of JSON.

    Arguments that hold secrets are evaluated after each claim and stored nowhere; others in
    their place would have to be, so that this is refused.
    """
    if arguments.secrets is not None:
        refused = data_error("self.retry() can't change arguments that hold secrets")
        return Ended(ended.attempt, AttemptState.FAILED, error=refused)
    signature: Any = asked.sig
    try:
        args = codec.to_json(list(signature.args or ()))
        kwargs = codec.to_json(dict(signature.kwargs or {}))
    except codec.NotJson as error:
        return unusable(ended.attempt, f"the arguments of self.retry() hold {error}")
    found = {"args": args, "kwargs": kwargs}
    if len(codec.encode(found)) > limit:
        return unusable(ended.attempt, f"the arguments of self.retry() exceed {limit} bytes{_BY}")
    return replace(ended, arguments=found)


def _seconds(when: Any, default: float) -> float:
    if when is None:
        return max(default, 0.0)
    if isinstance(when, datetime):
        # As Celery has it: a time without a zone is UTC.
        aware = when if when.tzinfo else when.replace(tzinfo=now().tzinfo)
        return max((aware - now()).total_seconds(), 0.0)
    return max(float(when), 0.0)


def _rejected(attempt: str, exc: Any) -> Ended:
    reason = "" if exc.reason is None else str(exc.reason)
    error = runtime_error("Reject", reason or "the task rejected its message")
    delay = REQUEUE_DELAY if exc.requeue else None
    return Ended(attempt, AttemptState.FAILED, error=error, retry_in=delay)


def _exited(attempt: str, exc: BaseException, mask: Mask) -> Ended:
    _, traceback = error_of(exc, mask)
    error = runtime_error(type(exc).__name__, f"the task ended its process ({exc!r})")
    return Ended(attempt, AttemptState.LOST, error=error, traceback=traceback, unknown=True)
