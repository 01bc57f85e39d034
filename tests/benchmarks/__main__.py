"""`make bench`: our figures beside raw Celery's, on the same servers, in one run.

Prints a table; with OUT=file.json also writes the figures. The same tasks, the same two
processes; ours commit every step to Postgres (fsync on), raw Celery keeps nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from orchestrator.database import migrate
from orchestrator.embedded import Postgres, Valkey
from orchestrator.processes import log_says
from tests.benchmarks import ours, raw
from tests.support.stack import Stack

RUNS = int(os.environ.get("RUNS", "11"))


@contextmanager
def raw_workers(stack: Stack) -> Iterator[None]:
    """A plain Celery worker of two processes."""
    worker = stack.spawn(
        "raw",
        *("-m", "celery", "-A", "tests.benchmarks.apps.bench_tasks", "worker"),
        *("-P", "prefork", "-c", "2", "-l", "WARNING", "-n", "raw@bench"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "INFO"),
        env={"BENCH_BROKER_URL": stack.broker_url},
        ready=log_says(" ready."),
        tier=3,
    )
    try:
        yield
    finally:
        worker.stop()


@contextmanager
def our_workers(stack: Stack, **env: str) -> Iterator[None]:
    """Our worker of two processes."""
    worker = stack.worker(
        "ours",
        "tests.apps.bench",
        arguments=("--without-gossip", "--without-mingle", "--without-heartbeat"),
        env=env,
    )
    try:
        yield
    finally:
        worker.stop()


def measure_raw(stack: Stack) -> dict[str, float]:
    """Raw Celery's W1 to W4."""
    tasks = raw.load(stack.broker_url)
    with raw_workers(stack):
        raw.w1(tasks, 3)
        return {
            "w1": raw.w1(tasks, RUNS),
            "w2": raw.w2(tasks),
            "w3": raw.w3(tasks, RUNS),
            "w4": raw.w4(tasks),
        }


def measure_ours(stack: Stack, product: ours.Orchestrator, **env: str) -> dict[str, float]:
    """Our W1 to W4."""
    with our_workers(stack, **env):
        ours.w1(product, 3)
        figures = {
            "w1": ours.w1(product, RUNS),
            "w2": ours.w2(product),
            "w3": ours.w3(product, RUNS),
            "w4": ours.w4(product),
            "w4_batch": ours.w4_batch(product),
        }
    audit(product)
    return figures


def audit(product: ours.Orchestrator) -> None:
    """Every attempt ended, every transition told: what was measured was durable."""
    open_attempts = product.sql(
        "select count(*) from orchestrator.attempts where state in ('ready', 'claimed')"
    )
    gaps = product.sql(
        "select count(*) from orchestrator.instances i where sequence <> (select count(*) from"
        " orchestrator.history h where h.instance_id = i.id)"
    )
    if open_attempts != [(0,)] or gaps != [(0,)]:
        raise AssertionError(f"open attempts {open_attempts}, instances with gaps {gaps}")


def bytes_per_step(product: ours.Orchestrator) -> float:
    """What one step costs in Postgres with its attempt, its history and its indexes."""
    product.sql("vacuum full orchestrator.steps")
    product.sql("vacuum full orchestrator.attempts")
    product.sql("vacuum full orchestrator.history")
    ((size, steps),) = product.sql(
        "select pg_total_relation_size('orchestrator.steps')"
        " + pg_total_relation_size('orchestrator.attempts')"
        " + pg_total_relation_size('orchestrator.history'),"
        " (select count(*) from orchestrator.steps)"
    )
    return size / steps


def report(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """Print the table; returns the ratios."""
    rows = [
        ("W1: 20 steps in sequence, ms", "w1", 0.7, 0.4),
        ("W2: 200 instances of 5 steps, steps/s", "w2", 1.3, 2.0),
        ("W3: fork of 200 and its join, ms", "w3", 0.9, 0.6),
        ("W4: starts a second, singly", "w4", 0.6, 0.8),
        ("W4: starts a second, in a batch", "w4_batch", 5.0, 5.0),
    ]
    table = Table("load", "raw Celery", "ours", "ratio", "floor", "goal", "uncontinued")
    ratios = {}
    for title, name, floor, goal in rows:
        base = figures["raw"][name.removesuffix("_batch")]
        ratio = ratios[f"{name}_ratio"] = figures["ours"][name] / base
        plain = figures["uncontinued"][name] / base
        ratios[f"{name}_ratio_uncontinued"] = plain
        table.add_row(
            title,
            f"{base:.1f}",
            f"{figures['ours'][name]:.1f}",
            f"{ratio:.2f}",
            str(floor),
            str(goal),
            f"{plain:.2f}",
        )
    Console(width=120).print(table)
    return ratios


def main() -> None:
    """Run everything on servers of its own."""
    folder = Path(tempfile.mkdtemp(prefix="bench"))
    with Postgres(folder / "postgres") as postgres, Valkey(folder / "valkey") as valkey:
        migrate.upgrade(postgres.url)
        with Stack(folder, postgres.url, valkey.url, log_level="WARNING") as stack:
            figures = {"raw": measure_raw(stack)}
            stack.api()
            stack.beat(app="tests.apps.bench")
            product = ours.Orchestrator.at(stack.settings["api_url"], postgres.url)
            print(raw.SETTINGS)
            for name in ("fsync", "synchronous_commit"):
                print(name, product.sql(f"show {name}")[0][0])
            figures["ours"] = measure_ours(stack, product)
            figures["uncontinued"] = measure_ours(
                stack, product, ORCHESTRATOR_CONTINUATION_BUDGET="0"
            )
            written = report(figures)
            written["bytes_per_step"] = bytes_per_step(product)
            print(f"bytes a step: {written['bytes_per_step']:.0f}")
    if os.environ.get("OUT"):
        Path(os.environ["OUT"]).write_text(json.dumps({**written, "figures": figures}, indent=2))


if __name__ == "__main__":
    main()
