"""All findings of an examination: of the processes, then of each kind of inconsistency."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.database.operations.consistency_checks import Row
from orchestrator.doctor import process_checks
from orchestrator.doctor.examination import Examination, still_inconsistent
from orchestrator.doctor.finding import Finding
from orchestrator.doctor.inconsistencies import KINDS, Inconsistency
from orchestrator.terminal_text import fill_command


def report(examination: Examination, *, repair: bool = False) -> Iterator[Finding]:
    """Yield all findings; `repair` what can be repaired."""
    yield from process_checks.check_processes(examination)
    for kind in KINDS:
        yield from _findings(examination, kind, repair)


def _findings(examination: Examination, kind: Inconsistency, repair: bool) -> Iterator[Finding]:
    rows = kind.find(examination)
    remaining = _repair(examination, kind, rows) if repair and rows and kind.repair else rows
    keys = {(row.subject, row.step) for row in remaining}
    for row in rows:
        state = "repaired"
        if (row.subject, row.step) in keys:
            state = "unrepaired" if repair else "inconsistent"
        yield finding_of(kind, row, state)


def _repair(examination: Examination, kind: Inconsistency, rows: list[Row]) -> list[Row]:
    """Repair the rows; return those that are found again afterwards."""
    assert kind.repair is not None  # noqa: S101  the caller checks
    kind.repair(examination, rows)
    return still_inconsistent(examination, kind.find, rows)


def finding_of(kind: Inconsistency, row: Row, state: str) -> Finding:
    """Return the finding of one row, with its message and advice."""
    values = {"instance": row.instance, "subject": row.subject, "step": row.step, **row.about}
    advice = fill_command(kind.advice, values) if kind.advice else None
    repairable = kind.repair is not None and row.about.get("repairable", True)
    if state == "inconsistent" and repairable:
        advice = "; ".join(filter(None, (f"--repair: {kind.repair_text}", advice)))
    if state == "repaired":
        advice = kind.repair_text
    return Finding(kind.name, kind.message_for(row), advice, state, row.instance, row.step)
