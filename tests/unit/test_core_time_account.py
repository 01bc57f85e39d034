"""Where the time went: the parts sum to the whole, for any times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.time_account import (
    KINDS,
    TimeAccount,
    TimedAttempt,
    TimedStep,
    time_account,
)

ZERO = datetime(2026, 1, 1, tzinfo=UTC)


def at(second: float) -> datetime:
    return ZERO + timedelta(seconds=second)


def parts(found: Any) -> dict[str, float]:
    return {kind: part.total_seconds() for kind, part in found.parts.items() if part}


_times = st.integers(-5, 60)


@st.composite
def _attempts(draw: Any) -> TimedAttempt:
    a, b, c = sorted(draw(st.tuples(_times, _times, _times)))
    return TimedAttempt(
        at(a), draw(st.sampled_from((None, at(b)))), draw(st.sampled_from((None, at(c))))
    )


@st.composite
def _steps(draw: Any) -> list[TimedStep]:
    steps = []
    for id in range(1, draw(st.integers(0, 8)) + 1):
        a, b = sorted(draw(st.tuples(_times, _times)))
        kind = draw(st.sampled_from(("call", "wait", "listen", "run", "set", "do", "fork")))
        attempts = draw(st.lists(_attempts(), max_size=4)) if kind == "call" else []
        ended = draw(st.sampled_from((None, at(b))))
        steps.append(TimedStep(id, draw(st.integers(0, id - 1)), kind, at(a), ended, attempts))
    return steps


_spans = st.tuples(_times, _times).map(lambda pair: (at(min(pair)), at(max(pair))))


@given(span=_spans, steps=_steps(), suspended=st.lists(_spans, max_size=3))
def test_the_parts_sum_to_the_whole(span: Any, steps: list[TimedStep], suspended: Any) -> None:
    found = time_account(span, steps, suspended)
    assert found.total == span[1] - span[0]
    accounts: list[Any] = [found, *found.steps]
    for each in accounts:
        assert sum(each.parts.values(), timedelta()) == each.total
        assert tuple(each.parts) == KINDS
        assert all(part >= timedelta() for part in each.parts.values())
    for kind in ("running", "queued", "backoff", "waiting"):
        # The instance never has more of a kind than its steps together.
        assert found.parts[kind] <= sum((each.parts[kind] for each in found.steps), timedelta())


@given(span=_spans, steps=_steps())
def test_the_path_is_in_order_and_within_the_instance(span: Any, steps: list[TimedStep]) -> None:
    path = time_account(span, steps, ()).path
    times = [moment for piece in path for moment in (piece.since, piece.until)]
    assert times == sorted(times)
    assert all(piece.since < piece.until for piece in path)
    assert not times or span[0] <= times[0] <= times[-1] <= span[1]
    own = {each.step: each.total for each in time_account(span, steps, ()).steps}
    assert all(piece.until - piece.since == own[piece.step] for piece in path)


def of(*steps: TimedStep, end: float, suspended: Any = ()) -> TimeAccount:
    return time_account((at(0), at(end)), steps, suspended)


def call(id: int, start: float, end: float, *attempts: tuple[float, float, float]) -> TimedStep:
    made = [TimedAttempt(at(a), at(b), at(c)) for a, b, c in attempts]
    return TimedStep(id, 0, "call", at(start), at(end), made)


def test_a_step_that_is_tried_twice() -> None:
    found = of(call(1, 0, 20, (0, 1, 4), (14, 16, 20)), end=21)
    assert parts(found.steps[0]) == {"queued": 3, "running": 7, "backoff": 10}
    assert parts(found) == {"queued": 3, "running": 7, "backoff": 10, "between": 1}


def test_of_branches_the_longest_is_critical() -> None:
    fork = TimedStep(1, 0, "fork", at(0), at(10), ())
    short, long = call(2, 0, 4, (0, 0, 4)), call(3, 0, 10, (0, 2, 10))
    after = TimedStep(4, 0, "wait", at(10), None, ())
    found = of(fork, short, long, after, end=15)
    assert [piece.step for piece in found.path] == [3, 4]
    assert parts(found) == {"running": 10, "waiting": 5}


def test_a_suspension_counts_before_all_else() -> None:
    found = of(TimedStep(1, 0, "wait", at(0), None, ()), end=10, suspended=[(at(2), at(5))])
    assert parts(found.steps[0]) == parts(found) == {"suspended": 3, "waiting": 7}
