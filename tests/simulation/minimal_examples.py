"""Prints the fewest rules with which Hypothesis shows that a product is broken.

    python -m tests.simulation.minimal_examples --examples 500

prints, as JSON, the violation and the rules of the smallest schedule that violates it.
"""

from __future__ import annotations

import argparse
import json
import sys

from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation.test_state_machine import Machine, examples

#: What every schedule has.
_ALWAYS = ("begin(", "teardown(")


def main() -> int:
    """Exit status 1: an invariant is violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.minimal_examples")
    parser.add_argument("--examples", type=int, default=500)
    chosen = parser.parse_args()
    phases = (Phase.generate, Phase.shrink)
    try:
        run_state_machine_as_test(
            Machine,
            settings=settings(
                examples(chosen.examples), database=None, phases=phases, report_multiple_bugs=False
            ),
        )
    except Exception as violated:  # noqa: BLE001  whatever it is, it was found
        told = {"violated": str(violated)[:300], "rules": rules(violated)}
        print(json.dumps(told, indent=2))
        return 1
    print(json.dumps({"violated": None, "rules": []}))
    return 0


def rules(violated: Exception) -> list[str]:
    """The rules of the schedule that Hypothesis reports, but for its begin and its end."""
    lines = [line for note in violated.__notes__ for line in note.splitlines()]
    found = [line.removeprefix("state.") for line in lines if line.startswith("state.")]
    return [line for line in found if not line.startswith(_ALWAYS)]


if __name__ == "__main__":
    sys.exit(main())
