"""The core alone: how long a transition takes to decide, and that it takes no longer among
10,000 siblings than among 10.

    python -m tests.benchmarks.core

There is no database here: only the time within ``advance`` counts, expressions included. What
an instance has behind it makes no difference, because its history is no part of a slice.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from orchestrator.core import advance
from orchestrator.testing.world import World
from tests.support.documents import call, doc

SIZES = (10, 100, 1_000, 10_000)


class Clock:
    """Sums up the time within `advance`, and counts."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0

    def __call__(self, *arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return advance(*arguments)
        finally:
            self.seconds += time.perf_counter() - started
            self.calls += 1


def _world(document: dict[str, Any]) -> tuple[World, Clock]:
    world, clock = World(document), Clock()
    world.advance = clock  # type: ignore[assignment]
    return world, clock


def _sets(n: int) -> float:
    """Microseconds for each `set` of a sequence."""
    world, clock = _world(doc(*({f"t{i}": {"set": {"n": "${ .n }"}}} for i in range(n))))
    world.start(input={"n": 1})
    return clock.seconds / n * 1e6


def _switches(n: int) -> float:
    case = {"switch": [{"a": {"when": ".n", "then": "continue"}}]}
    world, clock = _world(doc(*({f"t{i}": case} for i in range(n))))
    world.start(input={"n": True})
    return clock.seconds / n * 1e6


def _iterations(n: int) -> float:
    """Microseconds for each iteration of a `for` over a `set`."""
    loop = {"for": {"in": ".items"}, "do": [{"s": {"set": {"n": "${ $item }"}}}]}
    world, clock = _world(doc({"loop": loop}))
    world.start(input={"items": list(range(n))})
    return clock.seconds / n * 1e6


def _results(n: int) -> float:
    """Microseconds from a call's result to the next call of a sequence of n."""
    body = {**call("work"), "with": {"n": "${ .n }"}}
    world, clock = _world(doc(*({f"t{i}": body} for i in range(n))))
    world.start(input={"n": 1})
    clock.seconds, clock.calls = 0.0, 0
    for _ in range(min(n, 500)):
        world.succeed(world.every_attempt()[-1], {"n": 2})
    return clock.seconds / clock.calls * 1e6


def _branches(n: int) -> float:
    """Microseconds for each result of a fork of n calls, its join apart."""
    world, clock = _world(
        doc({"f": {"fork": {"branches": [{f"b{i}": call("w")} for i in range(n)]}}})
    )
    world.start()
    clock.seconds, clock.calls = 0.0, 0
    for attempt in world.every_attempt()[: n - 1][:500]:
        world.succeed(attempt, 1)
    return clock.seconds / clock.calls * 1e6


MEASURES: dict[str, Callable[[int], float]] = {
    "set": _sets,
    "switch": _switches,
    "for": _iterations,
    "call": _results,
    "fork": _branches,
}


def measure() -> dict[str, dict[int, float]]:
    """Microseconds for each kind and number of siblings: the better of two runs."""
    return {
        name: {size: min(run(size), run(size)) for size in SIZES} for name, run in MEASURES.items()
    }


def main() -> None:
    found = measure()
    print("siblings  " + "".join(f"{size:>16,}" for size in SIZES))
    for name, row in found.items():
        cells = (f"{us:>7.1f} us{1e6 / us:>6,.0f}/s" for us in row.values())
        print(f"{name:<10}" + "".join(cells))
    out = os.environ.get("OUT")
    if out:
        figures = {
            f"core_{name}_{size}": 1e6 / us
            for name, row in found.items()
            for size, us in row.items()
        }
        with open(out, "w") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
