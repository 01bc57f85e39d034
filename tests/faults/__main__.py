"""`make chaos`: the fault matrix on the real product, a long simulation, the mutants.

    python -m tests.faults                          everything, within 45 minutes
    python -m tests.faults --minutes 15             shorter: fewer strikes per row, and no soak
    python -m tests.faults --minutes 15 --full      with a short soak
    python -m tests.faults --rows child,FLUSH --parts rows --minutes 3

Exit status 1: a check failed. `--out FILE` writes the figures as JSON; `--docs FILE` writes their
table between the markers of a document.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from tests.faults import matrix, report
from tests.faults.rows import ROWS
from tests.faults.run_parts import PARTS, Figures, Part

SEED = 20260101
#: The minutes of a run that is not shortened; from so many on, a run has the soak.
WHOLE = SOAKED = 45


def main() -> int:
    """Run the selected parts, then print the table."""
    chosen = _arguments()
    until = time.monotonic() + 60 * chosen.minutes if chosen.minutes else None
    parts = [part for part in PARTS if part.name in chosen.parts]
    told = {part.name: _told(part, chosen) for part in parts}
    rows = [row for row in ROWS if "rows" in chosen.parts and _is_wanted(row.name, chosen.rows)]
    full = chosen.full or not chosen.minutes or chosen.minutes >= SOAKED
    ran = matrix.run(rows, full=full, until=until, seed=chosen.seed)
    everything = rows == list(ROWS) and len(parts) == len(PARTS)
    figures = report.figures(
        ran, told, ROWS, minutes=chosen.minutes, seed=chosen.seed, everything=everything
    )
    print("\n" + report.table(figures))
    if chosen.out:
        Path(chosen.out).write_text(json.dumps(figures, indent=2))
    if chosen.docs and everything:
        report.write(Path(chosen.docs), figures)
    return int(not figures["passed"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=WHOLE, help="for everything; 0: no bound")
    parser.add_argument("--full", action="store_true", help="the soak in a short run, too")
    parser.add_argument("--rows", default="", help="those whose name has one of these, by commas")
    parser.add_argument("--parts", default="", help="of: rows, " + ", ".join(p.name for p in PARTS))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", help="write the figures there")
    parser.add_argument("--docs", help="write the table there, of a run of everything")
    chosen = parser.parse_args()
    every = ["rows", *(part.name for part in PARTS)]
    chosen.parts = chosen.parts.split(",") if chosen.parts else every
    return chosen


def _is_wanted(name: str, asked: str) -> bool:
    return any(one.strip().lower() in name.lower() for one in asked.split(","))


def _told(part: Part, chosen: argparse.Namespace) -> Figures:
    """A part's figures; of a shorter run it takes a smaller share, for the rows' sake."""
    minutes = chosen.minutes or WHOLE
    if minutes < part.least:
        return {"passed": True, "not_run": f"it needs a run of {part.least:g} minutes"}
    return part.run(part.seconds * min(1.0, minutes / WHOLE) ** 1.5, chosen.seed)


if __name__ == "__main__":
    sys.exit(main())
