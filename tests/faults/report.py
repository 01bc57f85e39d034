"""Writes the figures of a run: as JSON, as a table, and between the markers of a document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

from orchestrator import clock
from tests.faults.fault_run import NO_TIME, Outcome
from tests.faults.recovery_times import percentile
from tests.faults.rows import Row

BEGIN, END = "<!-- figures: made by `make chaos` -->", "<!-- end of the figures -->"

#: Why a row is not in the table of a run of a few.
NOT_ASKED = "not asked for"

Figures = dict[str, Any]

#: A run of everything is no shorter than this, in minutes, and comes to so much.
WHOLE = 30
WORKFLOWS, FAULTS = 10_000, 1_000
#: Seconds until what a killed process ran runs again, with a lease of 10 s.
RECOVERY = 12.0


def figures(
    outcomes: Sequence[Outcome],
    parts: Mapping[str, Mapping[str, Any]],
    rows: Sequence[Row],
    *,
    minutes: float,
    seed: int,
    everything: bool = False,
) -> Figures:
    """All that a run has measured. `everything`: no row and no part was left out, so that it has
    to come to the figures of a whole run, unless it was a short one; 0 minutes are unbounded."""
    measured = _figures(outcomes, parts, rows, minutes=minutes, seed=seed)
    whole = everything and (minutes == 0 or minutes >= WHOLE)
    falls_short = falls_short_of(measured) if whole else []
    passed = measured["passed"] and not falls_short
    return {**measured, "passed": passed, "falls_short": falls_short}


def falls_short_of(all_of_them: Figures) -> list[str]:
    """Return the figures that a full run must reach and this run does not."""
    told = []
    for name, least in (("workflows", WORKFLOWS), ("faults", FAULTS)):
        if all_of_them[name] < least:
            told.append(f"{all_of_them[name]} {name} of {least}")
    told += [f"{all_of_them[name]} {name}" for name in ("lost", "doubled") if all_of_them[name]]
    late = [name for name, why in all_of_them["rows_not_run"].items() if why == NO_TIME]
    if late:
        told.append("no time was left for " + ", ".join(late))
    if not all_of_them["continued"]:
        told.append("no worker went on with a step")
    if not all_of_them["recoveries"]:
        told.append("no step had to recover")
    if all_of_them["recovery_p99_s"] > RECOVERY:
        told.append(f"recovery p99 {all_of_them['recovery_p99_s']} s of {RECOVERY:g}")
    return told


def _figures(
    outcomes: Sequence[Outcome],
    parts: Mapping[str, Mapping[str, Any]],
    rows: Sequence[Row],
    *,
    minutes: float,
    seed: int,
) -> Figures:
    ran = [one for one in outcomes if not one.not_run]
    simulated, mutants = parts.get("simulation", {}), parts.get("mutants", {})
    # Where other faults strike too, what was killed waits for them as well.
    timed = {row.name for row in rows if row.recovery is not None}
    recovered = [s for one in ran if one.name in timed for s in one.recovery]
    return {
        "passed": not any(one.problems for one in ran)
        and all(part["passed"] for part in parts.values()),
        "made_at": clock.now().astimezone(UTC).strftime("%Y-%m-%d %H:%M"),
        "minutes": minutes,
        "seed": seed,
        "workflows": sum(one.workflows for one in ran),
        "faults": sum(one.strikes for one in ran),
        "lost": sum(one.lost for one in ran),
        "doubled": sum(one.doubled for one in ran),
        "stale_refused": sum(one.stale_refused for one in ran),
        "continued": sum(one.continued for one in ran),
        "recovery_p99_s": percentile(recovered, 99),
        "recoveries": len(recovered),
        "mutants": mutants.get("mutants", 0),
        "mutants_killed": mutants.get("killed", 0),
        "schedules": simulated.get("schedules", 0),
        "simulated_faults": simulated.get("faults", 0),
        "simulated_pairs_share": simulated.get("pairs_share", 0),
        "parts": {name: dict(part) for name, part in parts.items()},
        "rows_passed": [one.name for one in ran if not one.problems],
        "rows_failed": [one.name for one in ran if one.problems],
        "rows_not_run": _not_run(outcomes, rows),
        "rows": [_row(one) for one in ran],
    }


def _not_run(outcomes: Sequence[Outcome], rows: Sequence[Row]) -> dict[str, str]:
    asked = {one.name: one.not_run for one in outcomes}
    left = {row.name: asked.get(row.name, NOT_ASKED) for row in rows}
    return {name: why for name, why in left.items() if why}


def _row(one: Outcome) -> Figures:
    return {
        "fault": one.name,
        "passed": not one.problems,
        "workflows": one.workflows,
        "meanwhile": one.meanwhile,
        "strikes": one.strikes,
        "strikes_of_a_full_run": one.wanted,
        "lost": one.lost,
        "doubled": one.doubled,
        "stale_refused": one.stale_refused,
        "continued": one.continued,
        "recovery_p99_s": percentile(one.recovery, 99),
        "seconds": one.seconds,
        "measured": one.measured,
        "problems": {name: str(told)[:500] for name, told in one.problems.items()},
    }


HEAD = ("fault", "", "workflows", "strikes", "of", "lost", "doubled", "stale", "p99 s", "s", "")


def table(all_of_them: Figures) -> str:
    """For a terminal: a line a row, then the sums."""
    lines = [HEAD, *_cells(all_of_them)]
    widths = [max(len(str(line[n])) for line in lines) for n in range(len(HEAD) - 1)]
    told = []
    for line in lines:
        cells = [str(cell) for cell in line]
        left = [cells[0].ljust(widths[0]), cells[1].ljust(widths[1])]
        right = [cell.rjust(width) for cell, width in zip(cells[2:-1], widths[2:], strict=True)]
        told.append("  ".join([*left, *right, cells[-1]]).rstrip())
    return "\n".join([*told, "", *(f"{name}: {value}" for name, value in sums(all_of_them))])


def _cells(all_of_them: Figures) -> list[tuple[Any, ...]]:
    ran = [
        (
            one["fault"],
            "ok" if one["passed"] else "FAILED",
            *(one[name] for name in ("workflows", "strikes", "strikes_of_a_full_run")),
            *(one[name] for name in ("lost", "doubled", "stale_refused", "recovery_p99_s")),
            one["seconds"],
            ", ".join(f"{name} {value}" for name, value in one["measured"].items()),
        )
        for one in all_of_them["rows"]
    ]
    left = [(name, why) for name, why in all_of_them["rows_not_run"].items() if why != NOT_ASKED]
    return [*ran, *((name, "not run", *[""] * 8, why) for name, why in left)]


def sums(all_of_them: Figures) -> list[tuple[str, Any]]:
    """Return the run's totals, by their names in the document."""
    parts = all_of_them["parts"]
    told = [
        ("workflows", all_of_them["workflows"]),
        ("faults", all_of_them["faults"]),
        ("lost", all_of_them["lost"]),
        ("doubled", all_of_them["doubled"]),
        ("stale results refused", all_of_them["stale_refused"]),
        ("steps continued with", all_of_them["continued"]),
        ("recovery p99", f"{all_of_them['recovery_p99_s']} s of {all_of_them['recoveries']}"),
    ]
    if all_of_them["mutants"]:
        told.append(
            ("mutants killed", f"{all_of_them['mutants_killed']} of {all_of_them['mutants']}")
        )
    told += [(name, _in_words(part)) for name, part in parts.items() if "killed" not in part]
    if all_of_them["falls_short"]:
        told.append(("falls short", "; ".join(all_of_them["falls_short"])))
    return [*told, ("passed", all_of_them["passed"])]


def _in_words(part: Mapping[str, Any]) -> str:
    if "not_run" in part:
        return f"not run: {part['not_run']}"
    plain = {n: v for n, v in part.items() if isinstance(v, int | float) and n != "exit"}
    told = [f"{name} {value}" for name, value in plain.items()]
    return ", ".join([*told, *part.get("problems", ())])


def write(document: Path, all_of_them: Figures) -> None:
    """Write the figures between the markers of a document."""
    bound = f" within {all_of_them['minutes']:g} minutes" if all_of_them["minutes"] else ""
    made = f"Made {all_of_them['made_at']} UTC{bound}, seed {all_of_them['seed']}."
    lines = [
        BEGIN,
        made,
        "",
        "| fault | | workflows | strikes | of a full run | lost | doubled | stale refused"
        " | recovery p99, s | s | measured |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
        *("| " + " | ".join(str(cell) for cell in line) + " |" for line in _cells(all_of_them)),
        "",
        "| in all | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in sums(all_of_them)),
        END,
    ]
    text = document.read_text()
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    assert re.search(pattern, text, re.DOTALL), f"{document} has no markers"
    document.write_text(re.sub(pattern, lambda _: "\n".join(lines), text, flags=re.DOTALL))
