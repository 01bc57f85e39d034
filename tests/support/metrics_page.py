"""Writes docs/operations/metrics.md from the tables of metrics:
``python -m tests.support.metrics_page``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orchestrator.database.operations import gauge_queries
from orchestrator.metrics import MetricType
from orchestrator.metrics import catalog as metrics

PAGE = Path(__file__).parents[2] / "docs" / "operations" / "metrics.md"

HEAD = """# Metrics

Names, kinds and labels of everything that Prometheus can scrape; [monitoring.md](monitoring.md)
says what to watch. No instance's id is ever a label. This page is written from
`orchestrator/metrics/catalog.py` and `orchestrator/database/operations/gauge_queries.py` by
`python -m tests.support.metrics_page`.
"""

GAUGES = """
## From Postgres, at `/metrics` of the API

Every API says the same, so a query takes the maximum: `max by (queue) (orchestrator_queue_depth)`.
They are asked for at most every 5 s. While Postgres is away only `orchestrator_database_up` is
there.

| gauge | labels | |
|---|---|---|
| `orchestrator_database_up` | | Whether Postgres answers. |"""

COUNTED = """
## Counted by processes

By workers and beats at `ORCHESTRATOR_PROBE_ADDRESS`, by the API at `/metrics`; a query sums over
them: `sum by (workflow) (rate(orchestrator_instances_ended_total[5m]))`. A process shows what it
has counted since its start. A workflow, task or queue beyond about a thousand of them in one
process is counted under `_other`.

| metric | kind | labels | |
|---|---|---|---|"""


def names() -> set[str]:
    """Every name that a query may use."""
    found = {"orchestrator_database_up"}
    found |= {name for _, _, told in gauge_queries._QUERIES for name, _ in told}
    for metric in metrics.METRICS.values():
        ends = ("_bucket", "_sum", "_count") if metric.kind is MetricType.HISTOGRAM else ("_total",)
        found |= {metric.name + end for end in ends}
    return found


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD + GAUGES, *_gauges(), COUNTED, *_counted(), ""])


def _gauges() -> Iterator[str]:
    for _, labels, told in gauge_queries._QUERIES:
        for name, text in told:
            yield f"| `{name}` | {_quoted(labels)} | {text} |"


def _counted() -> Iterator[str]:
    for metric in metrics.METRICS.values():
        end = "" if metric.kind is MetricType.HISTOGRAM else "_total"
        labels = _quoted(metric.labels)
        yield f"| `{metric.name}{end}` | {metric.kind} | {labels} | {metric.help} |"


def _quoted(labels: tuple[str, ...]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
