"""Options and types of arguments that several commands share."""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.output import FORMATS, Printer
from orchestrator.clock import now

if TYPE_CHECKING:
    from orchestrator.client import Client

Command = Callable[..., Any]

#: A port to listen on; 0: any free port.
PORT = click.IntRange(0, 65535)

#: The largest number of rows that a list prints.
limit_option = click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="Largest number of rows; 0: all.",
)


@dataclass
class Shared:
    """The options of the whole command line. They may stand before or after the command's name."""

    url: str | None = None
    key: str | None = None
    format: str = "table"

    def merge(self, url: str | None, key: str | None, format: str | None) -> None:
        """Take over the options that are set; a later option wins."""
        self.url = url or self.url
        self.key = key or self.key
        self.format = format or self.format

    @property
    def printer(self) -> Printer:
        """Return a printer for the chosen format."""
        return Printer(self.format)

    def client(self) -> Client:
        """Return a client of the chosen API."""
        # Import the client here and not with this module: the commands that run an API, a worker or
        # a beat never need it.
        from orchestrator.client import Client

        return Client(self.url, self.key)


def shared_options(function: Command) -> Command:
    """Add ``--url``, ``--api-key`` and ``--output``; the function receives `Shared` first."""

    @click.option("--url", metavar="URL", help="The API's address (ORCHESTRATOR_API_URL).")
    @click.option("--api-key", "key", metavar="KEY", help="An API key (ORCHESTRATOR_API_KEY).")
    @click.option("-o", "--output", "format", type=click.Choice(FORMATS), help="Default: table.")
    @functools.wraps(function)
    def wrapper(*args: Any, url: Any, key: Any, format: Any, **kwargs: Any) -> Any:
        shared = click.get_current_context().ensure_object(Shared)
        shared.merge(url, key, format)
        return function(shared, *args, **kwargs)

    return wrapper


class JsonValue(click.ParamType[Any]):
    """An argument with JSON, or ``@file`` (JSON or YAML), or ``@-`` for stdin."""

    name = "JSON|@file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the parsed value."""
        if not isinstance(value, str):
            return value
        if value.startswith("@"):
            return self._read(value[1:], param, ctx)
        try:
            return _json(value)
        except ValueError as error:
            self.fail(f"{value!r} is not JSON ({error}); write @file to read a file", param, ctx)

    def _read(self, name: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from orchestrator.document import DocumentError
        from orchestrator.document.parser import parse

        try:
            data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        except OSError as error:
            self.fail(f"{name}: {error.strerror}", param, ctx)
        try:
            return _json(data)
        except ValueError:  # then it must be YAML; the error names line and column
            try:
                return parse(data, "application/yaml").value
            except DocumentError as error:
                problem = error.problems[0]
                where = f"{name}:{problem.line}:{problem.column}"
                self.fail(f"{where}: {problem.message}", param, ctx)


def _json(text: str | bytes) -> Any:
    """Parse JSON; raise `ValueError` also for NaN and infinity, which are not JSON."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"JSON has no {constant}")

    return json.loads(text, parse_constant=refuse)


class KeyValue(click.ParamType[tuple[str, str]]):
    """An argument of the form ``name=value``."""

    name = "KEY=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return name and value."""
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not key or not equals:
            self.fail(f"{value!r} is not of the form key=value", param, ctx)
        return key, text


class PastTime(click.ParamType[str]):
    """A time: RFC 3339, a date (midnight UTC), or a duration before now (``90s 15m 2h 7d``)."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the time in the format of the API: RFC 3339, in UTC."""
        text = str(value).strip()
        try:
            if ago := _AGO.fullmatch(text):
                time = now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            else:
                time = datetime.fromisoformat(text)
            in_utc = time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is not a time such as 2030-01-31T12:00:00Z or 2h", param, ctx)
        return in_utc.isoformat().replace("+00:00", "Z")


_AGO = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
