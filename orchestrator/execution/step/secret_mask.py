"""Masks a step's secrets in log lines and exceptions.

Celery logs a task's exception and sends it in its worker events, and libraries log their
arguments. Neither knows the secrets, so they are masked in the log records and exceptions.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from orchestrator.execution.context_variables import current_attempt

Mask = Callable[[Any], Any]

#: The fields of a record without `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({})))


def watch_logs() -> None:
    """Mask the log lines of this process while a step with secrets runs, from now on.

    A log record factory sees all lines, whatever handlers the users have configured. The first
    step with secrets installs it; processes without such steps do not pay for it.
    """
    inner = logging.getLogRecordFactory()
    if not isinstance(inner, _Masking):
        logging.setLogRecordFactory(_Masking(inner))
        make = logging.Logger.makeRecord
        if not hasattr(make, "masks"):
            # Wrap `makeRecord` too: it adds the fields of `extra` after the factory has made the
            # record, so the factory cannot mask them.
            logging.Logger.makeRecord = _masking_extra(make)  # type: ignore[method-assign]


def _masking_extra(make: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    @functools.wraps(make)
    def make_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        mask = _current_mask()
        if mask is not None:
            with suppress(Exception):
                _mask_extra(record, mask)
        return record

    make_record.masks = True  # type: ignore[attr-defined]
    return make_record


def _current_mask() -> Mask | None:
    """Return the mask of this thread's step, if it has used a secret."""
    running = current_attempt.get()
    secrets = running.secrets if running is not None else None
    return secrets.mask if secrets is not None and secrets.used else None


def _mask_extra(record: logging.LogRecord, mask: Mask) -> None:
    for name, value in list(vars(record).items()):
        if name in _STANDARD:
            continue
        if isinstance(value, str | list | dict | int | float | tuple):
            masked = mask(list(value) if isinstance(value, tuple) else value)
        else:
            text = str(value)
            masked = mask(text)
            masked = value if masked == text else masked
        vars(record)[name] = masked


class _Masking:
    """Creates log records in which the secrets of this thread's step are masked."""

    def __init__(self, inner: Callable[..., logging.LogRecord]) -> None:
        self._inner = inner

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._inner(*args, **kwargs)
        mask = _current_mask()
        if mask is not None:
            with suppress(Exception):  # the handler reports a record that cannot be formatted
                _mask_record(record, mask)
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
        held = [each for each in vars(exception).values() if isinstance(each, BaseException)]
        pending += [exception.__cause__, exception.__context__, *grouped, *held]


def _mask_one(error: BaseException, mask: Mask) -> None:
    args = tuple(mask(list(error.args)))
    if args != error.args:
        error.args = args
    for name, value in list(vars(error).items()):
        masked = mask(value) if isinstance(value, str | list | dict) else value
        if masked != value:
            setattr(error, name, masked)
