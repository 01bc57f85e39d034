"""What Celery's tracer returns, for the cases in which it does not: a dropped message, or an
error that must not leave the process as it is."""

from __future__ import annotations

from typing import Any

from billiard.einfo import ExceptionInfo
from celery import states
from celery.app.trace import TraceInfo, trace_ok_t
from celery.exceptions import Ignore


def ignored(why: str) -> Any:
    """To Celery a message that is dropped is a task that is ignored: no event, no result."""
    try:
        raise Ignore(why)
    except Ignore as error:
        return _result(states.IGNORED, error)


def failed(error: BaseException) -> Any:
    """A failure whose class has no effect on Celery's main process."""
    try:
        raise RuntimeError(f"{type(error).__name__}: {error}") from None
    except RuntimeError as shown:
        return _result(states.FAILURE, shown)


def harmless(result: Any) -> Any:
    """Celery's main process ends itself over a MemoryError of a task; a step's is caught."""
    info = result.info
    if info is not None and isinstance(info.retval, MemoryError):
        return failed(info.retval)
    return result


def _result(state: str, error: BaseException) -> Any:
    """Called where `error` is being handled: ExceptionInfo takes it from there."""
    return trace_ok_t(ExceptionInfo(internal=True), TraceInfo(state, error), 0.0, None)
