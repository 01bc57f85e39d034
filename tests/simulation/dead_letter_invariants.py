"""Invariants of dead letters of steps that were given up, after everything has ended (I4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from orchestrator.core.model import AttemptState, Status, Step
from tests.simulation.rows import AttemptRow, Rows

STARTS = 3


def wrong(rows: Rows) -> Iterator[tuple[object, ...]]:
    """Return the violations of an instance, in words."""
    lost = Counter(one["step"] for one in rows.letters if one["reason"] == "lost")
    yield from (("several letters of the step", step) for step, count in lost.items() if count > 1)
    for one in rows.letters_closed:
        if one["step"] not in lost:
            yield "settled without a letter:", one
    last = {row.value.step: row for row in sorted(rows.attempts, key=lambda row: row.value.number)}
    for step in rows.steps.values():
        row = last.get(step.id)
        if step.id in lost:
            yield from _of_letter(rows, step, row)
        elif row is not None and _is_given_up(rows, step, row) and not _is_excepted(rows, step):
            yield "given up without a dead letter:", step


def _is_given_up(rows: Rows, step: Step, row: AttemptRow) -> bool:
    lost = row.value.state is AttemptState.LOST and not row.value.withdrawn
    # A loss that was recorded while the instance was suspended may be overtaken by a cancel or
    # another fault, although the step could have been started again.
    used_up = row.claimed_at is None or row.value.starts >= _limit(rows, step)
    return lost and used_up and step.status is Status.FAULTED


def _of_letter(rows: Rows, step: Step, row: AttemptRow | None) -> Iterator[tuple[object, ...]]:
    if row is None or not _is_given_up(rows, step, row):
        yield "a dead letter of a step that was not given up:", step, row and row.value
    elif row.claimed_at is not None and row.value.starts != _limit(rows, step):
        yield "given up after", row.value.starts, "starts:", step


def _limit(rows: Rows, step: Step) -> int:
    metadata = rows.workflow.task(step.reference).metadata
    return 1 if metadata.get("onLost") == "fault" else int(metadata.get("maxStarts", STARTS))


def _is_excepted(rows: Rows, step: Step) -> bool:
    """A compensation fails as a whole; a block that is tried again has not given up."""
    around = rows.chain(step.id).values()
    if any(one.compensates is not None for one in around):
        return True
    bodies = [rows.workflow.task(one.reference).body for one in around if one.kind == "try"]
    return any("retry" in (body.get("catch") or {}) for body in bodies)
