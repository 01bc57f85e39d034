"""`crash_everywhere`: runs a workflow once for every place where the death of a worker shows.

Theory of operation. A first run without a death shows which attempts there are, and how many
effects each has. Then every attempt dies before its body, after each of its effects, and before its
commit: once, and at every start until `maxStarts` is used up. Runs in which a step faults that way
have attempts that the first run had not: compensations, and what `catch.do` holds. Each of them
dies in the same ways, in that same run. Every run begins anew, with an empty ledger, and is the
same for the same deaths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from orchestrator.core.model import OPEN_STATUSES
from orchestrator.testing.crash_judge import Judge, Usual
from orchestrator.testing.crash_points import (
    BEFORE_BODY,
    BEFORE_COMMIT,
    Crashes,
    CrashPoint,
    Site,
    Started,
)
from orchestrator.testing.crash_report import CrashReport, Finding
from orchestrator.testing.engine import Engine
from orchestrator.testing.in_process_worker import Worker

Deaths = tuple[CrashPoint, ...]

#: Runs after which no further deaths are tried.
MOST_RUNS = 20_000


@dataclass(frozen=True)
class Played:
    """A run that was played to its end: its engine, its worker, its instance."""

    engine: Engine
    worker: Worker
    id: str


Play = Callable[[Crashes], Played]
"""Plays the workflow from its start, in a store of its own, with these deaths."""


def crash_everywhere(play: Play, workflow: str, *, fork: bool = False) -> CrashReport:
    """Play a workflow with every death, and return what was found."""
    explorer = _Explorer(play, CrashReport(workflow), fork)
    explorer.explore()
    return explorer.report


@dataclass
class _Explorer:
    play: Play
    report: CrashReport
    fork: bool
    usual: Usual = field(default_factory=Usual)
    _twice: dict[tuple[str, str], Finding] = field(default_factory=dict)
    _left: dict[tuple[str, str], Finding] = field(default_factory=dict)
    _told: dict[tuple[str, str], Finding] = field(default_factory=dict)

    def explore(self) -> None:
        """Try every death."""
        first = self._run(())
        known = {one.site for one in first}
        for point in _points(first):
            started = self._run((point,))
            if not point.always:
                continue
            new = [one for one in started if one.site not in known]
            for second in _points(new):
                self._run((point, second))
        self.report.twice = list(self._twice.values())
        self.report.left = list(self._left.values())
        self.report.told = list(self._told.values())

    def _run(self, deaths: Deaths) -> list[Started]:
        if self.report.runs >= MOST_RUNS:
            return []
        crashes = Crashes(deaths, self.fork)
        played = self.play(crashes)
        self.report.runs += 1
        self.report.deaths += crashes.died
        self._judge(played, crashes)
        return crashes.started

    def _judge(self, played: Played, crashes: Crashes) -> None:
        sites: dict[tuple[str, int], Site] = crashes.sites
        ledger, rows = played.worker.ledger, played.engine.rows
        judge = Judge(ledger, rows, sites, crashes.points, self.usual)
        if not crashes.points:
            self.usual = judge.counted()
        status = rows[played.id].instance.status
        self.report.statuses[status.value] += 1
        if status in OPEN_STATUSES:
            deaths = " and ".join(map(str, crashes.points)) or "without a death"
            self.report.stuck.append(f"the instance is {status.value}: {deaths}")
        _note(self._twice, judge.twice())
        if status not in OPEN_STATUSES:
            _note(self._left, judge.left())
            _note(self._told, judge.told())


def _note(found: dict[tuple[str, str], Finding], new: Iterator[Finding]) -> None:
    """Keep the first finding of each kind, and count the others."""
    for one in new:
        key = one.effect.name, one.step
        known = found.get(key)
        found[key] = one if known is None else replace(known, others=known.others + 1)


def _points(started: list[Started]) -> Iterator[CrashPoint]:
    """Yield every death of these attempts."""
    for one in started:
        for at in (BEFORE_BODY, *range(1, one.effects + 1), BEFORE_COMMIT):
            yield CrashPoint(one.site, at, attempt=one.attempt)
            if one.attempt == 1:
                yield CrashPoint(one.site, at, always=True)
