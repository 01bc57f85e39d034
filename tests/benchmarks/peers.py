"""W1 to W4: ours beside raw Celery, and beside DBOS where it is installed."""

from __future__ import annotations

import os

from rich.table import Table

from tests.benchmarks import dbos_peer, product_load, raw_celery_load
from tests.benchmarks.bench_stack import Ground, prepared

RUNS = int(os.environ.get("RUNS", "11"))

#: What is printed: the title, the figure's name, the floor and the goal against raw Celery.
LOADS = (
    ("W1: 20 steps in sequence, ms", "w1", 0.7, 0.4),
    ("W2: 200 instances of 5 steps, steps/s", "w2", 1.3, 2.0),
    ("W3: fork of 200 and its join, ms", "w3", 0.9, 0.6),
    ("W4: starts a second, singly", "w4", 0.6, 0.8),
    ("W4: starts a second, in a batch", "w4_batch", 5.0, 5.0),
)

Figures = dict[str, float]


def of_raw(ground: Ground) -> Figures:
    """Raw Celery's W1 to W4."""
    tasks = raw_celery_load.load(ground.stack.broker_url)
    with ground.raw_workers():
        raw_celery_load.w1(tasks, 3)
        return {
            "w1": raw_celery_load.w1(tasks, RUNS),
            "w2": raw_celery_load.w2(tasks),
            "w3": raw_celery_load.w3(tasks, RUNS),
            "w4": raw_celery_load.w4(tasks),
        }


def of_ours(ground: Ground, env: dict[str, str] | None = None) -> Figures:
    """Our W1 to W4. Raises AssertionError where an attempt or a history row is missing."""
    product = ground.product
    with ground.workers(env=env):
        product_load.w1(product, 3)
        figures = {
            "w1": product_load.w1(product, RUNS),
            "w2": product_load.w2(product),
            "w3": product_load.w3(product, RUNS),
            "w4": product_load.w4(product),
            "w4_batch": product_load.w4_batch(product),
        }
    audit(product)
    return figures


def audit(product: product_load.Orchestrator) -> None:
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


def bytes_per_step(product: product_load.Orchestrator) -> float:
    """What one step costs in Postgres with its attempt, its history and its indexes."""
    for table in ("steps", "attempts", "history"):
        product.sql(f"vacuum full orchestrator.{table}")
    ((size, steps),) = product.sql(
        "select pg_total_relation_size('orchestrator.steps')"
        " + pg_total_relation_size('orchestrator.attempts')"
        " + pg_total_relation_size('orchestrator.history'),"
        " (select count(*) from orchestrator.steps)"
    )
    return float(size / steps)


def measure() -> tuple[dict[str, Figures], Figures, list[Table]]:
    """Everyone's figures, the ratios to raw Celery's, and the tables of them."""
    with prepared() as ground:
        print(raw_celery_load.SETTINGS)
        for name in ("fsync", "synchronous_commit"):
            print(name, ground.product.sql(f"show {name}")[0][0])
        figures = {
            "raw": of_raw(ground),
            "ours": of_ours(ground),
            "uncontinued": of_ours(ground, {"ORCHESTRATOR_CONTINUATION_BUDGET": "0"}),
        }
        if dbos_peer.missing:
            print(dbos_peer.missing)
        else:
            figures["dbos"] = dbos_peer.measure(ground.stack.database_url, RUNS)
        written = ratios(figures)
        written["bytes_per_step"] = bytes_per_step(ground.product)
    return figures, written, [table(figures)]


def measure_rabbitmq(valkey: Figures) -> tuple[dict[str, Figures], Figures, list[Table]]:
    """The same loads on RabbitMQ, as ratios to ours on Valkey (`valkey`)."""
    with prepared("rabbitmq") as ground:
        figures = of_ours(ground)
    shown = Table("load, on RabbitMQ", "ours", "ratio to ours on Valkey")
    written = {}
    for title, name, _, _ in LOADS:
        ratio = written[f"{name}_rabbitmq_ratio"] = figures[name] / valkey[name]
        shown.add_row(title, f"{figures[name]:.1f}", f"{ratio:.2f}")
    return {"rabbitmq": figures}, written, [shown]


def ratios(figures: dict[str, Figures]) -> Figures:
    """Ours, continued and not, against raw Celery's single starts, chains and chords."""
    found = {}
    for _, name, _, _ in LOADS:
        base = figures["raw"][name.removesuffix("_batch")]
        found[f"{name}_ratio"] = figures["ours"][name] / base
        found[f"{name}_ratio_uncontinued"] = figures["uncontinued"][name] / base
    return found


def table(figures: dict[str, Figures]) -> Table:
    """Everyone beside raw Celery."""
    shown = Table("load", "raw Celery", "DBOS", "ours", "ratio", "floor", "goal", "uncontinued")
    found = ratios(figures)
    for title, name, floor, goal in LOADS:
        dbos = figures.get("dbos", {}).get(name)
        shown.add_row(
            title,
            f"{figures['raw'][name.removesuffix('_batch')]:.1f}",
            "" if dbos is None else f"{dbos:.1f}",
            f"{figures['ours'][name]:.1f}",
            f"{found[f'{name}_ratio']:.2f}",
            str(floor),
            str(goal),
            f"{found[f'{name}_ratio_uncontinued']:.2f}",
        )
    return shown
