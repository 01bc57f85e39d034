"""Runs the rows one after the other, each in its share of the remaining time."""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from orchestrator.embedded import Postgres, Valkey
from tests.faults.fault_run import LONGEST, NO_TIME, Outcome, Servers, burn
from tests.faults.rows import Row

#: A row needs this for its processes, a few strikes and its settling, in s: with less left, it
#: is not begun, and the table says so.
LEAST = 15.0


def run(
    rows: Sequence[Row], *, full: bool, until: float | None, seed: int, longest: float = LONGEST
) -> list[Outcome]:
    """Return the result of each row; rows that did not run have the reason."""
    outcomes = []
    half = longest if until is None else max(0.0, until - time.monotonic()) / 2
    with _servers() as servers:
        for number, row in enumerate(rows):
            why = _why_not(row, full)
            seconds = _share(rows[number:], full, until, min(longest, half))
            if why is None and seconds < LEAST:
                why = NO_TIME
            outcome = Outcome(row.name, row.strikes, not_run=why)
            if why is None:
                _burn(outcome, row, servers, seconds, seed + number)
            print(outcome.line(), flush=True)
            outcomes.append(outcome)
    return outcomes


def _burn(outcome: Outcome, row: Row, servers: Servers, seconds: float, seed: int) -> None:
    try:
        with ExitStack() as stack:
            burn(outcome, row, servers.for_row(row, stack), seconds=seconds, seed=seed)
    except Exception:  # noqa: BLE001  the other rows are tried all the same
        outcome.problems["failed"] = traceback.format_exc()[-3000:]


def _why_not(row: Row, full: bool) -> str | None:
    if row.whole is not None and not full:
        return "only in a whole run, or with FULL=1"
    return row.absent()


def _share(left: Sequence[Row], full: bool, until: float | None, longest: float) -> float:
    """The seconds of the first of those that are left: its own, or by its weight, of the time
    that is. No row takes more than half of a run."""
    if until is None:
        return longest
    run = [row for row in left if _why_not(row, full) is None]
    if left[0].whole is not None:
        return min(longest, left[0].whole)
    kept = sum(min(longest, row.whole) for row in run if row.whole is not None)
    weights = sum(row.weight for row in run if row.whole is None)
    time_left = max(0.0, until - time.monotonic() - kept)
    return min(longest, time_left * left[0].weight / (weights or 1))


@contextmanager
def _servers() -> Iterator[Servers]:
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with Postgres(folder / "pg", fsync=False) as postgres, Valkey(folder / "valkey") as valkey:
            yield Servers(folder, postgres, valkey)
