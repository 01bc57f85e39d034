"""How pools scale out: 1, 2 and 4 workers of 8 processes, whose steps sleep.

Continuation on and off; then a worker that comes in the middle, one that goes by SIGTERM and
one by SIGKILL. `python -m tests.benchmarks.scale` prints tables; with OUT=file.json it also
writes the figures. BROKER=rabbitmq runs on RabbitMQ; SECONDS says how long a load is, about;
NAP how long a step sleeps, in s (0.02). With longer naps the machine's cores, which everything
shares here, are no longer what limits it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from orchestrator.database.schema import upgrade
from orchestrator.embedded import Postgres, Valkey
from orchestrator.embedded.supervisor import Process
from tests.benchmarks import documents, product_load
from tests.support.rabbitmq import RabbitMQ
from tests.support.stack import Stack

PROCESSES = 8
NAP = float(os.environ.get("NAP", "0.02"))
STEPS = 5
#: What one worker can do at most, in steps a second.
IDEAL = PROCESSES / NAP
SECONDS = float(os.environ.get("SECONDS", "10"))


@contextlib.contextmanager
def workers(stack: Stack, count: int, **env: str) -> Iterator[list[Process]]:
    """Workers of 8 processes, and the end of them."""
    started = [start(stack, f"worker{number}", **env) for number in range(count)]
    try:
        yield started
    finally:
        for process in started:
            if process.running:
                process.stop()


def start(stack: Stack, name: str, **env: str) -> Process:
    """One worker that is ready."""
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    return stack.worker(
        name, "tests.celery_apps.bench", concurrency=PROCESSES, arguments=quiet, env=env
    )


def load(workers: int) -> int:
    """How many instances keep that many workers busy for `SECONDS`."""
    return max(int(SECONDS * IDEAL * workers / STEPS), 10)


def begin(product: product_load.Orchestrator, count: int) -> list[str]:
    """Start so many instances, 1,000 a request at most."""
    body = product.deploy(documents.naps(STEPS, NAP))
    ids: list[str] = []
    while len(ids) < count:
        ids += product.start([body] * min(count - len(ids), 1000))
    return ids


def throughput(product: product_load.Orchestrator, count: int) -> float:
    """Steps a second, from the first request to the last commit."""
    began = time.perf_counter()
    product.wait(begin(product, count))
    return count * STEPS / (time.perf_counter() - began)


def scaling(stack: Stack, product: product_load.Orchestrator) -> dict[str, float]:
    """Steps a second by the number of workers, continued and not."""
    found = {}
    for name, env in (
        ("continued", {}),
        ("uncontinued", {"ORCHESTRATOR_CONTINUATION_BUDGET": "0"}),
    ):
        for count in (1, 2, 4):
            with workers(stack, count, **env):
                throughput(product, 20 * count)
                found[f"{name}_{count}"] = throughput(product, load(count))
            print(f"{name}, {count} workers: {found[f'{name}_{count}']:.0f} steps/s", flush=True)
    return found


def coming_and_going(stack: Stack, product: product_load.Orchestrator) -> dict[str, float]:
    """Seconds from a worker's readiness to its first claim; then one ends in order, one by force.
    Raises AssertionError if a step is lost or done twice."""
    with workers(stack, 2) as (first, second):
        ids = begin(product, load(3))
        third = start(stack, "worker2")
        ready = product.sql("select clock_timestamp()")[0][0]
        claim = (
            "select min(a.claimed_at) from orchestrator.attempts a join orchestrator.workers w"
            " on w.id = a.worker where w.name = 'worker2@test'"
        )
        stack.until(lambda: product.sql(claim)[0][0] is not None, "the third takes work")
        latency = (product.sql(claim)[0][0] - ready).total_seconds()
        first.signal(signal.SIGTERM)
        second.kill()
        product.wait(ids)
        third.stop()
    lost = product.sql(
        "select count(*) from orchestrator.attempts"
        " where state = 'lost' and instance_id = any(%s::uuid[])",
        ids,
    )[0][0]
    audit(product, ids)
    return {"first_claim_s": max(latency, 0.0), "killed_in_hand": float(lost)}


def audit(product: product_load.Orchestrator, ids: list[str]) -> None:
    """Each step has succeeded once, and each transition is told once."""
    ((succeeded, distinct),) = product.sql(
        "select count(*), count(distinct (instance_id, step)) from orchestrator.attempts"
        " where state = 'succeeded' and instance_id = any(%s::uuid[])",
        ids,
    )
    ((gaps,),) = product.sql(
        "select count(*) from orchestrator.instances i where id = any(%s::uuid[]) and sequence <>"
        " (select count(*) from orchestrator.history h where h.instance_id = i.id)",
        ids,
    )
    expected = len(ids) * STEPS
    if (succeeded, distinct, gaps) != (expected, expected, 0):
        raise AssertionError(
            f"{succeeded} successes of {distinct} steps for {expected}; {gaps} gaps"
        )


def report(found: dict[str, float]) -> None:
    """Print the table."""
    table = Table("workers", "continued, steps/s", "of linear", "uncontinued, steps/s", "of linear")
    table.title = f"steps that sleep {NAP * 1000:.0f} ms"
    for count in (1, 2, 4):
        row = [str(count)]
        for name in ("continued", "uncontinued"):
            linear = found[f"{name}_1"] * count
            figure = found[f"{name}_{count}"]
            found[f"{name}_{count}_of_linear"] = figure / linear
            row += [f"{figure:.0f}", f"{figure / linear:.2f}"]
        table.add_row(*row)
    Console(width=120).print(table)
    print(f"one worker can do {IDEAL:.0f} steps/s at most; {os.cpu_count()} cores")
    print(f"a new worker's first claim: {found['first_claim_s']:.2f} s after it was ready")
    print(f"in the hands of the killed worker: {found['killed_in_hand']:.0f}; lost or doubled: 0")


def main() -> None:
    """Run everything on servers of its own."""
    folder = Path(tempfile.mkdtemp(prefix="scale"))
    rabbitmq = os.environ.get("BROKER") == "rabbitmq"
    server = RabbitMQ(folder / "broker") if rabbitmq else Valkey(folder / "broker")
    with Postgres(folder / "postgres") as postgres, server as broker:
        upgrade.upgrade(postgres.url)
        with Stack(folder, postgres.url, broker.url, log_level="WARNING") as stack:
            stack.api()
            stack.beat(app="tests.celery_apps.bench")
            product = product_load.Orchestrator.at(stack.settings["api_url"], postgres.url)
            found = {**scaling(stack, product), **coming_and_going(stack, product)}
    report(found)
    if os.environ.get("OUT"):
        Path(os.environ["OUT"]).write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
