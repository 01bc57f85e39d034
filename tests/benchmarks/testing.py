"""How many runs a second `orchestrator.testing` does of a workflow of five steps with real tasks:
with plain paths, and with programs that need jq; and how long `crash_everywhere` takes.

    python -m tests.benchmarks.testing

Windows of 40 runs are timed. The best one says most of the code, the median most of the machine.
On a busy machine the runs in a second of CPU, those of the sandbox's process included, come nearest
to what a quiet one would do.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import psutil
from celery import Celery

from orchestrator.testing import Workflows, effect
from tests.support.documents import Body, doc

WINDOWS, RUNS = 40, 40
PATHS = {"n": "${ .n }", "total": "${ .total }"}
PROGRAMS = {"n": "${ [.n, 0] | max }", "total": "${ .total }"}


def _app() -> Celery:
    app = Celery("bench", broker="memory://", set_as_current=False)

    @app.task(name="bench.step", shared=False)
    def step(n: int, total: int) -> dict[str, int]:
        return {"n": n + 1, "total": total}

    @app.task(name="bench.charge", shared=False)
    def charge() -> str:
        return effect("charge")

    return app


def _document(name: str, arguments: Body) -> Body:
    step = {"call": "bench.step", "with": arguments}
    return doc(*({f"s{n}": step} for n in range(5)), about={"name": name})


def _cpu() -> float:
    """The seconds of CPU of this process and its children."""
    this = psutil.Process()
    return sum(sum(one.cpu_times()[:2]) for one in (this, *this.children()))


def _runs_per_second(workflows: Workflows, document: Any) -> tuple[list[float], float]:
    workflows.run(document, {"n": 0, "total": 5})
    rates = []
    cpu = _cpu()
    for _ in range(WINDOWS):
        began = time.perf_counter()
        for _ in range(RUNS):
            run = workflows.run(document, {"n": 0, "total": 5})
        rates.append(RUNS / (time.perf_counter() - began))
        assert run.output["n"] == 5
    return rates, WINDOWS * RUNS / (_cpu() - cpu)


def main() -> None:
    """Print the figures."""
    app = _app()
    for name, arguments in (("paths", PATHS), ("jq", PROGRAMS)):
        rates, per_cpu = _runs_per_second(Workflows(app), _document(name, arguments))
        best, middle = max(rates), statistics.median(rates)
        print(
            f"{name:6} {best:6.0f} runs/s in the best window, {middle:6.0f} in the median one,"
            f" {per_cpu:6.0f} in a second of CPU"
        )
    began = time.perf_counter()
    charges = doc(*({f"c{n}": {"call": "bench.charge"}} for n in range(5)))
    report = Workflows(app).crash_everywhere(charges)
    seconds = time.perf_counter() - began
    print(f"crash_everywhere: {report.runs} runs with {report.deaths} deaths in {seconds:.2f} s")


if __name__ == "__main__":
    main()
