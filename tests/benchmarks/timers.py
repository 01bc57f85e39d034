"""``python -m tests.benchmarks.timers``: how exactly timers fire, in quiet and under fire.

Two beats, 10,000 timers due within 10 s: once undisturbed, then in as many rounds as it takes
to kill, stop and freeze the beats 20 times, never both at once. Then what firing costs with a
million timers in the table that are due later. Prints a table; with OUT=file.json also writes
the figures (lateness in ms).
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from orchestrator.database.connection.database import Database
from orchestrator.database.schedules import timer_queries
from orchestrator.database.schema import upgrade
from orchestrator.embedded import Postgres, Valkey
from orchestrator.embedded.supervisor import Process
from tests.support.stack import Stack
from tests.support.timers import Report, arm, fired, report

APP = "tests.celery_apps.periodic"
COUNT = 10_000
WITHIN = 10.0
DISTURBANCES = 20
MILLION = 1_000_000


@contextmanager
def two_beats(folder: Path) -> Iterator[tuple[Stack, list[Process]]]:
    """Two beats on servers of their own; each comes back when it ends."""
    with Postgres(folder / "postgres") as postgres, Valkey(folder / "valkey") as valkey:
        upgrade.upgrade(postgres.url)
        with Stack(folder, postgres.url, valkey.url) as stack:
            beats = [stack.beat(name, APP, restart=True) for name in ("one", "two")]
            stack.until(lambda: _listening(stack) == 2, "two beats listen")
            yield stack, beats


def _listening(stack: Stack) -> int:
    rows = stack.sql(
        "select count(*) from pg_stat_activity where query = 'listen orchestrator_timers'"
        " and datname = current_database()"
    )
    return int(rows[0][0])


def quiet(stack: Stack) -> Report:
    """All timers, undisturbed."""
    arm(stack, COUNT, WITHIN)
    return _finished(stack)


def disturbed(stack: Stack, beats: list[Process]) -> Report:
    """As many rounds of all timers as it takes to disturb the beats 20 times: in turn, one is
    killed, stopped or frozen, and the other left alone until it is back."""
    starts = [1 for _ in beats]
    found: list[Report] = []
    number = 0
    while number < DISTURBANCES:
        arm(stack, COUNT, WITHIN)
        stack.until(lambda: fired(stack) > 0, "the first timers fire")
        while number < DISTURBANCES and fired(stack) < COUNT:
            victim = number % len(beats)
            starts[victim] = _disturb(stack, beats[victim], number, starts[victim])
            number += 1
        found.append(_finished(stack))
    return _together(found)


def _disturb(stack: Stack, beat: Process, number: int, starts: int) -> int:
    """Disturb a beat, and wait until it is back; how often it has been started by then."""
    if number % 3 == 2:
        beat.signal(signal.SIGSTOP)
        time.sleep(1.0)  # frozen for so long: it is the disturbance itself
        beat.signal(signal.SIGCONT)
        return starts
    beat.signal(signal.SIGKILL if number % 3 == 0 else signal.SIGTERM)
    beat.wait_for_start(starts + 1, timeout=60)
    stack.until(lambda: _listening(stack) == 2, "the beat is back")
    return starts + 1


def _together(reports: list[Report]) -> Report:
    lateness = sorted(late for each in reports for late in each.lateness)
    return Report(
        sum(each.armed for each in reports),
        sum(each.fired for each in reports),
        sum(each.early for each in reports),
        sum(each.double for each in reports),
        tuple(lateness),
    )


def _finished(stack: Stack) -> Report:
    stack.until(lambda: fired(stack) >= COUNT, "all fire", timeout=120)
    found = report(stack)
    stack.sql("truncate orchestrator.stimuli")
    return found


def cost(url: str) -> dict[str, float]:
    """The ms that it takes to fire 200 timers, and to find none, with how many due later."""
    database = Database(url)
    figures: dict[str, float] = {}
    for name, later in (("few", 1000), ("million", MILLION)):
        database.all("truncate orchestrator.timers, orchestrator.stimuli")
        database.all(
            "insert into orchestrator.timers (instance_id, step, kind, due_at)"
            " select gen_random_uuid(), 1, 'wait', clock_timestamp() + interval '1 hour'"
            " + g.n * interval '1 ms' from generate_series(1, %s) as g(n)",
            (later,),
        )
        database.all("analyze orchestrator.timers")
        figures[f"fire_200_{name}_ms"] = _median(database, 200)
        figures[f"fire_none_{name}_ms"] = _median(database, 0)
    database.all("truncate orchestrator.timers, orchestrator.stimuli")
    database.close()
    return figures


def _median(database: Database, due: int) -> float:
    taken = []
    for _ in range(21):
        database.all(
            "insert into orchestrator.timers (instance_id, step, kind, due_at)"
            " select gen_random_uuid(), 1, 'wait', clock_timestamp()"
            " from generate_series(1, %s)",
            (due,),
        )
        begun = time.perf_counter()
        assert len(timer_queries.fire(database, 200).instances) == due
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1000


def main() -> None:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with two_beats(folder) as (stack, beats):
            reports = {"quiet": quiet(stack), "disturbed": disturbed(stack, beats)}
            for beat in beats:
                beat.stop()
            figures: dict[str, Any] = dict(cost(stack.database_url))
    table = Table("beats", "fired", "early", "double", "median ms", "p99 ms", "latest ms")
    for name, found in reports.items():
        late = [found.median * 1000, found.quantile(0.99) * 1000, found.lateness[-1] * 1000]
        table.add_row(
            name,
            f"{found.fired}/{found.armed}",
            *map(str, (found.early, found.double)),
            *(f"{each:.1f}" for each in late),
        )
        keys = ("median_ms", "p99_ms", "latest_ms")
        figures.update({f"{name}_{key}": each for key, each in zip(keys, late, strict=True)})
        counts = {"fired": found.fired, "early": found.early, "double": found.double}
        figures.update({f"{name}_{key}": each for key, each in counts.items()})
    console = Console()
    console.print(table)
    for name, value in figures.items():
        if name.startswith("fire_"):
            console.print(f"{name}: {value:.2f}")
    if os.environ.get("OUT"):
        Path(os.environ["OUT"]).write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
