"""A transcript of an order, from the history, the attempts and the shop's own tables.

Each line is a stored row: the module does not know the expected course.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from orchestrator.cli.demo.shop import Row
from orchestrator.cli.views.history_lines import Names, facts_of, names_of
from orchestrator.client import Step

_STYLES = (
    ("SIGKILL", "bold red"),
    ("lost", "red"),
    ("faulted", "red"),
    ("compensat", "magenta"),
    ("completed", "green"),
)


@dataclass(frozen=True, order=True)
class Line:
    """One event of the order: its time, the source of its record, and a text."""

    at: datetime
    source: str
    text: str


def transcript(
    entries: Sequence[dict[str, Any]],
    steps: Sequence[Step],
    tables: dict[str, list[Row]],
    order: str,
) -> list[Line]:
    """Return all records of one order, ordered by time."""
    keys = {row["key"] for row in tables["starts"] if row["order_id"] == order}
    names = names_of(steps)
    lines = [*_history(entries, names), *_attempts(steps, names), *_shop(tables, order, keys)]
    return sorted(lines, key=lambda line: line.at)


def print_lines(lines: Sequence[Line], console: Console) -> None:
    """Print the lines."""
    for line in lines:
        style = next((style for word, style in _STYLES if word in line.text), "")
        start = f"{line.at:%H:%M:%S.%f}"[:-3] + f"  {line.source:<10}  "
        console.print(Text.assemble((start, "dim"), (line.text, style)), soft_wrap=True)


def _history(entries: Sequence[dict[str, Any]], names: Names) -> Iterator[Line]:
    for entry in entries:
        for fact in facts_of(entry):
            if fact.type != "task.created":  # its start follows in the same transition
                where = f"history {entry['sequence']}"
                yield Line(_time(entry["at"]), where, fact.fact_and_step(names))


def _attempts(steps: Sequence[Step], names: Names) -> Iterator[Line]:
    for step in steps:
        for attempt in step.attempts:
            name = f"{names[step.id]}: attempt {attempt.number}"
            if attempt.data.get("claimed_at"):
                where = f"{name} claimed by {attempt.worker}"
                yield Line(_time(attempt.data["claimed_at"]), "attempts", where)
            if attempt.state == "lost":
                yield Line(_time(attempt.data["ended_at"]), "attempts", f"{name} lost")


def _shop(tables: dict[str, list[Row]], order: str, keys: set[str]) -> Iterator[Line]:
    for row in tables["starts"]:
        if row["order_id"] == order:
            text = f"{row['task']} starts in worker {row['worker']}, key {row['key']}"
            yield Line(_time(row["at"]), "shop", text)
    for row in tables["kills"]:
        if row["key"] in keys:
            text = f"SIGKILL for worker {row['worker']} and its child {row['child']}"
            yield Line(_time(row["at"]), "shop", text)


def _time(value: str) -> datetime:
    return datetime.fromisoformat(value).astimezone()
