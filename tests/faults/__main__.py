"""`make chaos`: the fault matrix on the real product, a long simulation, the mutants.

python -m tests.faults                      what fits into 55 minutes
python -m tests.faults --full               every row with its full figures
python -m tests.faults --rows child,FLUSH --scale 0.05 --simulation 0 --no-mutants
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from orchestrator.embedded import Postgres, Valkey
from tests.faults import mutants
from tests.faults.burning import Outcome, burn, percentile
from tests.faults.rows import ROWS

ROOT = Path(__file__).parents[2]

#: What part of the figures fits into the time of a run that is not full.
SCALE = 0.2
SEED = 20260101


def main() -> int:
    """Exit status 1: something does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--rows", help="only those whose name contains one of these, by commas")
    parser.add_argument("--full", action="store_true", help="all figures")
    parser.add_argument("--scale", type=float, default=SCALE)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--simulation", type=float, default=600, help="seconds of it")
    parser.add_argument("--no-mutants", action="store_true")
    parser.add_argument("--out", default=os.environ.get("OUT"), help="write the figures there")
    chosen = parser.parse_args()
    scale = 1.0 if chosen.full else chosen.scale
    outcomes = _matrix(chosen, scale)
    simulated = _simulate(chosen.simulation, chosen.seed) if chosen.simulation else {}
    killed = [] if chosen.no_mutants else mutants.run(list(mutants.MUTANTS))
    figures = _figures(outcomes, simulated, killed, scale)
    print("\n" + _table(outcomes))
    print(json.dumps({name: one for name, one in figures.items() if name != "rows"}, indent=2))
    if chosen.out:
        Path(chosen.out).write_text(json.dumps(figures, indent=2))
    alive = any(not one["killed"] for one in killed)
    return int(any(one.problems for one in outcomes) or bool(simulated.get("failed")) or alive)


def _matrix(chosen: argparse.Namespace, scale: float) -> list[Outcome]:
    wanted = chosen.rows.split(",") if chosen.rows else [""]
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with Postgres(folder / "pg", fsync=False) as postgres, Valkey(folder / "valkey") as valkey:
            for number, row in enumerate(ROWS):
                if not any(one in row.name for one in wanted):
                    continue
                place = folder / f"row{number}"
                place.mkdir()
                try:
                    outcome = burn(
                        row, place, postgres, valkey, scale=scale, seed=chosen.seed + number
                    )
                except Exception:  # noqa: BLE001  the other rows are tried all the same
                    outcome = Outcome(row.name, problems={"failed": traceback.format_exc()[-2000:]})
                outcomes.append(outcome)
                print(_line(outcome), flush=True)
                for problem, told in outcome.problems.items():
                    print(f"    {problem}: {told}", flush=True)
    return outcomes


def _simulate(seconds: float, seed: int) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        subprocess.run(
            [
                *(sys.executable, "-m", "tests.simulation", "--seconds", str(seconds)),
                *("--first", str(seed), "--out", out.name),
            ],
            cwd=ROOT,
            check=False,
        )
        figures: dict[str, Any] = json.loads(Path(out.name).read_text())
        return figures


def _figures(
    outcomes: list[Outcome],
    simulated: dict[str, Any],
    killed: list[dict[str, object]],
    scale: float,
) -> dict[str, Any]:
    recovery = [seconds for one in outcomes for seconds in one.recovery]
    return {
        "scale": scale,
        "workflows": sum(one.workflows for one in outcomes),
        "faults": sum(one.strikes for one in outcomes),
        "lost": sum(one.lost for one in outcomes),
        "doubled": sum(one.doubled for one in outcomes),
        "stale_refused": sum(one.stale_refused for one in outcomes),
        "recovery_p99_s": percentile(recovery, 99),
        "mutants": len(killed),
        "mutants_killed": sum(bool(one["killed"]) for one in killed),
        "schedules": simulated.get("schedules", 0),
        "simulated_faults": simulated.get("faults", 0),
        "simulated_pairs_share": simulated.get("pairs_share", 0),
        "rows_run": [one.name for one in outcomes],
        "rows_not_run": [row.name for row in ROWS if row.name not in {o.name for o in outcomes}],
        "rows": [
            {
                "fault": one.name,
                "passed": not one.problems,
                "workflows": one.workflows,
                "strikes": one.strikes,
                "lost": one.lost,
                "doubled": one.doubled,
                "stale_refused": one.stale_refused,
                "recovery_p99_s": percentile(one.recovery, 99),
                "seconds": one.seconds,
                "problems": {name: str(told)[:500] for name, told in one.problems.items()},
            }
            for one in outcomes
        ],
        "killed": killed,
    }


def _table(outcomes: list[Outcome]) -> str:
    head = f"{'':7}{'fault':50}{'workflows':>10}{'strikes':>8}{'lost':>6}{'doubled':>8}"
    return "\n".join([f"{head}{'stale':>7}{'p99':>7}{'s':>7}", *(_line(one) for one in outcomes)])


def _line(one: Outcome) -> str:
    verdict = "FAILED" if one.problems else "ok"
    return (
        f"{verdict:7}{one.name:50}{one.workflows:10}{one.strikes:8}{one.lost:6}{one.doubled:8}"
        f"{one.stale_refused:7}{percentile(one.recovery, 99):7}{one.seconds:7}"
    )


if __name__ == "__main__":
    sys.exit(main())
