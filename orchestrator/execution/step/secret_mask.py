"""Keeps a step's secrets out of what others write about it: log lines and exceptions.

Celery logs the exception of a task, and sends it in its worker events; a library logs what it
was called with. Neither knows what is secret, so it is replaced where they take it from.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from orchestrator.execution.context_variables import current_attempt

Mask = Callable[[Any], Any]


def watch_logs() -> None:
    """From now on, mask the log lines that this process writes while a step with secrets runs.

    A factory of log records sees all of them, whichever handlers users have set up. It is put
    in place by the first step that has secrets: nobody else pays for it.
    """
    inner = logging.getLogRecordFactory()
    if not isinstance(inner, _Masking):
        logging.setLogRecordFactory(_Masking(inner))


class _Masking:
    """Makes log records without the secrets of the step that this thread runs."""

    def __init__(self, inner: Callable[..., logging.LogRecord]) -> None:
        self._inner = inner

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._inner(*args, **kwargs)
        hold = current_attempt.get()
        if hold is not None and hold.secrets is not None and hold.secrets.used:
            with suppress(Exception):  # a line that can't be formatted is its handler's to tell
                _mask_record(record, hold.secrets.mask)
        return record


def _mask_record(record: logging.LogRecord, mask: Mask) -> None:
    said = record.getMessage()
    told = mask(said)
    if told != said:
        record.msg, record.args = told, ()
    if record.exc_info and record.exc_info[1] is not None:
        mask_exception(record.exc_info[1], mask)


def mask_exception(error: BaseException, mask: Mask) -> None:
    """Replace secrets in what an exception, and those that led to it, say of themselves."""
    seen: set[int] = set()
    line: list[BaseException | None] = [error]
    while line:
        each = line.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        with suppress(Exception):  # some exceptions let nobody change them
            _mask_one(each, mask)
        line += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]


def _mask_one(error: BaseException, mask: Mask) -> None:
    args = tuple(mask(list(error.args)))
    if args != error.args:
        error.args = args
    for name, value in list(vars(error).items()):
        masked = mask(value) if isinstance(value, str | list | dict) else value
        if masked != value:
            setattr(error, name, masked)
