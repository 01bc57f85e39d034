"""Events in a second with 10, 1,000 and 100,000 listeners open.

`python -m tests.benchmarks.events`. Each event matches one listener by its correlation and
completes its instance; the time ends when all of these are completed in Postgres. The listeners
that stand around are copies of one that a real instance opened, made in SQL and then indexed by
the product as it indexes all. Prints a table; with OUT=file.json also writes the figures.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from orchestrator.database.schema import upgrade
from orchestrator.embedded import Postgres, Valkey
from tests.support.events import BATCH, event
from tests.support.stack import Stack

COUNTS = tuple(int(one) for one in os.environ.get("COUNTS", "10,1000,100000").split(","))
#: Events of one run, and in one request of it.
EVENTS = int(os.environ.get("EVENTS", "1000"))
TOGETHER = 100
RUNS = int(os.environ.get("RUNS", "3"))

_ORDER = {"order": {"from": ".data.order", "expect": ".order"}}
_PAID = {"one": {"with": {"type": "paid"}, "correlate": _ORDER}}
LISTENS: dict[str, Any] = {
    "document": {"dsl": "1.0.3", "namespace": "bench", "name": "waits", "version": "1.0.0"},
    "do": [{"paid": {"listen": {"to": _PAID}}}],
}


def stand(stack: Stack, count: int) -> None:
    """Let so many listeners stand around, for orders that are never paid."""
    model = stack.start(stack.deploy(LISTENS), input={"order": "model"})
    settled(stack)
    stack.sql(
        "create temporary table more as select gen_random_uuid() as id, n"
        " from generate_series(1, %s) n",
        count - 1,
    )
    stack.sql(
        "insert into orchestrator.instances (id, namespace, workflow_id, workflow, version, status,"
        " sequence, last_number, open_places, input, state, started_at)"
        " select m.id, namespace, workflow_id,"
        " workflow, version, status, sequence, last_number, open_places, input, state, started_at"
        " from orchestrator.instances i, more m where i.id = %s",
        model,
    )
    stack.sql(
        "insert into orchestrator.steps (instance_id, id, parent, reference, kind, status,"
        " started_at, input) select m.id, s.id, parent, reference, kind, status, started_at, input"
        " from orchestrator.steps s, more m where s.instance_id = %s",
        model,
    )
    stack.sql(
        "insert into orchestrator.listeners (instance_id, step, namespace, mode, filters, read,"
        " correlation) select m.id, step, namespace, mode, filters, read,"
        " json_build_object('order', 'standing ' || m.n)"
        " from orchestrator.listeners l, more m where l.instance_id = %s",
        model,
    )
    stack.sql("drop table more")
    settled(stack)
    stack.sql("vacuum analyze")


def settled(stack: Stack) -> None:
    """Wait until every listener has been looked at."""
    query = (
        "select not exists (select from orchestrator.listeners"
        " where lookback_requests > lookbacks_done)"
        " and not exists (select from orchestrator.stimuli)"
    )
    stack.until(lambda: bool(stack.sql(query)[0][0]), "the listeners are indexed", 900)


def run(stack: Stack, name: str) -> float:
    """Events in a second."""
    start = stack.deploy(LISTENS)
    orders = [f"{name} {n}" for n in range(EVENTS)]
    ids: list[str] = []
    for at in range(0, EVENTS, TOGETHER):
        bodies = [{**start, "input": {"order": one}} for one in orders[at : at + TOGETHER]]
        started = stack.client.post("/v1/instances", json=bodies)
        assert started.status_code == 202, started.text
        ids += [one["id"] for one in started.json()]
    settled(stack)
    begun = time.monotonic()
    for at in range(0, EVENTS, TOGETHER):
        given = [event(one, "paid", data={"order": one}) for one in orders[at : at + TOGETHER]]
        answer = stack.client.post(
            "/v1/events?namespace=bench",
            content=json.dumps(given),
            headers={"Content-Type": BATCH},
        )
        assert answer.status_code == 202, answer.text
    done = (
        "select count(*) from orchestrator.instances where id = any(%s::uuid[])"
        " and status = 'completed'"
    )
    stack.until(lambda: stack.sql(done, ids)[0][0] == EVENTS, "all are completed", 900)
    return EVENTS / (time.monotonic() - begun)


def main() -> None:
    """Run everything on servers of its own."""
    folder = Path(tempfile.mkdtemp(prefix="bench"))
    figures: dict[str, float] = {}
    with Postgres(folder / "postgres") as postgres, Valkey(folder / "valkey") as valkey:
        upgrade.upgrade(postgres.url)
        with Stack(folder, postgres.url, valkey.url, log_level="WARNING") as stack:
            stack.api()
            stack.worker(app="tests.celery_apps.bench")
            stack.beat(app="tests.celery_apps.bench")
            stand(stack, 2)
            run(stack, "warm")
            standing = 2
            for count in COUNTS:
                stand(stack, max(2, count - standing))
                standing = count
                rates = sorted(run(stack, f"run {count} {n}") for n in range(RUNS))
                figures[str(count)] = rates[len(rates) // 2]
    table = Table("listeners open", "events/s")
    for name, rate in figures.items():
        table.add_row(f"{int(name):,}", f"{rate:,.0f}")
    Console(width=80).print(table)
    rates = list(figures.values())
    ratio = max(rates[0], rates[-1]) / min(rates[0], rates[-1])
    print(f"between the first and the last: {ratio:.2f} (at most 2)")
    if os.environ.get("OUT"):
        written = {"events_per_second": figures, "events_ratio": ratio}
        Path(os.environ["OUT"]).write_text(json.dumps(written, indent=2))


if __name__ == "__main__":
    main()
