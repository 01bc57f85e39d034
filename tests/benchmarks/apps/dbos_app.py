"""DBOS's W1 to W4: ``python dbos_app.py DATABASE_URL RUNS`` prints the figures as JSON.

A process of its own. DBOS runs workflows in the threads of the process that starts them, so
that nothing passes a broker; the fork's steps go through one of its queues.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from dbos import DBOS


@DBOS.step()
def noop():
    return None


@DBOS.workflow()
def sequence(steps):
    for _ in range(steps):
        noop()


@DBOS.workflow()
def branch():
    noop()


@DBOS.workflow()
def fork(width):
    queue = DBOS.retrieve_queue("bench")
    for handle in [queue.enqueue(branch) for _ in range(width)]:
        handle.get_result(polling_interval_sec=0.001)


def seconds(work):
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def start(count, steps=5):
    """So many workflows, one by one."""
    return [DBOS.start_workflow(sequence, steps) for _ in range(count)]


def finish(handles):
    """Until all have ended."""
    for handle in handles:
        handle.get_result(polling_interval_sec=0.001)


def main():
    """Measure and print."""
    DBOS(
        config={
            "name": "bench",
            "system_database_url": sys.argv[1],
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    DBOS.register_queue("bench", polling_interval_sec=0.01)
    runs = int(sys.argv[2])
    sequence(20)
    figures = {
        "w1": statistics.median(seconds(lambda: sequence(20)) * 1000 for _ in range(runs)),
        "w2": 200 * 5 / seconds(lambda: finish(start(200))),
        "w3": statistics.median(seconds(lambda: fork(200)) * 1000 for _ in range(min(runs, 3))),
    }
    begun = []
    figures["w4"] = 300 / seconds(lambda: begun.extend(start(300)))
    finish(begun)
    DBOS.destroy()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
