"""Keeps a run's figures: ``python -m tests.benchmarks.record FIGURES.json``.

Adds a line to ``docs/performance.jsonl`` (the commit, the day, the ratios) and writes the tables
and the plot over commits anew between the markers of ``docs/performance.md``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.peers import LOADS

DOCS = Path(__file__).parents[2] / "docs"
PAGE, LINES = DOCS / "performance.md", DOCS / "performance.jsonl"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

#: Figures besides the loads: the title, how it is shown, what it should be.
OTHERS = (
    ("bytes_per_step", "bytes a step in Postgres", "{:.0f}", "at most 1,000"),
    ("w1_rabbitmq_ratio", "W1 on RabbitMQ, of that on Valkey", "{:.2f}", "at most 1"),
    ("w2_rabbitmq_ratio", "W2 on RabbitMQ, of that on Valkey", "{:.2f}", "at least 1"),
    ("w3_rabbitmq_ratio", "W3 on RabbitMQ, of that on Valkey", "{:.2f}", "at most 1"),
    ("w4_rabbitmq_ratio", "W4 on RabbitMQ, of that on Valkey", "{:.2f}", "at least 1"),
    ("million_ratio", "W2 with a million finished instances", "{:.2f}", "at least 0.9"),
    ("idle_pss_mb", "the whole stack at rest, MB (PSS)", "{:.0f}", "under 300"),
    ("idle_cpu_percent", "the whole stack at rest, % of a core", "{:.2f}", "under 1"),
    ("payload_1kb_ratio", "steps that hand on 1 kB, against none", "{:.2f}", ""),
    ("payload_100kb_ratio", "steps that hand on 100 kB, against none", "{:.2f}", ""),
    ("for_10000_steps_s", "a `for` of 10,000, steps/s", "{:.0f}", ""),
    ("fork_10000_steps_s", "a fork of 10,000, steps/s", "{:.0f}", ""),
)
#: What the plot shows, run by run.
PLOTTED = ("w1_ratio", "w2_ratio", "w3_ratio", "w4_ratio")


def git(*arguments: str) -> str:
    """What git says."""
    return subprocess.run(
        ["git", *arguments], check=True, capture_output=True, text=True, cwd=DOCS
    ).stdout.strip()


def append(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Keep the figures with their commit; returns all that are kept, the oldest first."""
    ratios = {name: figure for name, figure in figures.items() if name != "figures"}
    line = {
        "commit": git("log", "-1", "--format=%h"),
        "day": git("log", "-1", "--format=%cs"),
        **{name: round(figure, 3) for name, figure in ratios.items()},
    }
    kept = [json.loads(text) for text in LINES.read_text().splitlines()] if LINES.exists() else []
    kept = [one for one in kept if one["commit"] != line["commit"]] + [line]
    LINES.write_text("".join(json.dumps(one) + "\n" for one in kept))
    return kept


def page(figures: dict[str, Any], kept: list[dict[str, Any]]) -> str:
    """What stands between the markers."""
    last = kept[-1]
    parts = [f"Commit {last['commit']}, {last['day']}; medians.", "", *loads(figures), ""]
    parts += ["| figure | here | wanted |", "|---|---|---|"]
    for name, title, shown, wanted in OTHERS:
        if name in figures:
            parts.append(f"| {title} | {shown.format(figures[name])} | {wanted} |")
    return "\n".join([*parts, "", *plot(kept)])


def loads(figures: dict[str, Any]) -> list[str]:
    """The table of W1 to W4."""
    who = figures["figures"]
    rows = [
        "| load | raw Celery | DBOS | ours | ratio | floor | goal | without continuation |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for title, name, floor, goal in LOADS:
        dbos = who.get("dbos", {}).get(name)
        cells = [
            title,
            f"{who['raw'][name.removesuffix('_batch')]:.1f}",
            "" if dbos is None else f"{dbos:.1f}",
            f"{who['ours'][name]:.1f}",
            f"**{figures[f'{name}_ratio']:.2f}**",
            str(floor),
            str(goal),
            f"{figures[f'{name}_ratio_uncontinued']:.2f}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def plot(kept: list[dict[str, Any]]) -> list[str]:
    """The ratios over commits, as a diagram of Mermaid."""
    shown = [one for one in kept if all(name in one for name in PLOTTED)]
    labels = ", ".join(f'"{one["commit"]}"' for one in shown)
    lines = []
    for name in PLOTTED:
        points = ", ".join(str(one[name]) for one in shown)
        lines.append(f'  line "{name.removesuffix("_ratio").upper()}" [{points}]')
    head = ["```mermaid", "xychart-beta", '  title "ratios to raw Celery: W1, W2, W3, W4"']
    return [*head, f"  x-axis [{labels}]", '  y-axis "ratio"', *lines, "```"]


def main() -> None:
    """Keep the figures of a file that `make bench OUT=...` wrote."""
    figures = json.loads(Path(sys.argv[1]).read_text())
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{page(figures, append(figures))}\n{END}{after}")


if __name__ == "__main__":
    main()
