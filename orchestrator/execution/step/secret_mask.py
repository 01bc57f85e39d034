"""Masks a step's secrets in log lines and exceptions.

Celery logs a task's exception and sends it in its worker events, and libraries log their
arguments. Neither knows the secrets, so they are masked in the log records and exceptions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from orchestrator.execution.context_variables import current_attempt

Mask = Callable[[Any], Any]


def watch_logs() -> None:
    """Mask the log lines of this process while a step with secrets runs, from now on.

    A log record factory sees all lines, whatever handlers the users have configured. The first
    step with secrets installs it; processes without such steps do not pay for it.
    """
    inner = logging.getLogRecordFactory()
    if not isinstance(inner, _Masking):
        logging.setLogRecordFactory(_Masking(inner))


class _Masking:
    """Creates log records in which the secrets of this thread's step are masked."""

    def __init__(self, inner: Callable[..., logging.LogRecord]) -> None:
        self._inner = inner

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._inner(*args, **kwargs)
        running = current_attempt.get()
        if running is not None and running.secrets is not None and running.secrets.used:
            with suppress(Exception):  # the handler reports a record that cannot be formatted
                _mask_record(record, running.secrets.mask)
        return record


def _mask_record(record: logging.LogRecord, mask: Mask) -> None:
    text = record.getMessage()
    masked = mask(text)
    if masked != text:
        record.msg, record.args = masked, ()
    if record.exc_info and record.exc_info[1] is not None:
        mask_exception(record.exc_info[1], mask)


def mask_exception(error: BaseException, mask: Mask) -> None:
    """Mask secrets in the arguments and attributes of an exception and of its causes."""
    visited: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        exception = pending.pop()
        if exception is None or id(exception) in visited:
            continue
        visited.add(id(exception))
        with suppress(Exception):  # some exceptions cannot be changed
            _mask_one(exception, mask)
        grouped = getattr(exception, "exceptions", ())
        pending += [exception.__cause__, exception.__context__, *grouped]


def _mask_one(error: BaseException, mask: Mask) -> None:
    args = tuple(mask(list(error.args)))
    if args != error.args:
        error.args = args
    for name, value in list(vars(error).items()):
        masked = mask(value) if isinstance(value, str | list | dict) else value
        if masked != value:
            setattr(error, name, masked)
