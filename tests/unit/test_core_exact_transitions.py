"""Given a document and a stimulus: exactly these values, and no others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.core import advance
from orchestrator.core.model import (
    ROOT,
    Attempt,
    AttemptEnd,
    AttemptState,
    Fact,
    Instance,
    Slice,
    Status,
    Step,
    Stimulus,
    StimulusKind,
    Timer,
    TimerKind,
    Transition,
)
from orchestrator.document.model import Workflow
from tests.support.documents import call, doc

AT = datetime(2026, 1, 1, tzinfo=UTC)
NEW = Instance("018f0000-0000-7000-8000-000000000001", "test", "w", input={"n": 1})


def no_jq(program: str, value: Any, variables: Any) -> Any:
    """These documents have no expressions."""
    raise AssertionError(program)


def start(document: dict[str, Any]) -> Transition:
    stimulus = Stimulus(StimulusKind.START, AT, seed=7)
    return advance(Workflow(document), Slice(NEW), stimulus, no_jq)


def test_a_set_is_one_transition() -> None:
    transition = start(doc({"a": {"set": {"x": 1}}}))
    step = Step(
        1,
        ROOT,
        "/do/0/a",
        "set",
        Status.COMPLETED,
        input={"n": 1},
        output={"x": 1},
        completion_number=2,
        started_at=AT,
        ended_at=AT,
    )
    instance = replace(
        NEW,
        status=Status.COMPLETED,
        sequence=1,
        last_number=2,
        output={"x": 1},
        started_at=AT,
        ended_at=AT,
    )
    facts = (
        Fact("workflow.started"),
        Fact("task.created", 1),
        Fact("task.started", 1),
        Fact("task.completed", 1),
        Fact("workflow.completed"),
    )
    assert transition == Transition(instance, created=(step,), facts=facts)


def test_a_call_leaves_the_process() -> None:
    body = call("shop.pay", "shop.refund", queue="payments", priority=7)
    transition = start(doc({"pay": {**body, "with": {"amount": 3}}}))
    (attempt,) = transition.attempts
    assert attempt == Attempt(attempt.id, 1, 1, "shop.pay", queue="payments", priority=7)
    asked = {"kind": "celery", "task": "shop.pay", "args": [], "kwargs": {"amount": 3}}
    step = Step(
        1,
        ROOT,
        "/do/0/pay",
        "call",
        input={"n": 1},
        call=asked,
        compensated_by="task",
        started_at=AT,
    )
    instance = replace(
        NEW, status=Status.RUNNING, sequence=1, last_number=1, open_places=1, started_at=AT
    )
    facts = (Fact("workflow.started"), Fact("task.created", 1), Fact("task.started", 1))
    assert transition == Transition(instance, created=(step,), attempts=(attempt,), facts=facts)


def test_a_result_ends_its_step_and_begins_the_next() -> None:
    document = doc({"a": call("x")}, {"b": call("y")})
    first = start(document)
    (attempt,) = first.attempts
    claimed = replace(attempt, state=AttemptState.CLAIMED)
    end = AttemptEnd(attempt.id, AttemptState.SUCCEEDED, {"y": 2})
    later = AT + timedelta(seconds=1)
    slice = Slice(first.instance, {1: first.created[0]}, claimed)
    stimulus = Stimulus(StimulusKind.RESULT, later, seed=8, step=1, ended=end)
    second = advance(Workflow(document), slice, stimulus, no_jq)
    done = replace(
        first.created[0],
        status=Status.COMPLETED,
        output={"y": 2},
        completion_number=2,
        ended_at=later,
    )
    asked = {"kind": "celery", "task": "y", "args": [], "kwargs": {}}
    begun = Step(3, ROOT, "/do/1/b", "call", input={"y": 2}, call=asked, started_at=later)
    assert second == Transition(
        replace(first.instance, sequence=2, last_number=3),
        created=(begun,),
        changed=(done,),
        ended=(end,),
        attempts=(Attempt(second.attempts[0].id, 3, 1, "y"),),
        facts=(Fact("task.completed", 1), Fact("task.created", 3), Fact("task.started", 3)),
    )


def test_a_wait_arms_a_timer() -> None:
    transition = start(doc({"rest": {"wait": {"seconds": 5}}}))
    due = AT + timedelta(seconds=5)
    assert transition.timers == (Timer(1, TimerKind.WAIT, due),)
    assert transition.attempts == ()
    assert transition.created[0].status is Status.WAITING
    assert transition.instance.status is Status.WAITING


def test_the_same_stimulus_gives_the_same_transition() -> None:
    document = doc({"a": call("x")}, {"b": {"emit": {"event": {"with": {"type": "t"}}}}})
    assert start(document) == start(document)


def test_another_seed_gives_another_attempt() -> None:
    workflow = Workflow(doc({"a": call("x")}))
    one, two = (
        advance(workflow, Slice(NEW), Stimulus(StimulusKind.START, AT, seed), no_jq)
        for seed in (1, 2)
    )
    assert one.attempts[0].id != two.attempts[0].id
