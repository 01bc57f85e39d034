"""Prints data on stdout: a table for people, or JSON, JSON lines or YAML for programs.

The functions import rich when they print. API, workers and beats are started by commands too, and
would otherwise keep rich in memory.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import click

from orchestrator.terminal_text import in_json, is_harmful, visible, visible_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

FORMATS = ("table", "json", "jsonl", "yaml")

_COLOURS = {
    "completed": "green",
    "succeeded": "green",
    "faulted": "red",
    "failed": "red",
    "lost": "red",
    "cancelled": "yellow",
    "withdrawn": "yellow",
    "suspended": "yellow",
    "running": "cyan",
    "claimed": "cyan",
    "waiting": "blue",
    "pending": "dim",
    "ready": "dim",
}


def progress_console() -> Console:
    """Return a console on stderr, for progress. rich respects NO_COLOR."""
    from orchestrator.cli.safe_console import SafeConsole

    return SafeConsole(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def coloured(status: str) -> Text:
    """Return a status as text in its colour."""
    from rich.text import Text

    return Text(visible(status), style=_COLOURS.get(status, ""))


@dataclass(frozen=True)
class Printer:
    """Prints rows or one object in the chosen format."""

    format: str

    @property
    def table(self) -> bool:
        """Whether the format is a table, for people."""
        return self.format == "table"

    def rows(self, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Print a list; a table shows only `columns`. No value is shortened."""
        if self.format == "jsonl":
            for row in rows:
                _write(in_json(json.dumps(row, ensure_ascii=False)))
        elif self.table:
            _print_table(list(rows), columns)
        else:
            self.value(list(rows))

    def value(self, value: Any) -> None:
        """Print one JSON value; in the table format as indented JSON."""
        if self.format == "yaml":
            _write_yaml(value)
        elif self.format == "jsonl":
            _write(in_json(json.dumps(value, ensure_ascii=False)))
        else:
            _write(in_json(json.dumps(value, ensure_ascii=False, indent=2)))


def stdout_console(needed: int = 0) -> Console:
    """Return a console on stdout, at least `needed` characters wide, so that no value is cut."""
    from orchestrator.cli.safe_console import SafeConsole

    width = max(needed, shutil.get_terminal_size().columns if sys.stdout.isatty() else 0)
    return SafeConsole(width=width or None, highlight=False)


def _print_table(rows: list[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from rich.table import Table

    cells = [[_cell(column, row.get(column)) for column in columns] for row in rows]
    widths = [
        max([len(column), *(line[index].cell_len for line in cells)])
        for index, column in enumerate(columns)
    ]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        table.add_column(column.upper().replace("_", " "), no_wrap=True, min_width=width)
    for line in cells:
        table.add_row(*line)
    stdout_console(sum(widths) + 2 * len(columns)).print(table)


def _cell(column: str, value: Any) -> Text:
    from rich.text import Text

    if value is None:
        return Text("-", style="dim")
    if column in ("status", "compensation", "state"):
        return coloured(str(value))
    if isinstance(value, dict | list):
        return Text(in_json(json.dumps(value, ensure_ascii=False)))
    return Text(visible(str(value)))


def _write(line: str) -> None:
    try:
        sys.stdout.write(line + "\n")
    except BrokenPipeError:  # `orchestrator list | head`: the reader has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def _write_yaml(value: Any) -> None:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    text = StringIO()
    yaml.dump(_quoted(value), text)
    # Escape harmful characters in the form of JSON, such as `\u001b`. `_quoted` has put each text
    # with such characters between double quotes, where YAML allows this form.
    sys.stdout.write(in_json(text.getvalue()))


def _quoted(value: Any) -> Any:
    """Return the value with harmful texts marked to be written between double quotes."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, str):
        return DoubleQuotedScalarString(value) if is_harmful(value) else value
    if isinstance(value, dict):
        return {_quoted(key): _quoted(item) for key, item in value.items()}
    return [_quoted(item) for item in value] if isinstance(value, list) else value


def say(text: object, *, err: bool = False) -> None:
    """Print text that may come from outside, escaped."""
    click.echo(visible_lines(str(text)), err=err)
