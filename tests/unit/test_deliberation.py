"""The time and the expressions of one decision."""

from __future__ import annotations

import pytest

from orchestrator.expressions import EvaluatorUnavailable, ExpressionError
from orchestrator.expressions.sandbox import ProgramOutcome
from orchestrator.state_manager import deliberation as module
from orchestrator.state_manager.deliberation import Deliberation, EvaluationAsked


class Sandbox:
    """Each program takes as many seconds, of CPU and by the clock, as its text says."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ran: list[str] = []

    def clock(self) -> float:
        return self.now

    def run(self, program, data, cpu=None, patience=0.0, on_slow=None) -> ProgramOutcome:
        seconds = float(program)
        self.ran.append(program.decode())
        if on_slow is not None and seconds > patience:
            on_slow()
        if cpu is not None and seconds > cpu:
            self.now += cpu
            return ProgramOutcome(None, cpu, ExpressionError("too long"))
        self.now += seconds
        return ProgramOutcome(data, seconds)


def evaluate(program, value, variables, run):
    return run(program.encode(), str(value).encode())


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


def deliberation(sandbox: Sandbox, on_long=None) -> Deliberation:
    made = Deliberation(evaluate, sandbox.run, on_long, sandbox.clock)
    made.begin(locked=False)
    return made


def test_no_expression_runs_twice(sandbox):
    made = deliberation(sandbox)
    assert made.evaluate("0.1", 1, {}) == made.evaluate("0.1", 1, {}) == b"1"
    made.begin(locked=True)
    assert made.evaluate("0.1", 1, {}) == b"1"
    assert sandbox.ran == ["0.1"]


def test_nothing_runs_under_the_row_lock(sandbox):
    made = deliberation(sandbox)
    made.begin(locked=True)
    with pytest.raises(EvaluationAsked):
        made.evaluate("0.1", 1, {})
    assert sandbox.ran == []


def test_at_last_it_runs_under_the_lock_for_a_second(sandbox):
    made = deliberation(sandbox)
    made.evaluate_under_lock()
    made.begin(locked=True)
    made.evaluate("0.6", 1, {})
    with pytest.raises(EvaluatorUnavailable):
        made.evaluate("0.5", 1, {})
    assert sandbox.now == pytest.approx(101.0)


def test_a_transition_ends_when_it_has_used_its_cpu(sandbox):
    made = deliberation(sandbox)
    made.evaluate("0.4", 1, {})
    assert made.may_go_on()
    made.evaluate("0.4", 2, {})
    assert not made.may_go_on()


def test_a_transition_ends_when_it_has_taken_its_time(sandbox):
    made = deliberation(sandbox)
    assert made.may_go_on()
    sandbox.now += module.TRANSITION_SECONDS
    assert not made.may_go_on()


def test_what_was_allowed_once_is_allowed_again(sandbox):
    """Else a decision that is made again under the lock would throw away what it evaluated."""
    made = deliberation(sandbox)
    assert made.may_go_on()
    sandbox.now += module.TRANSITION_SECONDS
    assert not made.may_go_on()
    made.begin(locked=True)
    assert made.may_go_on()
    assert not made.may_go_on()


def test_the_expressions_of_one_item_fail_at_their_bound(sandbox):
    made = deliberation(sandbox)
    for number in range(6):
        made.evaluate("0.5", number, {})
    with pytest.raises(ExpressionError, match="more than 3 s"):
        made.evaluate("0.5", 6, {})
    made.may_go_on()
    made.evaluate("0.5", 6, {})


def test_what_was_known_counts_for_its_item(sandbox):
    """So a decision that is made again ends where it did."""
    made = deliberation(sandbox)
    for _ in range(2):
        made.begin(locked=False)
        for number in range(6):
            made.evaluate("0.5", number, {})
        with pytest.raises(ExpressionError):
            made.evaluate("0.5", 6, {})


@pytest.mark.parametrize("first", ["0.001", "1"])
def test_a_long_decision_says_so_once(sandbox, first):
    told = []
    made = deliberation(sandbox, lambda: told.append(sandbox.now))
    made.evaluate(first, 1, {})
    assert len(told) == (first == "1")
    made.evaluate("1", 2, {})
    made.evaluate("1", 3, {})
    assert len(told) == 1


def test_a_decision_without_expressions_says_so_too(sandbox):
    told = []
    made = deliberation(sandbox, lambda: told.append(True))
    made.may_go_on()
    assert told == []
    sandbox.now += 2 * module.LONG
    made.may_go_on()
    assert told == [True]


def test_it_says_nothing_under_the_lock(sandbox):
    """A lease needs a statement of its own, and the lock's holder waits for nothing."""
    told = []
    made = deliberation(sandbox, lambda: told.append(True))
    made.evaluate_under_lock()
    made.begin(locked=True)
    sandbox.now += 2 * module.LONG
    made.evaluate("0.5", 1, {})
    made.may_go_on()
    assert told == []
