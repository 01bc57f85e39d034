"""Decisions that take long in simulated time, need the sandbox, and are ended early."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from orchestrator.core.model import Json
from orchestrator.expressions import Evaluator
from orchestrator.json_codec import dumps
from orchestrator.state_manager.deliberation import Deliberation, EvaluationAsked
from tests.simulation.simulated_clock import Loop

EVALUATOR = Evaluator()

#: Share of the decisions whose every expression needs the sandbox, and takes time there.
SLOW = 0.5
#: Share of the questions whether a transition may go on that are answered with no.
CUT = 0.2
#: Of one expression, in s.
LONGEST = 4.0


class SimDeliberation(Deliberation):
    """A real deliberation, by the simulated clock, whose expressions sometimes take long."""

    def __init__(self, loop: Loop, random: Random, on_long: Callable[[], None] | None) -> None:
        super().__init__(EVALUATOR.evaluate, EVALUATOR.sandbox.run, on_long, clock=lambda: loop.now)
        self._loop = loop
        self._random = random
        self._slow = random.random() < SLOW
        self._known: set[str] = set()

    def may_go_on(self) -> bool:
        """As it is, and sometimes no."""
        first = self._item >= self._granted
        if first and self._slow and not self._locked:
            self._wait(f"item {self._item}")
        return super().may_go_on() and not (first and self._random.random() < CUT)

    def evaluate(self, program: str, value: Json, variables: Mapping[str, Json]) -> Json:
        """As it is, after a while."""
        if self._slow:
            self._wait(dumps([program, value, dict(variables)]))
        return super().evaluate(program, value, variables)

    def _wait(self, key: str) -> None:
        if key in self._known:
            return
        if self._locked:
            if self._locked_cpu <= 0:
                raise EvaluationAsked
        else:
            self._report_long()
            self._loop.sleep(self._random.random() * LONGEST, "evaluates")
        self._known.add(key)
