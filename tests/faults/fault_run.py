"""Runs one row of the matrix, from the first process to the verdict."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from orchestrator.embedded import Postgres, Valkey
from tests.faults import recovery_times
from tests.faults.fault_injector import Striker
from tests.faults.fault_stack import Ground
from tests.faults.rows import DEFAULTS, Row
from tests.support.rabbitmq import RabbitMQ

#: After the last strike everything ends within this, in s.
SETTLE = 180.0
#: Fewer strikes, or workflows, prove nothing.
LEAST_STRIKES = 3
LEAST_WORKFLOWS = 40
#: A row takes no longer than this, in s, however slow the machine.
LONGEST = 600.0
#: What starting, settling and looking take of a row's time, about, in s.
AROUND = 10.0
#: Why a row was not begun; a whole run has time for each.
NO_TIME = "no time was left"
#: A strike waits for something to end since the last one, so long at most, in s.
PACE = 20.0
#: With less time than this for a row, in s, its faults strike in quicker succession.
LEISURE = 60.0


@dataclass
class Outcome:
    """The result of a row. With empty `problems` it passed."""

    name: str
    #: How many strikes a full run of the row has.
    wanted: int = 0
    #: Why it did not run.
    not_run: str | None = None
    seconds: float = 0.0
    workflows: int = 0
    strikes: int = 0
    meanwhile: int = 0
    lost: int = 0
    doubled: int = 0
    stale_refused: int = 0
    #: Attempts that their worker went on with.
    continued: int = 0
    recovery: list[float] = field(default_factory=list)
    #: What else the row has measured.
    measured: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The result as one word."""
        return "not run" if self.not_run else "FAILED" if self.problems else "ok"

    def line(self) -> str:
        """The result as a line of a log."""
        if self.not_run:
            return f"not run {self.name}: {self.not_run}"
        told = [f"{self.verdict:7} {self.name}: {self.strikes} strikes, {self.workflows} workflows"]
        told[0] += f" ({self.meanwhile} meanwhile), {self.seconds} s {self.measured or ''}"
        return "\n".join([*told, *(f"    {name}: {why}" for name, why in self.problems.items())])


@dataclass(frozen=True)
class Servers:
    """The servers of the rows, and a folder for the rows' own servers."""

    folder: Path
    postgres: Postgres
    broker: Valkey | RabbitMQ

    def for_row(self, row: Row, stack: ExitStack) -> Servers:
        """Return a folder for the row, and the servers that it needs."""
        place = self.folder / f"row{next(_numbers)}"
        place.mkdir()
        place.chmod(0o755)
        chosen = replace(self, folder=place)
        if row.postgres is not None:
            chosen = replace(chosen, postgres=stack.enter_context(row.postgres(place)))
        if row.rabbitmq:
            chosen = replace(chosen, broker=stack.enter_context(RabbitMQ(place / "rabbitmq")))
        chosen.postgres.start()
        chosen.broker.start()
        return chosen


_numbers = itertools.count()


def burn(outcome: Outcome, row: Row, servers: Servers, *, seconds: float, seed: int) -> None:
    """Run the product under load and faults, wait until all instances are final, and check the
    result."""
    began = time.monotonic()
    options = {**DEFAULTS, **row.ground}
    with Ground(servers.folder, servers.postgres, servers.broker, **options) as ground:
        row.prepare(ground)
        haste = min(1.0, max(0.3, seconds / LEISURE))
        pauses = (row.pauses[0] * haste, row.pauses[1] * haste)
        striker = Striker(_paced(ground, row), row.strikes, pauses, seed)
        fire = max(seconds - AROUND, seconds / 2)
        patience = 2 * seconds + SETTLE if row.enough is None else LONGEST
        at_last = began + min(LONGEST, patience)
        outcome.meanwhile = _load(ground, row, striker, began + fire, at_last)
        _heal(ground, servers)
        ground.settle(SETTLE)
        _judge(outcome, ground, row, striker)
    outcome.seconds = round(time.monotonic() - began, 1)


def _paced(ground: Ground, row: Row) -> Callable[[Random], int | None]:
    """The strike; on a machine so busy that nothing has ended since the last one, a while later:
    else nothing but faults would happen."""
    ended = 0

    def strike(random: Random) -> int | None:
        nonlocal ended
        if row.paced:
            ended = ground.wait_for_progress(ended, PACE)
        return row.strike(ground, random)

    return strike


def _load(ground: Ground, row: Row, striker: Striker, until: float, at_last: float) -> int:
    """Start workflows until there were enough of them and of strikes, or time is up, there were
    a few, and something ended meanwhile; how many instances ended between the first strike and
    the last."""
    bodies = [(ground.deploy(document), end) for document, end in row.load]
    striker.start()
    first: int | None = None
    moved = 0
    while not _is_enough(ground, row, striker, until, moved):
        if time.monotonic() > at_last or striker.error:
            break
        settled = ground.settled()
        if first is None and striker.struck:
            first = settled
        moved = 0 if first is None else settled - first
        if bodies and len(ground.told) - settled < row.backlog:
            for body, end in bodies:
                count = max(1, min(40, row.backlog // 2) // len(bodies))
                ground.start(body, end, count, batch=row.batch)
        else:
            time.sleep(0.1)  # the load is a stream, not a heap
    moved = ground.settled() - (first or 0)
    striker.stop()
    return moved


def _is_enough(ground: Ground, row: Row, striker: Striker, until: float, meanwhile: int) -> bool:
    workflows = len(ground.told)
    whole = striker.done and workflows >= row.workflows
    least = min(LEAST_WORKFLOWS, row.workflows)
    few = striker.struck >= min(LEAST_STRIKES, row.strikes) and workflows >= least
    over = whole or (few and meanwhile > 0 and time.monotonic() > until)
    return over and (row.enough is None or row.enough(ground))


def _heal(ground: Ground, servers: Servers) -> None:
    for proxy in (ground.proxy, ground.broker_proxy):
        if proxy is not None:
            proxy.mode, proxy.drop = "pass", 0.0
    servers.postgres.start()
    servers.broker.start()


def _judge(outcome: Outcome, ground: Ground, row: Row, striker: Striker) -> None:
    outcome.workflows = len(ground.told)
    outcome.strikes = striker.struck
    outcome.lost = ground.missing()
    problems = outcome.problems = ground.problems()
    outcome.doubled = sum(len(found) for name, found in problems.items() if "twice" in name)
    outcome.stale_refused = ground.logged("stale_result")
    outcome.continued = ground.continued()
    recovered = recovery_times.of_killed(ground)
    outcome.recovery = recovered.once
    outcome.measured |= recovery_times.measured(recovered)
    if outcome.lost:
        problems["not ended"] = outcome.lost
        problems["why"] = ground.stack.logs(5)[-3000:]
    if striker.error is not None:
        problems["the fault itself failed"] = repr(striker.error)
    if outcome.strikes < min(LEAST_STRIKES, row.strikes):
        problems["the fault did not strike often enough"] = outcome.strikes
    if outcome.meanwhile <= 0:
        problems["nothing went on meanwhile"] = outcome.meanwhile
    if outcome.continued and not row.continues:
        problems["continued where no worker may"] = outcome.continued
    if row.stale and not outcome.stale_refused:
        problems["no stale result was refused"] = 0
    if row.recovery is not None:
        lease = float(ground.stack.settings["lease"])
        problems.update(recovery_times.problems(recovered, row.recovery, lease))
    problems.update(row.judge(ground, outcome))
