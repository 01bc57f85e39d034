"""Raw Celery on the same broker at its best settings: canvases without any durability."""

from __future__ import annotations

import importlib
import os
import statistics
import time
from typing import Any

from celery import chain, chord, group

SETTINGS = (
    "Celery 5.7 prefork -c 2, JSON, no events, no remote control, results ignored where the"
    " canvas allows it, result backend on the broker's Redis"
)


def load(broker_url: str) -> Any:
    """The benchmark's Celery app, bound to this broker."""
    os.environ["BENCH_BROKER_URL"] = broker_url
    return importlib.import_module("tests.benchmarks.apps.bench_tasks")


def w1(tasks: Any, runs: int) -> float:
    """One chain of 20 no-op tasks, from its publish to its last result; median in ms."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        chain(*[tasks.quiet.si() for _ in range(19)], tasks.last.si()).apply_async().get(
            timeout=60, interval=0.001
        )
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def w2(tasks: Any, instances: int = 200, steps: int = 5) -> float:
    """200 chains of 5, submitted as fast as possible; steps a second."""
    started = time.perf_counter()
    results = [
        chain(*[tasks.quiet.si() for _ in range(steps - 1)], tasks.last.si()).apply_async()
        for _ in range(instances)
    ]
    for result in results:
        result.get(timeout=120, interval=0.001)
    return instances * steps / (time.perf_counter() - started)


def w3(tasks: Any, runs: int, width: int = 200) -> float:
    """A chord of 200 no-op tasks and its callback; median in ms."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        chord(group(tasks.noop.si() for _ in range(width)), tasks.last.si()).apply_async().get(
            timeout=60, interval=0.001
        )
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def w4(tasks: Any, count: int = 300, steps: int = 5) -> float:
    """Starts a second: chains of 5, one by one, while the workers run them."""
    started = time.perf_counter()
    results = [
        chain(*[tasks.quiet.si() for _ in range(steps - 1)], tasks.last.si()).apply_async()
        for _ in range(count)
    ]
    rate = count / (time.perf_counter() - started)
    for result in results:
        result.get(timeout=120, interval=0.001)
    return rate
