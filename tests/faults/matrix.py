"""The rows, one after the other, each in its share of the time that is left."""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from orchestrator.embedded import Postgres, Valkey
from tests.faults.burning import LONGEST, Outcome, Servers, burn
from tests.faults.rows import Row

#: A row needs this for its processes, a few strikes and its settling, in s: with less left, it
#: is not begun, and the table says so.
LEAST = 15.0


def run(
    rows: Sequence[Row], *, full: bool, until: float | None, seed: int, longest: float = LONGEST
) -> list[Outcome]:
    """What came of each row; those that did not run say why."""
    outcomes = []
    with _servers() as servers:
        for number, row in enumerate(rows):
            why = _why_not(row, full)
            seconds = _share(rows[number:], full, until, longest)
            if why is None and seconds < LEAST:
                why = "no time was left"
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
    if row.full and not full:
        return "only with FULL=1"
    return row.absent()


def _share(left: Sequence[Row], full: bool, until: float | None, longest: float) -> float:
    """The seconds of the first of those that are left: by its weight, of the time that is."""
    if until is None:
        return longest
    weights = [row.weight for row in left if _why_not(row, full) is None]
    return min(longest, max(0.0, until - time.monotonic()) * left[0].weight / (sum(weights) or 1))


@contextmanager
def _servers() -> Iterator[Servers]:
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with Postgres(folder / "pg", fsync=False) as postgres, Valkey(folder / "valkey") as valkey:
            yield Servers(folder, postgres, valkey)
