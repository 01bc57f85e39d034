"""Logs are a sentence, an ``action`` to search for, and the ids it is about.

    log = get_logger(__name__)
    log.info("The step's worker is gone", action="attempt_lost", instance=id, step=7)

One set-up serves our own processes: text for a person at a terminal, a line of JSON each
elsewhere. Inside users' processes nothing is set up; the lines then go wherever their own
logging sends them. Lines of the standard library's loggers take the same form.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from io import StringIO
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from orchestrator.settings import Settings, misspelt

#: Names that a log record has for itself.
_RESERVED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


#: What tells of this moment what every line is to say: the step in hand, the request.
_contexts: dict[str, Callable[[], Mapping[str, Any]]] = {}


def add_context(name: str, tell: Callable[[], Mapping[str, Any]]) -> None:
    """Have every line say what `tell` says when it is written; asked for each line only, so
    that what is not logged costs nothing. The same name again replaces the former one."""
    _contexts[name] = tell


def _in_context(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for tell in _contexts.values():
        for name, value in tell().items():
            event.setdefault(name, value)
    return event


def get_logger(name: str) -> Any:
    """A logger whose keywords become fields of the standard library's log record."""
    return structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            _in_context,
            _free_names,
            structlog.stdlib.render_to_log_args_and_kwargs,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _free_names(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """``process=3`` would clash with the record's own field and raise: it becomes process_."""
    for name in _RESERVED.intersection(event) - {"exc_info", "stack_info"}:
        event[f"{name}_"] = event.pop(name)
    return event


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Send the log lines of this process to `stream` (standard error unless given)."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(_as_json(settings.log_format, stream), stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name, meant in misspelt().items():
        get_logger(__name__).warning(
            f"{name} is no setting, did you mean {meant}?", action="setting_unknown"
        )


def formatter(as_json: bool, colors: bool = False) -> logging.Formatter:
    """What turns a log record, ours or anybody's, into its line."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=(
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            _in_context,
            _of_celery,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ),
        processors=(
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            # Tracebacks without local variables: those hold secrets.
            *(_JSON if as_json else (_one_line, _console(colors))),
        ),
    )


def _of_celery(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Celery puts all that its sentence says into ``data`` once more: the ids are enough."""
    data = event.get("data")
    if str(event.get("logger", "")).startswith("celery.") and isinstance(data, Mapping):
        del event["data"]
        found = {"attempt": data.get("id"), "task": data.get("name")}
        event.update((name, value) for name, value in found.items() if value)
    return event


def _console(colors: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_plain_traceback)


def _as_json(choice: str, stream: TextIO) -> bool:
    return choice == "json" or (choice == "auto" and not stream.isatty())


def _message_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Name the sentence ``message``, and let what a reader looks for first come first."""
    first = {"timestamp": event.pop("timestamp"), "level": event.pop("level")}
    return {**first, "message": event.pop("event"), **event}


def _one_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """No text from outside can forge a second line, or command the terminal."""
    event["event"] = str(event["event"])
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = "".join(map(_visible, value))
    return event


def _plain_traceback(stream: TextIO, exc_info: Any) -> None:
    """A traceback of several lines, in which an exception's text can't command the terminal."""
    text = StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    lines = text.getvalue().split("\n")
    stream.write("\n".join("".join(map(_visible, line)) for line in lines))


def _visible(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


_JSON: tuple[Processor, ...] = (
    structlog.processors.format_exc_info,
    _message_first,
    structlog.processors.JSONRenderer(),
)
