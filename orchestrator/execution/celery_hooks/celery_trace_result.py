"""Results of Celery's tracer for messages that the tracer does not finish: dropped messages,
and errors that Celery's main process must not see unchanged."""

from __future__ import annotations

from typing import Any

from billiard.einfo import ExceptionInfo
from celery import states
from celery.app.trace import TraceInfo, trace_ok_t
from celery.exceptions import Ignore


def ignored(reason: str) -> Any:
    """Return the result of an ignored task: Celery sends no event and stores no result."""
    try:
        raise Ignore(reason)
    except Ignore as error:
        return _result(states.IGNORED, error)


def failed(error: BaseException) -> Any:
    """Return the result of a failed task, its error replaced by a RuntimeError of the same text.

    Celery's main process reacts to some classes of error, for example by exiting."""
    try:
        raise RuntimeError(f"{type(error).__name__}: {error}") from None
    except RuntimeError as copy:
        return _result(states.FAILURE, copy)


def harmless(result: Any) -> Any:
    """Return `result`, a MemoryError in it replaced: Celery's main process would exit."""
    info = result.info
    if info is not None and isinstance(info.retval, MemoryError):
        return failed(info.retval)
    return result


def _result(state: str, error: BaseException) -> Any:
    """Build the result. Call this in the ``except`` block: ExceptionInfo reads `sys.exc_info`."""
    return trace_ok_t(ExceptionInfo(internal=True), TraceInfo(state, error), 0.0, None)
