"""Converts exceptions in a worker to errors of the DSL. No other module does.

An error is JSON in the form of the DSL (dsl.md, Error Handling): ``{type, status, title?, detail?,
instance?, data?}``.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded

from orchestrator import json_codec
from orchestrator.errors import ERROR_TYPES, WorkflowError

RUNTIME = ERROR_TYPES + "runtime"
TIMEOUT = ERROR_TYPES + "timeout"
VALIDATION = ERROR_TYPES + "validation"

#: Largest traceback, in bytes of UTF-8. The beginning of a longer one is cut: its end is the most
#: useful part.
TRACEBACK_LIMIT = 16 * 1024
#: Longest text of an exception, in characters; the rest is cut.
DETAIL_LIMIT = 4 * 1024
#: Largest `data` of a WorkflowError, in bytes of JSON; larger data is left out as a whole.
DATA_LIMIT = 32 * 1024

#: Frames of these files are ours or Celery's, around the task. Users need not see them.
_INTERNAL_FRAMES = ("/orchestrator/execution/", "/celery/app/trace.py", "/celery/app/task.py")


Mask = Callable[[str], str]
"""Replaces secrets in a text."""


def _no_mask(text: str) -> str:
    return text


def error_of(exc: BaseException, mask: Mask = _no_mask) -> tuple[dict[str, Any], str]:
    """Return the DSL error of a task's exception, and its traceback as text.

    `mask` removes the secrets before long texts are cut: half a secret would not be recognised. A
    `WorkflowError` is taken unchanged; an exceeded time limit becomes ``timeout``; any other
    exception becomes ``runtime``, status 500, with its class as title.
    """
    return _error(exc, mask), _traceback(exc, mask)


def runtime_error(title: str, detail: str) -> dict[str, Any]:
    """Return the DSL error of a failure outside the task's code."""
    return {"type": RUNTIME, "status": 500, "title": title, "detail": _printable(detail)}


def timeout_error(seconds: float | None) -> dict[str, Any]:
    """Return the DSL error of a task that exceeded the hard time limit of its worker."""
    limit = f" of {seconds:g} s" if seconds else ""
    detail = f"the task was stopped at its hard time limit{limit}"
    return {"type": TIMEOUT, "status": 408, "title": "TimeLimitExceeded", "detail": detail}


def data_error(detail: str, refused: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the DSL error of a task whose output is not JSON. `refused`, ``{type, path}`` of the
    value, becomes its `data`."""
    title = "The output cannot be kept"
    error = {"type": VALIDATION, "status": 400, "title": title, "detail": _printable(detail)}
    return error if refused is None else {**error, "data": dict(refused)}


def _error(exc: BaseException, mask: Mask) -> dict[str, Any]:
    if isinstance(exc, WorkflowError):
        error = exc.to_json()
        data = error.pop("data", None)
        plain = {name: _plain(value, mask) for name, value in error.items()}
        return plain if data is None else {**plain, "data": _data(data, mask)}
    detail = _printable(mask(_text(exc)))
    if isinstance(exc, SoftTimeLimitExceeded | TimeLimitExceeded):
        error = {"type": TIMEOUT, "status": 408, "title": type(exc).__name__, "detail": detail}
    else:
        error = {"type": RUNTIME, "status": 500, "title": type(exc).__name__, "detail": detail}
    return {name: value for name, value in error.items() if value != ""}


def _plain(value: Any, mask: Mask) -> Any:
    """Return a number unchanged and anything else as text: a WorkflowError can contain any
    object."""
    return value if isinstance(value, int) else _printable(mask(str(value)))


def _data(value: Any, mask: Mask) -> Any:
    """Return an error's data as masked JSON. If it is not JSON or too large, return only that
    fact."""
    try:
        data = _masked(json_codec.to_json(value), mask)
        return data if len(json_codec.encode(data)) <= DATA_LIMIT else {"truncated": True}
    except (json_codec.NotJson, TypeError, ValueError, RecursionError) as error:
        return {"refused": _printable(mask(str(error)))}


def _masked(value: Any, mask: Mask) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {mask(key): _masked(item, mask) for key, item in value.items()}
    return [_masked(item, mask) for item in value] if isinstance(value, list) else value


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception as broken:  # noqa: BLE001  a broken __str__ must not hide the error
        return f"<the exception's text raised {type(broken).__name__}>"


def _printable(text: str) -> str:
    """Return a text that UTF-8 can encode, cut to the limit."""
    if len(text) > DETAIL_LIMIT:
        text = text[:DETAIL_LIMIT] + " ..."
    return text.encode("utf-8", "backslashreplace").decode()


def _traceback(exc: BaseException, mask: Mask) -> str:
    try:
        lines = traceback.format_exception(type(exc), exc, _of_the_task(exc.__traceback__))
    except Exception:  # noqa: BLE001  the same: formatting calls users' code
        lines = [f"{type(exc).__name__}: {_text(exc)}\n"]
    text = mask("".join(lines)).encode("utf-8", "backslashreplace")
    if len(text) > TRACEBACK_LIMIT:
        text = b"...\n" + text[4 - TRACEBACK_LIMIT :]
    return text.decode(errors="ignore")


def _of_the_task(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame of the user's code; the whole one if there is
    none."""
    inner = trace
    while inner is not None and _is_internal(inner):
        inner = inner.tb_next
    return inner or trace


def _is_internal(frame: TracebackType) -> bool:
    path = frame.tb_frame.f_code.co_filename.replace("\\", "/")
    return any(part in path for part in _INTERNAL_FRAMES)
