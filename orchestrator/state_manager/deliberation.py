"""The deliberation of one decision: its expressions, and the time that it may take.

Theory of operation. A decision may run the core several times: after it has loaded what the core
needs, and again under the row lock. No expression runs twice: results are kept by program and
input. Under the row lock nothing runs in the sandbox, because other processes wait; a result that
is missing raises `EvaluationAsked`, and the caller evaluates outside of the lock and locks again
(ENGINE 2). The time is bounded twice: a transition that has used up its share commits what it has
after the present item of the agenda, and the expressions of one item fail at their own bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Protocol

from orchestrator.clock import monotonic
from orchestrator.core.model import Json, Slice
from orchestrator.errors import OrchestratorError
from orchestrator.expressions import EvaluatorUnavailable, ExpressionError
from orchestrator.expressions.evaluator import RunProgram
from orchestrator.expressions.sandbox import ProgramOutcome

#: Seconds of CPU in the sandbox, and seconds in total, after which a transition runs no further
#: item of its agenda.
TRANSITION_CPU, TRANSITION_SECONDS = 0.5, 1.0
#: Seconds of CPU that the expressions of one agenda item may use; then they fail.
ITEM_CPU = 3.0
#: Seconds of CPU that a decision may use under the row lock; see `evaluate_under_lock`.
LOCKED_CPU = 1.0
#: Seconds after which a decision takes a lease, so that no other process begins it.
LONG = 0.02


class EvaluationAsked(OrchestratorError):
    """A decision under the row lock needs an expression evaluated. `slice`: what it was decided on
    so far."""

    slice: Slice | None = None


class RunMeasured(Protocol):
    """Runs a program in the sandbox; see `Sandbox.run`."""

    def __call__(
        self,
        program: bytes,
        data: bytes,
        cpu: float | None = None,
        patience: float = 0.0,
        on_slow: Callable[[], None] | None = None,
    ) -> ProgramOutcome:
        """Return how the program ended."""


class EvaluateWith(Protocol):
    """Evaluates an expression; see `Evaluator.evaluate`."""

    def __call__(
        self, program: str, value: Json, variables: Mapping[str, Json], run: RunProgram, /
    ) -> Json:
        """Return the first result; `run` runs what the fast path does not."""


class Deliberation:
    """One decision. `on_long` is called once, outside of the row lock, when it has taken `LONG`
    seconds; what it raises ends the decision."""

    def __init__(
        self,
        evaluate: EvaluateWith,
        run: RunMeasured,
        on_long: Callable[[], None] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._evaluate = evaluate
        self._run_measured = run
        self._on_long = on_long
        self._clock = clock
        self._started_at = clock()
        self._outcomes: dict[tuple[bytes, bytes], ProgramOutcome] = {}
        self._locked = False
        self._locked_cpu = 0.0
        self._granted = 0
        self._item, self._item_cpu, self._cpu = 0, 0.0, 0.0

    def begin(self, *, locked: bool) -> None:
        """Begin another run of the core, with the row lock or without it."""
        self._locked = locked
        self._item, self._item_cpu, self._cpu = 0, 0.0, 0.0

    def evaluate_under_lock(self) -> None:
        """Allow the sandbox under the row lock, for `LOCKED_CPU` seconds of CPU: the instance has
        changed whenever its decision came back from outside of the lock."""
        self._locked_cpu = LOCKED_CPU

    def may_go_on(self) -> bool:
        """Whether the transition may run another agenda item. What was allowed in one run of the
        core is allowed in the next: its expressions are known."""
        self._item += 1
        self._item_cpu = 0.0
        if self._item <= self._granted:
            return True
        taken = self._clock() - self._started_at
        if self._cpu >= TRANSITION_CPU or taken >= TRANSITION_SECONDS:
            return False
        if taken >= LONG and not self._locked:
            self._report_long()
        self._granted = self._item
        return True

    def evaluate(self, program: str, value: Json, variables: Mapping[str, Json]) -> Json:
        """Evaluate an expression of the decision.

        Raises:
            ExpressionError: the workflow's; also when the item's expressions took too long.
            EvaluationAsked: it must run in the sandbox, which the row lock forbids.
            EvaluatorUnavailable: try again.
        """
        return self._evaluate(program, value, variables, self._run)

    def _run(self, program: bytes, data: bytes) -> bytes | None:
        key = (program, blake2b(data, digest_size=16).digest())
        outcome = self._outcomes.get(key)
        if outcome is None:
            outcome = self._outcomes[key] = self._run_new(program, data)
        self._item_cpu += outcome.cpu
        self._cpu += outcome.cpu
        return outcome.value()

    def _run_new(self, program: bytes, data: bytes) -> ProgramOutcome:
        if self._item_cpu >= ITEM_CPU:
            raise ExpressionError(
                f"the expressions of one step took more than {ITEM_CPU:g} s of CPU time"
            )
        if self._locked:
            return self._run_locked(program, data)
        if self._on_long is None:
            return self._run_measured(program, data)
        patience = self._started_at + LONG - self._clock()
        if patience <= 0:
            self._report_long()
            return self._run_measured(program, data)
        return self._run_measured(program, data, None, patience, self._report_long)

    def _run_locked(self, program: bytes, data: bytes) -> ProgramOutcome:
        if self._locked_cpu <= 0:
            raise EvaluationAsked
        outcome = self._run_measured(program, data, self._locked_cpu)
        self._locked_cpu -= outcome.cpu
        if self._locked_cpu <= 0:
            raise EvaluatorUnavailable("a decision took too long under the row lock")
        return outcome

    def _report_long(self) -> None:
        on_long, self._on_long = self._on_long, None
        if on_long is not None:
            on_long()


class NoEvaluation:
    """The deliberation of a process that evaluates nothing and decides one command."""

    def __init__(self, evaluate: Callable[[str, Json, Mapping[str, Json]], Any]) -> None:
        self.evaluate = evaluate

    def begin(self, *, locked: bool) -> None:
        """Begin another run of the core."""

    def may_go_on(self) -> bool:
        """The number of agenda items is the stimulus's."""
        return True
