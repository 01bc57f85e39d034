"""The table of docs/operations/compatibility.md: written by the runs, never by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

BEGIN = "<!-- written by python -m tests.compatibility: begin -->"
END = "<!-- end -->"
_HEAD = """\
| Celery | kombu | billiard | redis-py | Python | broker | passed | failed | skipped | run on |
|---|---|---|---|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class Row:
    """One run of the execution tests: the versions that it had, and how many tests passed."""

    celery: str
    kombu: str
    billiard: str
    redis: str
    python: str
    broker: str
    passed: int
    failed: int
    skipped: int
    day: str

    @property
    def key(self) -> tuple[object, ...]:
        """What tells a run from others, in the order of the table."""
        versions = (self.celery, self.kombu, self.billiard, self.redis, self.python)
        return (self.broker, *(tuple(map(int, each.split("."))) for each in versions))

    def line(self) -> str:
        """The row of the table."""
        return "| " + " | ".join(str(value) for value in vars(self).values()) + " |"


def read(text: str) -> list[Row]:
    """The rows of a page."""
    table = text.partition(BEGIN)[2].partition(END)[0]
    lines = table.strip().splitlines()[2:]
    return [_row([cell.strip() for cell in line.strip("| ").split("|")]) for line in lines]


def _row(cells: list[str]) -> Row:
    celery, kombu, billiard, redis, python, broker, passed, failed, skipped, day = cells
    counts = (int(passed), int(failed), int(skipped))
    return Row(celery, kombu, billiard, redis, python, broker, *counts, day)


def write(page: Path, rows: list[Row]) -> None:
    """Replace the rows of these runs in the page's table; the others stay."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    merged = {row.key: row for row in (*read(text), *rows)}
    lines = [row.line() for _, row in sorted(merged.items(), reverse=True)]
    table = "\n".join([BEGIN, _HEAD, *lines, END])
    page.write_text(before + table + rest.partition(END)[2], encoding="utf-8")
