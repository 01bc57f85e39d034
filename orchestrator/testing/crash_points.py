"""The places where a worker's process can die, and a worker that dies at some of them.

A death shows in three kinds of places: before a task's body has run, after one of its effects, and
before its end is committed.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.core.model import Step
from orchestrator.testing.deaths import Deaths, MortalWorker
from orchestrator.testing.forked_attempt import run_forked
from orchestrator.testing.in_memory_rows import Rows, chain
from orchestrator.testing.steps import name_of

if TYPE_CHECKING:
    from celery import Task

    from orchestrator.state_manager.claimed_attempt import ClaimedAttempt

#: The kinds of places besides the numbers of effects.
BEFORE_BODY, BEFORE_COMMIT = 0, -1


class Site(NamedTuple):
    """A step, the same in every run of the same workflow: its task, its iterations, and its number
    among the steps of both."""

    workflow: str
    reference: str
    iterations: tuple[int, ...]
    number: int
    undoes: bool

    @property
    def name(self) -> str:
        """The task's name, for people."""
        name = name_of(self.reference)
        name = f"the compensation of {name!r}" if self.undoes else repr(name)
        return name + "".join(f"[{index}]" for index in self.iterations)


def _iterations(steps: Mapping[int, Step]) -> tuple[int, ...]:
    """Return the indexes of the loops around a step, the outermost first. The tries of a block are
    no iterations: they do the same thing again."""
    loops = ("for", "listen")
    return tuple(
        step.index
        for step in reversed(list(steps.values()))
        if step.index is not None and step.parent in steps and steps[step.parent].kind in loops
    )


@dataclass(frozen=True)
class CrashPoint:
    """A place where the process of a step dies: `at` is `BEFORE_BODY`, the number of an effect, or
    `BEFORE_COMMIT`. `always`: at each of its starts, until `maxStarts` is used up."""

    site: Site
    at: int
    always: bool = False
    #: The attempt that dies, where not all do.
    attempt: int = 1

    def __str__(self) -> str:
        where = {BEFORE_BODY: "before its body", BEFORE_COMMIT: "before its commit"}
        place = where.get(self.at, f"after its effect {self.at}")
        return f"the worker of {self.site.name} died {place}, {self._often}"

    @property
    def _often(self) -> str:
        if self.always:
            return "at every start"
        return "once" if self.attempt == 1 else f"at attempt {self.attempt}"


@dataclass
class Started:
    """An attempt that was started: its step, its number, and how many effects it had."""

    site: Site
    attempt: int
    effects: int = 0


@dataclass
class Crashes(Deaths):
    """Lets workers die at these points, and writes down every place that was passed."""

    points: tuple[CrashPoint, ...] = ()
    fork: bool = False
    started: list[Started] = field(default_factory=list)
    died: int = 0
    #: The sites of the steps that had an attempt, by instance and step.
    sites: dict[tuple[str, int], Site] = field(default_factory=dict)
    _numbers: Counter[tuple[str, str, tuple[int, ...]]] = field(default_factory=Counter)

    def site_of(self, rows: Rows, claimed: ClaimedAttempt) -> Site:
        """Return the site of an attempt's step."""
        key = rows.instance.id, claimed.step.id
        if key not in self.sites:
            steps = chain(rows, claimed.step.id)
            reference = claimed.step.reference
            undoes = any(step.compensates is not None for step in steps.values())
            iterations = _iterations(steps)
            place = rows.instance.workflow_id, reference, iterations
            self._numbers[place] += 1
            self.sites[key] = Site(place[0], reference, iterations, self._numbers[place], undoes)
        return self.sites[key]

    # -- the worker's hooks --------------------------------------------------------------------

    def before_body(self, worker: MortalWorker, _: ClaimedAttempt) -> None:
        """Die here, if a point says so."""
        self._die_at(BEFORE_BODY, worker)

    def count_effect(self, number: int) -> None:
        """Note how many effects the attempt has had."""
        self.started[-1].effects = number

    def after_effect(self, worker: MortalWorker, _: ClaimedAttempt, number: int) -> None:
        """Die here, if a point says so."""
        self._die_at(number, worker)

    def before_commit(self, worker: MortalWorker, _: ClaimedAttempt) -> None:
        """Die here, if a point says so."""
        self._die_at(BEFORE_COMMIT, worker)

    def run_apart(
        self, worker: MortalWorker, task: Task[Any, Any], claimed: ClaimedAttempt
    ) -> bool:
        """Note the attempt. With `fork`, run one that may die in a process of its own."""
        site = self.site_of(worker.engine.of(claimed.attempt), claimed)
        self.started.append(Started(site, claimed.attempt.number))
        if not self.fork or not any(self._is_meant(point) for point in self.points):
            return False
        run_forked(worker, task, claimed)
        self.died += worker.is_dead
        return True

    def _die_at(self, at: int, worker: MortalWorker) -> None:
        for point in self.points:
            if point.at == at and self._is_meant(point):
                if self.fork:
                    os.kill(os.getpid(), signal.SIGKILL)
                self.died += 1
                worker.die()

    def _is_meant(self, point: CrashPoint) -> bool:
        started = self.started[-1]
        return point.site == started.site and (point.always or point.attempt == started.attempt)
