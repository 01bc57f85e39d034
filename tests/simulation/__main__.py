"""Runs schedules for a time, or one again: see the package."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import traceback
from collections import Counter

from tests.simulation.faults import TABLE, Pair
from tests.simulation.schedule import Result, Simulation

#: So many failures say enough.
MOST_FAILURES = 30


def main() -> int:
    """Exit status 1: something was violated, and its seed is printed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="run this schedule only")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--schedules", type=int, default=10**9)
    parser.add_argument("--out", help="write the figures there, as JSON")
    parser.add_argument("--keep-going", action="store_true", help="after a failure, too")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        print(Simulation(chosen.seed).run())
        return 0
    return run(chosen)


def run(chosen: argparse.Namespace) -> int:
    """Schedules, one after the other."""
    until = time.monotonic() + chosen.seconds
    began = time.monotonic()
    results: list[Result] = []
    failed: list[int] = []
    seed = chosen.first
    while time.monotonic() < until and len(results) < chosen.schedules:
        try:
            results.append(Simulation(seed).run())
        except Exception:  # noqa: BLE001  whatever it is, its seed is told
            failed.append(seed)
            last = traceback.format_exc()[-1500:]
            print(f"seed {seed} fails:\n{last}\n", file=sys.stderr)
            if not chosen.keep_going or len(failed) >= MOST_FAILURES:
                break
        seed += 1
    figures = summary(results, failed, time.monotonic() - began)
    print(json.dumps(figures, indent=2))
    if chosen.out:
        with open(chosen.out, "w") as file:
            json.dump(figures, file)
    return 1 if failed else 0


def summary(results: list[Result], failed: list[int], seconds: float) -> dict[str, object]:
    """The figures of a run."""
    pairs: Counter[Pair] = Counter(pair for result in results for pair in result.faults)
    reached = TABLE & pairs.keys()
    missing = sorted(TABLE - pairs.keys())
    return {
        "schedules": len(results),
        "seconds": round(seconds, 1),
        "failed": failed[:20],
        "instances": sum(result.instances for result in results),
        "actions_median": statistics.median(r.actions for r in results) if results else 0,
        "faults": sum(len(result.faults) for result in results),
        "faults_median": statistics.median(len(r.faults) for r in results) if results else 0,
        "pairs": len(TABLE),
        "pairs_reached": len(reached),
        "pairs_share": round(len(reached) / len(TABLE), 3),
        "stale_refused": sum(result.refused for result in results),
        "pairs_missing": [f"{fault} / {state}" for fault, state in missing][:80],
    }


if __name__ == "__main__":
    sys.exit(main())
