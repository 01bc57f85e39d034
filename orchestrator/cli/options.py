"""What commands have in common: where the API is, which format, how JSON is given."""

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

#: A port to listen on; 0: a free one.
PORT = click.IntRange(0, 65535)

#: How many rows a list prints.
limit_option = click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="How many at most; 0: all.",
)


@dataclass
class Shared:
    """The options of the whole command line, as given before or after the command's name."""

    url: str | None = None
    key: str | None = None
    format: str = "table"

    def merge(self, url: str | None, key: str | None, format: str | None) -> None:
        """An option given later wins."""
        self.url = url or self.url
        self.key = key or self.key
        self.format = format or self.format

    @property
    def printer(self) -> Printer:
        """Prints in the format that was asked for."""
        return Printer(self.format)

    def client(self) -> Client:
        """A client of the API that was named."""
        # Not at the top: the processes that serve are commands too, and call no API.
        from orchestrator.client import Client

        return Client(self.url, self.key)


def shared_options(function: Command) -> Command:
    """Add ``--url``, ``--api-key`` and ``--output``; the function's first argument is `Shared`."""

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
    """JSON on the command line, ``@file`` (JSON or YAML), or ``@-`` for stdin."""

    name = "JSON|@file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value that the text stands for."""
        if not isinstance(value, str):
            return value
        if value.startswith("@"):
            return self._read(value[1:], param, ctx)
        try:
            return _json(value)
        except ValueError as error:
            self.fail(f"{value!r} is not JSON ({error}); a file is named as @file", param, ctx)

    def _read(self, name: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from orchestrator.document import DocumentError
        from orchestrator.document.parser import parse

        try:
            data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        except OSError as error:
            self.fail(f"{name}: {error.strerror}", param, ctx)
        try:
            return _json(data)
        except ValueError:  # then it is YAML; if it is not, that is said with its place
            try:
                return parse(data, "application/yaml").value
            except DocumentError as error:
                at = error.problems[0]
                self.fail(f"{name}:{at.line}:{at.column}: {at.message}", param, ctx)


def _json(text: str | bytes) -> Any:
    """What JSON says; raises `ValueError` also for NaN and infinity, which are not JSON."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"JSON has no {constant}")

    return json.loads(text, parse_constant=refuse)


class KeyValue(click.ParamType[tuple[str, str]]):
    """``name=value``."""

    name = "KEY=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """The pair."""
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not key or not equals:
            self.fail(f"{value!r} is not of the form key=value", param, ctx)
        return key, text


class PastTime(click.ParamType[str]):
    """A time: RFC 3339, a date (its midnight, UTC), or so long ago (``90s 15m 2h 7d``)."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The time as the API takes it: RFC 3339, in UTC."""
        text = str(value).strip()
        try:
            if ago := _AGO.fullmatch(text):
                found = now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            else:
                found = datetime.fromisoformat(text)
            in_utc = found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is no time, such as 2030-01-31T12:00:00Z or 2h", param, ctx)
        return in_utc.isoformat().replace("+00:00", "Z")


_AGO = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
