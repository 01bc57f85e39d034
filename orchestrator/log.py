"""Structured logs: a line has a sentence, an ``action`` to search for, and the ids it concerns.

    log = get_logger(__name__)
    log.info("The step's worker is gone", action="attempt_lost", instance=id, step=7)

`configure` is for our own processes: text on a terminal, else one JSON object per line. Lines of
the standard library's loggers get the same format. In users' processes nothing is configured, and
their own logging configuration applies: a line's text there has the sentence and its fields, as in
``The step's worker is gone [action=attempt_lost instance=0198... step=7]``.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from io import StringIO
from typing import Any, Self, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from orchestrator.settings import Settings, misspelt

#: The attribute names of a log record, which a line's fields must not use.
_RESERVED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

#: Keywords of a logging call that are no fields of the line.
_OPTIONS = ("exc_info", "stack_info", "stacklevel")

#: The misspelt variables that this process has logged.
_misspelt: set[str] = set()

#: Functions by name that return fields for every line, such as those of the current step.
_providers: dict[str, Callable[[], Mapping[str, Any]]] = {}


def add_context(name: str, provider: Callable[[], Mapping[str, Any]]) -> None:
    """Add the fields that `provider` returns to every line; it is called only for written lines.

    A second provider of the same name replaces the first."""
    _providers[name] = provider


def _in_context(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for provider in _providers.values():
        for name, value in provider().items():
            event.setdefault(name, value)
    return event


def get_logger(name: str) -> Any:
    """Return a logger whose keywords become fields of the standard library's log record."""
    return structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            _in_context,
            _free_names,
            _to_record,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _free_names(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Rename fields such as ``process`` to ``process_``: the record's own name would raise."""
    for name in _RESERVED.intersection(event) - {"exc_info", "stack_info"}:
        event[f"{name}_"] = event.pop(name)
    return event


class _Sentence(str):
    """The format string of a log record: a sentence and the names of its fields. `event` is the
    sentence alone. Error trackers group records by this string, which has no values in it."""

    __slots__ = ("event",)
    event: str

    @classmethod
    def with_fields(cls, event: str, names: Iterable[str]) -> Self:
        fields = " ".join(f"{name}=%({name})s" for name in names)
        made = cls(f"{event.replace('%', '%%')} [{fields}]" if fields else event)
        made.event = event
        return made


def _to_record(
    _logger: WrappedLogger, _method: str, event: EventDict
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments for the standard library's logger. The fields stand in the text, and
    are the record's attributes too."""
    options = {name: event.pop(name) for name in _OPTIONS if name in event}
    shown = {name: _one_word(value) for name, value in event.items() if name != "event"}
    sentence = _Sentence.with_fields(str(event.pop("event")), shown)
    return ((sentence, shown) if shown else (sentence,)), {**options, "extra": event}


def _one_word(value: object) -> str:
    """Return the value as text without spaces and control characters, or in quotation marks."""
    text = str(value)
    if text and text.isprintable() and not set(text) & {" ", '"', "]"}:
        return text
    return json.dumps(text, ensure_ascii=False)


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Write the log lines of this process to `stream` (by default standard error)."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(_as_json(settings.log_format, stream), stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    warn_of_misspelt_settings()


def warn_of_misspelt_settings() -> None:
    """Log each variable of the environment whose name is nearly that of a setting, once."""
    for name, suggestion in misspelt().items():
        if name not in _misspelt:
            _misspelt.add(name)
            event = f"{name} is no setting, did you mean {suggestion}?"
            get_logger(__name__).warning(event, action="setting_unknown")


def formatter(as_json: bool, colors: bool = False) -> logging.Formatter:
    """Return the formatter of all log records, ours and those of other libraries."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=(
            _sentence_alone,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            _in_context,
            _without_celery_data,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ),
        processors=(
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            # Both log formats, JSON and console, write tracebacks without local variables, because
            # these may contain secrets.
            *(_JSON if as_json else (_one_line, _console(colors))),
        ),
    )


def _sentence_alone(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Remove the fields from the text of a line of ours: this format shows them by themselves."""
    message = event["_record"].msg
    if isinstance(message, _Sentence):
        event["event"] = message.event
    return event


def _without_celery_data(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace Celery's ``data``, which repeats its message, by the id and name of the task."""
    data = event.get("data")
    if str(event.get("logger", "")).startswith("celery.") and isinstance(data, Mapping):
        del event["data"]
        fields = {"attempt": data.get("id"), "task": data.get("name")}
        event.update((name, value) for name, value in fields.items() if value)
    return event


def _console(colors: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_plain_traceback)


def _as_json(choice: str, stream: TextIO) -> bool:
    return choice == "json" or (choice == "auto" and not stream.isatty())


def _message_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Rename ``event`` to ``message``, and put time, level and message first."""
    first = {"timestamp": event.pop("timestamp"), "level": event.pop("level")}
    return {**first, "message": event.pop("event"), **event}


def _one_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape control characters: text from outside must not add a line or control the terminal."""
    event["event"] = str(event["event"])
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = "".join(map(_visible, value))
    return event


def _plain_traceback(stream: TextIO, exc_info: Any) -> None:
    """Write a traceback in several lines, the control characters in them escaped."""
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
