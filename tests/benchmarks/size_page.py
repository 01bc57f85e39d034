"""Writes what `tests.benchmarks.size` measured into its page of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.database.connection.database import Database

if TYPE_CHECKING:
    from tests.benchmarks.size import Asked

PAGE = Path(__file__).parents[2] / "docs" / "implementation" / "database_optimization.md"
MARK = "<!-- figures -->"

#: The questions whose plans are shown.
SHOWN = (
    "the newest",
    "running, the oldest first",
    "faulted, of a workflow",
    "by a label that few have",
    "started since the middle, the oldest first",
    "by the time of the start, since the middle",
    "counts of a workflow",
    "queues",
    "a small key's: audit",
)


def write(url: str, asked: Sequence[Asked], size: int) -> None:
    """Replace the figures and plans of the page."""
    head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    rows = [f"| {one.title} | `{one.path.partition('&cursor')[0]}` | {one.median:.0f} |"
            for one in sorted(asked, key=lambda one: one.title)]  # fmt: skip
    told = [
        f"{size:,} instances; the medians of {len(asked[0].times)} answers each, in ms.\n",
        "| question | | ms |\n|---|---|---|",
        *rows,
        "\n## Plans\n",
        *(plans(url, one) for one in asked if one.title in SHOWN),
    ]
    PAGE.write_text(head + MARK + "\n\n" + "\n".join(told), encoding="utf-8")


def plans(url: str, one: Asked) -> str:
    """The plans of the statements of a question, in Markdown."""
    database = Database(url)
    told = [f"### {one.title[0].upper() + one.title[1:]}\n"]
    for sql, params in one.statements:
        if "from orchestrator.api_keys" in sql or sql.startswith("explain"):
            continue  # who asks, and how many rows are expected: the same for all
        how = "analyze, costs off, buffers off, timing off, summary off"
        rows = database.all(f"explain ({how}) {sql}", params)
        told.append("```text\n" + "\n".join(row[0] for row in rows) + "\n```\n")
    database.close()
    return "\n".join(told)
