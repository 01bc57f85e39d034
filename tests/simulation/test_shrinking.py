"""What Hypothesis finds in a product without one of its guards is short enough to be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import mutants

#: A guard that is missing, and the invariants that may tell of it.
BROKEN = {
    "the fence on completion": ("I3",),
    "the cancel guard": ("I14",),
    "the watchdog": ("I5",),
    "the database's clock": ("I9",),
}
#: Of the up to 25 rules that a schedule has. These come to at most six.
SHORT = 10
#: Schedules that are tried: 500 no longer met the case of the cancel guard.
EXAMPLES = "3000"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BROKEN)
def test_a_missing_guard_is_found_and_shown_in_a_few_rules(name: str, tmp_path: Path) -> None:
    tree = mutants.copy(tmp_path)
    mutants.change(tree, next(one for one in mutants.MUTANTS if one.name == name))
    ran = subprocess.run(
        [sys.executable, "-m", "tests.simulation.minimal_examples", "--examples", EXAMPLES],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1, f"nothing was found: {ran.stdout}{ran.stderr}"
    found = json.loads(ran.stdout)
    print(json.dumps(found, indent=2))
    assert found["violated"].startswith(BROKEN[name])
    assert len(found["rules"]) <= SHORT
