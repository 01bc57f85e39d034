"""What `make chaos` runs besides the rows, each in a process of its own."""

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
    #: Of a run of 55 minutes.
    seconds: float
    run: Callable[[float, int], Figures]
    #: The minutes of the shortest run that has it.
    least: float = 0


def _simulation(seconds: float, seed: int) -> Figures:
    # Nothing else runs meanwhile.
    processes = str(min(2, os.cpu_count() or 1))
    arguments = ("--seconds", str(round(seconds)), "--first", str(seed), "--processes", processes)
    found = _module("tests.simulation", *arguments)
    enough = found.get("schedules", 0) > 0 and found.get("stale_refused", 0) > 0
    return {**found, "passed": bool(enough and not found.get("failed", True))}


def _replay(seconds: float, seed: int) -> Figures:
    traces = ("--traces", "500", "--first", str(seed + 1_000_000), "--seconds", str(round(seconds)))
    found = _module("tests.simulation.postgres", *traces)
    same = found.get("traces", 0) > 0 and found.get("failed") == []
    return {**found, "passed": bool(same)}


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
    Part("simulation", 600, _simulation),
    Part("replay on Postgres", 180, _replay),
    Part("fuzzing", 60, _fuzzing),
    Part("mutants", 0, _mutants, least=30),
)
