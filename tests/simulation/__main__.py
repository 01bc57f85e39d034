"""Runs schedules for some time, or repeats one: see the package."""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from tests.simulation.faults import TABLE, Pair
from tests.simulation.schedule import Result, Simulation

#: The choices of ``--continuation``.
CONTINUATION = {"drawn": None, "on": True, "off": False}

#: So many failures say enough.
MOST_FAILURES = 30


@dataclass
class Ran:
    """The schedules of one process, and their CPU time in seconds."""

    results: list[Result] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    cpu: float = 0.0


@dataclass(frozen=True)
class Simulate:
    """Runs the schedule of a seed, with continuation as it was asked for."""

    continuation: bool | None

    def again(self, seed: int) -> str:
        """Return the arguments that repeat the schedule."""
        names = {value: name for name, value in CONTINUATION.items()}
        forced = "" if self.continuation is None else f" --continuation {names[self.continuation]}"
        return f" --seed {seed}{forced}"

    def __call__(self, seed: int) -> Result:
        return Simulation(seed, continuation=self.continuation).run()


def main() -> int:
    """Exit status 1: an invariant is violated, and the seed is printed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="run this schedule only")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--schedules", type=int, default=10**9)
    parser.add_argument("--processes", type=int, default=1, help="which share the seeds")
    parser.add_argument(
        "--continuation",
        choices=list(CONTINUATION),
        default="drawn",
        help="whether workers continue with the steps that they make ready; drawn: as it comes",
    )
    parser.add_argument("--out", help="write the figures there, as JSON")
    parser.add_argument("--keep-going", action="store_true", help="after a failure, too")
    chosen = parser.parse_args()
    simulate = Simulate(CONTINUATION[chosen.continuation])
    if chosen.seed is not None:
        print(simulate(chosen.seed))
        return 0
    began = time.monotonic()
    ran = run(chosen, simulate, began + chosen.seconds)
    figures = {
        "continuation": chosen.continuation,
        **summary(ran, time.monotonic() - began),
    }
    print(json.dumps(figures, indent=2))
    if chosen.out:
        with open(chosen.out, "w") as file:
            json.dump(figures, file)
    return 1 if figures["failed"] else 0


def run(chosen: argparse.Namespace, simulate: Simulate, until: float) -> list[Ran]:
    """What each process has run: of two, one has every other seed."""
    seeds = range(chosen.first, chosen.first + chosen.schedules)
    shares = [seeds[number :: chosen.processes] for number in range(chosen.processes)]
    if len(shares) == 1:
        return [run_some(simulate, seeds, until, chosen.keep_going)]
    with ProcessPoolExecutor(len(shares), get_context("fork")) as pool:
        begun = [
            pool.submit(run_some, simulate, share, until, chosen.keep_going) for share in shares
        ]
        return [one.result() for one in begun]


def run_some(simulate: Simulate, seeds: Iterable[int], until: float, keep_going: bool) -> Ran:
    """Schedules, one after the other, in this process."""
    _collect_seldom()
    ran, began = Ran(), time.process_time()
    for seed in seeds:
        if time.monotonic() >= until:
            break
        try:
            ran.results.append(simulate(seed))
        except Exception:  # noqa: BLE001  whatever it is, its seed is told
            ran.failed.append(seed)
            last = traceback.format_exc()[-1500:]
            print(f"seed {seed} fails; again with{simulate.again(seed)}:\n{last}", file=sys.stderr)
            if not keep_going or len(ran.failed) >= MOST_FAILURES:
                break
    ran.cpu = time.process_time() - began
    return ran


def _collect_seldom() -> None:
    """A schedule leaves little behind; modules, which leave nothing, are most of what is there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def summary(ran: list[Ran], seconds: float) -> dict[str, Any]:
    """Return the figures of a run."""
    results = [result for one in ran for result in one.results]
    cpu = sum(one.cpu for one in ran)
    pairs: Counter[Pair] = Counter(pair for result in results for pair in result.faults)
    reached = TABLE & pairs.keys()
    missing = sorted(TABLE - pairs.keys())
    return {
        "schedules": len(results),
        "seconds": round(seconds, 1),
        "processes": len(ran),
        "cpu_ms_a_schedule": round(1000 * cpu / len(results), 2) if results else 0,
        "failed": sorted(seed for one in ran for seed in one.failed)[:20],
        "instances": sum(result.instances for result in results),
        "actions_median": statistics.median(r.actions for r in results) if results else 0,
        "faults": sum(len(result.faults) for result in results),
        "faults_median": statistics.median(len(r.faults) for r in results) if results else 0,
        "pairs": len(TABLE),
        "pairs_reached": len(reached),
        "pairs_share": round(len(reached) / len(TABLE), 3),
        **continuing(results),
        "stale_refused": sum(result.refused for result in results),
        "pairs_missing": [f"{fault} / {state}" for fault, state in missing][:80],
    }


def continuing(results: list[Result]) -> dict[str, Any]:
    """How many of the attempts were continued with, and how many schedules had these as well
    as others that came by the broker."""
    begun = sum(result.begun for result in results)
    continued = sum(result.continued for result in results)
    return {
        "attempts": begun,
        "continued": continued,
        "continued_share": round(continued / begun, 3) if begun else 0,
        "schedules_with_both": sum(0 < result.continued < result.begun for result in results),
    }


if __name__ == "__main__":
    sys.exit(main())
