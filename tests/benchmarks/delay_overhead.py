"""``python -m tests.benchmarks.delay_overhead``: what `install(app)` costs a task's ``.delay()``
outside
a workflow: nothing that can be measured.

Two processes send the same task to the same Valkey, one with `install(app)` and one without,
in rounds by turns, each round by either in turn the first. Prints the medians of both and their
ratio, and the ratio of a process to itself (odd rounds to even ones): what noise alone makes.
ROUNDS and CALLS (a round) may be given in the environment.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import redis
from celery import Celery
from rich.console import Console
from rich.table import Table

from orchestrator import install
from orchestrator.embedded import Valkey

ROUNDS = int(os.environ.get("ROUNDS", "40"))
CALLS = int(os.environ.get("CALLS", "1000"))
KINDS = ("without", "with")


class Sender:
    """A process that sends a round of calls when it is told to."""

    def __init__(self, kind: str, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.delay_overhead", kind, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def round(self, calls: int) -> float:
        """Calls a second."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(calls, file=self._process.stdin, flush=True)
        return calls / float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def send(kind: str, url: str) -> None:
    """The process: for each line of its input so many calls; says how long they took."""
    app = Celery("shop", broker=url)
    if kind == "with":
        install(app)

    @app.task(name="shop.send", ignore_result=True)
    def task(order: int, to: str = "") -> None:
        """Is never run: nothing consumes here."""

    for line in sys.stdin:
        calls = int(line)
        began = time.perf_counter()
        for order in range(calls):
            task.delay(order, to="somebody@shop.example")
        print(time.perf_counter() - began, flush=True)


def measure(rounds: int, calls: int) -> dict[str, list[float]]:
    """Calls a second of each round, without and with `install(app)`."""
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = stack.enter_context(Valkey(Path(folder) / "valkey")).url
        server = stack.enter_context(redis.Redis.from_url(url))
        senders = {kind: Sender(kind, url) for kind in KINDS}
        for sender in senders.values():
            stack.callback(sender.close)
            sender.round(calls)  # connects, and is not counted
        for number in range(rounds):
            for kind in KINDS if number % 2 else reversed(KINDS):
                server.flushall()
                found[kind].append(senders[kind].round(calls))
    return found


def main() -> None:
    """Measure, and print."""
    found = measure(ROUNDS, CALLS)
    table = Table(f"{ROUNDS} rounds of {CALLS} calls", ".delay() a second", "ratio")
    without = statistics.median(found["without"])
    for kind in KINDS:
        rate = statistics.median(found[kind])
        table.add_row(f"{kind} install(app)", f"{rate:.0f}", f"{rate / without:.3f}")
    odd, even = (statistics.median(found["without"][start::2]) for start in (1, 0))
    table.add_row("without, odd rounds to even ones", "", f"{odd / even:.3f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        send(*sys.argv[1:3])
    else:
        main()
