"""Schedules of the simulation: a few with every change, a minute of them in `make verify`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.schedule import Simulation

ROOT = Path(__file__).parents[2]

#: The long run ends after so many schedules or seconds, whichever comes first.
SECONDS = float(os.environ.get("SIMULATION_SECONDS", "60"))
SCHEDULES = 6_000
#: So many reach nearly every (fault, state): a slow machine, which makes fewer, is not asked.
ENOUGH = 4_000


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_schedules_end_as_they_must(first: int) -> None:
    results = [Simulation(seed).run() for seed in range(first, first + 50)]
    assert sum(len(result.faults) for result in results) > 100, "the faults did not strike"


@pytest.mark.parametrize("continuation", [True, False], ids=["on", "off"])
def test_continuation_or_none_the_same_must_come_of_it(continuation: bool) -> None:
    results = [Simulation(seed, continuation=continuation).run() for seed in range(400, 450)]
    assert any(result.continued for result in results) is continuation
    assert sum(len(result.faults) for result in results) > 100, "the faults did not strike"


def test_a_schedule_follows_from_its_seed() -> None:
    assert Simulation(4711).run() == Simulation(4711).run()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_minute_of_schedules(tmp_path: Path) -> None:
    figures = run(tmp_path, "--seconds", str(SECONDS), "--schedules", str(SCHEDULES))
    assert figures["schedules_with_both"] > figures["schedules"] / 3
    assert figures["actions_median"] >= 40
    assert figures["faults_median"] >= 3
    assert figures["stale_refused"] > 0, "no stale write was ever refused"
    if figures["schedules"] >= ENOUGH:
        assert figures["pairs_share"] >= 0.95


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("continuation", ["on", "off"])
def test_many_schedules_with_continuation_forced(continuation: str, tmp_path: Path) -> None:
    figures = run(
        tmp_path,
        *("--continuation", continuation, "--first", "1000000"),
        *("--seconds", str(SECONDS), "--schedules", "1500"),
    )
    assert (figures["continued"] > 0) is (continuation == "on")
    assert figures["actions_median"] >= 40
    assert figures["faults_median"] >= 3


def run(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """The figures of `python -m tests.simulation`, in which nothing was violated."""
    out = tmp_path / "figures.json"
    ran = subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments, "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    figures: dict[str, Any] = json.loads(out.read_text())
    print(json.dumps(figures, indent=2))
    return figures
