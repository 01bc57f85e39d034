"""The parts of `make chaos` besides the rows, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import mutants

ROOT = Path(__file__).parents[2]

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """`run(seconds, seed)` gives its figures: ``passed`` among them, and what failed."""

    name: str
    #: Of a run of 45 minutes.
    seconds: float
    run: Callable[[float, int], Figures]
    #: The minutes of the shortest run that has it.
    least: float = 0


#: A schedule has so many actions and faults, in the median.
ACTIONS, FAULTS = 40, 3
#: Of what the table of faults has, so much is reached by so many schedules.
PAIRS, SCHEDULES = 0.95, 4_000
#: Traces of a run that is not shortened, and the seconds of one.
TRACES, REPLAYING = 500, 180


#: Seeds of one part are not those of another.
APART = 1_000_000


def _simulation(seconds: float, seed: int, continuation: str = "drawn") -> Figures:
    # Nothing else runs meanwhile.
    processes = str(min(2, os.cpu_count() or 1))
    arguments = ("--seconds", str(round(seconds)), "--first", str(seed), "--processes", processes)
    found = _module("tests.simulation", *arguments, "--continuation", continuation)
    return judge_simulation(found, continuation)


def _continuing(seconds: float, seed: int) -> Figures:
    return _simulation(seconds, seed + 2 * APART, "on")


def _not_continuing(seconds: float, seed: int) -> Figures:
    return _simulation(seconds, seed + 3 * APART, "off")


def judge_simulation(found: Figures, continuation: str = "drawn") -> Figures:
    """Its figures, judged: nothing was violated, and enough was tried to say so. Where workers
    always or never continue, some of the table can't be reached."""
    schedules, share = found.get("schedules", 0), found.get("pairs_share", 0)
    problems = []
    if found.get("failed") != []:
        problems.append(f"schedules failed: {found.get('failed', 'it did not end')}")
    if not schedules:
        problems.append("no schedule ran")
    if not found.get("stale_refused", 0):
        problems.append("no stale result was refused")
    for name, least in (("actions_median", ACTIONS), ("faults_median", FAULTS)):
        if found.get(name, 0) < least:
            problems.append(f"{name} {found.get(name, 0)} of {least}")
    if bool(found.get("continued")) is (continuation == "off"):
        problems.append(f"continued {found.get('continued')}, with continuation {continuation}")
    if continuation == "drawn" and schedules >= SCHEDULES and share < PAIRS:
        problems.append(f"pairs_share {share} of {PAIRS}")
    return _judged(found, problems)


def _judged(found: Figures, problems: list[str]) -> Figures:
    for problem in problems:
        print(problem, flush=True)
    return {**found, "problems": problems, "passed": not problems}


def _replay(seconds: float, seed: int) -> Figures:
    traces = ("--traces", str(TRACES), "--first", str(seed + APART))
    found = _module("tests.simulation.postgres", *traces, "--seconds", str(round(seconds)))
    return judge_replay(found, whole=seconds >= REPLAYING)


def judge_replay(found: Figures, *, whole: bool) -> Figures:
    """Its figures, judged: the same histories, of all traces where the run is not shortened."""
    traces, least = found.get("traces", 0), TRACES if whole else 1
    problems = []
    if found.get("failed") != []:
        problems.append(f"traces differ: {found.get('failed', 'it did not end')}")
    if traces < least:
        problems.append(f"traces {traces} of {least}")
    return _judged({**found, "traces": traces, "traces_wanted": TRACES}, problems)


def _fuzzing(seconds: float, seed: int) -> Figures:
    found = _module("tests.faults.fuzz", "--seconds", str(round(seconds)), "--first", str(seed))
    return {**found, "passed": bool(found.get("inputs", 0) > 0 and found.get("failed") == {})}


def _mutants(_: float, __: int) -> Figures:
    results = mutants.run(list(mutants.MUTANTS))
    alive = [one["mutant"] for one in results if not one["killed"]]
    return {"mutants": len(results), "killed": len(results) - len(alive), "passed": not alive}


def _module(name: str, *arguments: str) -> dict[str, Any]:
    """Run a module of the tests that writes its figures with ``--out``."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        command = [sys.executable, "-m", name, *arguments, "--out", str(out)]
        print(f"python -m {name} {' '.join(arguments)}", flush=True)
        ran = subprocess.run(command, cwd=ROOT, check=False)
        found: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
        return {**found, "exit": ran.returncode}


PARTS = (
    Part("simulation", 480, _simulation),
    Part("simulation, continuation on", 60, _continuing),
    Part("simulation, continuation off", 60, _not_continuing),
    Part("replay on Postgres", REPLAYING, _replay),
    Part("fuzzing", 60, _fuzzing),
    Part("mutants", 0, _mutants, least=30),
)
