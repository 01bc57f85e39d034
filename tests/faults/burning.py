"""One row of the matrix from the first process to the verdict."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.embedded import Postgres, Valkey
from tests.faults import rows
from tests.faults.ground import Ground, Striker
from tests.faults.rows import DEFAULTS, Row

#: After the last strike everything ends within this, in s.
SETTLE = 120.0
#: Between the first and the last strike something must have gone on.
LEAST_STRIKES = 3
#: A row takes no longer than this, in s, however slow the machine.
LONGEST = 600.0


@dataclass
class Outcome:
    """What came of a row. `problems` empty: it passed."""

    name: str
    seconds: float = 0.0
    workflows: int = 0
    strikes: int = 0
    lost: int = 0
    doubled: int = 0
    stale_refused: int = 0
    recovery: list[float] = field(default_factory=list)
    problems: dict[str, Any] = field(default_factory=dict)


def burn(
    row: Row, folder: Path, postgres: Postgres, valkey: Valkey, *, scale: float, seed: int
) -> Outcome:
    """Put the product under load and fire, let it settle, and look at what is left."""
    began = time.monotonic()
    outcome = Outcome(row.name)
    rows.KILLED.clear()
    postgres.start()
    valkey.start()
    rows.flush_all(valkey)
    options = {**DEFAULTS, **row.ground}
    with Ground(folder, postgres, valkey, **options) as ground:
        striker = Striker(
            lambda random: row.strike(ground, random),
            max(LEAST_STRIKES, round(row.strikes * scale)),
            row.pauses,
            seed,
        )
        moved = _load(ground, row, striker, scale, began)
        _heal(ground, postgres, valkey)
        ground.settle(SETTLE)
        _judge(outcome, ground, row, striker, moved)
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def _load(ground: Ground, row: Row, striker: Striker, scale: float, began: float) -> int:
    """Start workflows until there were enough of them and of strikes; how many instances ended
    between the first strike and the last."""
    bodies = [(ground.deploy(document), end) for document, end in row.load]
    wanted = max(40, round(row.workflows * scale))
    striker.start()
    first: int | None = None
    while not striker.done or len(ground.told) < wanted:
        if time.monotonic() - began > LONGEST or (striker.done and striker.error):
            break
        settled = ground.settled()
        if first is None and striker.struck:
            first = settled
        if len(ground.told) - settled < BACKLOG:
            for body, end in bodies:
                ground.start(body, end, 40 // len(bodies))
        else:
            time.sleep(0.1)  # the load is a stream, not a heap
    moved = ground.settled() - (first or 0)
    striker.stop()
    return moved


#: So many instances may be open before more are started.
BACKLOG = 200


def _heal(ground: Ground, postgres: Postgres, valkey: Valkey) -> None:
    if ground.proxy is not None:
        ground.proxy.mode, ground.proxy.drop = "pass", 0.0
    postgres.start()
    valkey.start()


def _judge(outcome: Outcome, ground: Ground, row: Row, striker: Striker, moved: int) -> None:
    outcome.workflows = len(ground.told)
    outcome.strikes = striker.struck
    outcome.lost = outcome.workflows - ground.settled()
    outcome.problems = ground.problems()
    outcome.doubled = sum(len(found) for name, found in outcome.problems.items() if "twice" in name)
    outcome.stale_refused = ground.logged("stale_result")
    outcome.recovery = _recovery(ground)
    problems = outcome.problems
    if outcome.lost:
        problems["not ended"] = outcome.lost
        problems["why"] = ground.stack.logs(5)[-3000:]
    if striker.error is not None:
        problems["the fault itself failed"] = repr(striker.error)
    if not striker.done:
        problems["the fault did not strike often enough"] = striker.struck
    if not moved:
        problems["nothing went on meanwhile"] = moved
    if row.stale and not outcome.stale_refused:
        problems["no stale result was refused"] = 0
    if row.recovery is not None:
        p99 = percentile(outcome.recovery, 99)
        if not outcome.recovery:
            problems["no step had to recover"] = 0
        elif p99 > row.recovery:
            problems["recovery p99"] = p99


def _recovery(ground: Ground) -> list[float]:
    """Seconds from the death of a process until a step that it ran was claimed again."""
    if not rows.KILLED:
        return []
    found = ground.sql(
        "select a.process, extract(epoch from b.claimed_at)::float8"
        " from orchestrator.attempts a join orchestrator.attempts b"
        " on b.instance_id = a.instance_id and b.step = a.step and b.number = a.number + 1"
        " where a.state = 'lost' and b.claimed_at is not null and a.process = any(%s)",
        list(rows.KILLED),
    )
    return [max(0.0, at - rows.KILLED[pid]) for pid, at in found]


def percentile(values: list[float], share: float) -> float:
    """By the nearest rank; 0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))], 2)
