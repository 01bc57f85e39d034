"""Attempts that end in every way, and timeouts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrator.core import Bounds
from orchestrator.core.model import AttemptEnd, AttemptState, Status, StimulusKind
from orchestrator.testing.instance_store import EPOCH
from orchestrator.testing.world import World
from tests.support.documents import call, doc


def run(document: dict[str, Any], input: Any = None, **more: Any) -> tuple[World, str]:
    world = World(document, **more)
    return world, world.start(input=input)


def test_a_lost_attempt_is_started_again_up_to_its_limit() -> None:
    world, id = run(doc({"a": call("x")}))
    first = world.ready()[0]
    world.lose(first)
    assert [(one.number, one.starts) for one in world.ready()] == [(2, 2)]
    world.lose(world.ready()[0])
    assert [(one.number, one.starts) for one in world.ready()] == [(3, 3)]
    world.lose(world.ready()[0])
    assert world.instance(id).status is Status.FAULTED
    assert world.step(id, "a").outcome_unknown
    assert "3 times" in world.instance(id).error["detail"]


def test_an_unclaimed_lost_attempt_counts_no_start() -> None:
    world, _ = run(doc({"a": call("x", maxStarts=1)}))
    world.lose(world.ready()[0], claimed=False)
    assert [(one.number, one.starts) for one in world.ready()] == [(2, 1)]


def test_a_task_that_must_not_run_twice_faults_at_once() -> None:
    world, id = run(doc({"a": call("x", onLost="fault")}))
    world.lose(world.ready()[0])
    assert world.instance(id).status is Status.FAULTED
    assert world.step(id, "a").outcome_unknown
    (fact,) = world.facts(id, "task.faulted")
    assert fact.data["unknown"] is True


def test_a_retry_may_ask_for_other_arguments() -> None:
    world, id = run(doc({"a": call("x")}))
    asked = {"args": [1], "kwargs": {"b": 2}}
    world.fail(world.ready()[0], retry_in=30.0, arguments=asked)
    before = world.step(id, "a").call
    assert before == {"kind": "celery", "task": "x", **asked}
    world.fire()
    world.fail(world.ready()[0], retry_in=0.0)
    assert world.step(id, "a").call == before, "they stay until it asks for others again"


def test_a_celery_task_may_ask_for_a_retry_of_its_own() -> None:
    world, id = run(doc({"a": call("x", priority=2)}))
    first = world.ready()[0]
    world.fail(first, retry_in=30.0)
    assert world.step(id, "a").status is Status.WAITING
    world.fire()
    (second,) = world.ready()
    assert world.now == EPOCH + timedelta(seconds=30)
    assert (second.number, second.priority, second.step) == (2, 2, first.step)
    assert world.step(id, "a").state == {"retries": 1}
    world.succeed(second, 1)
    assert world.instance(id).output == 1


@pytest.mark.parametrize("state", [AttemptState.SUCCEEDED, AttemptState.LOST])
def test_a_superseded_attempt_changes_nothing(state: AttemptState) -> None:
    world, id = run(doc({"a": call("x")}))
    first = world.ready()[0]
    world.lose(first)
    before = world.rows[id].instance
    world.send_stimulus(id, StimulusKind.RESULT, first.step, run=False)
    world.rows[id].inbox.clear()
    world.end(first, AttemptEnd(first.id, state, "stale"))
    assert world.ignored == ["the attempt is lost already"]
    assert world.rows[id].instance == before


def test_a_timer_of_an_ended_step_changes_nothing() -> None:
    world, id = run(doc({"a": {"wait": "PT1S"}}))
    world.run_out()
    world.send_stimulus(id, StimulusKind.TIMER, 1, {"kind": "wait"})
    assert world.ignored == ["the step is completed already"]


def test_an_unknown_step_or_attempt_changes_nothing() -> None:
    world, id = run(doc({"a": {"wait": "PT1S"}}))
    world.send_stimulus(id, StimulusKind.TIMER, 99, {"kind": "wait"})
    world.send_stimulus(id, StimulusKind.START)
    assert world.ignored == ["there is no step 99", "the instance is waiting"]


# -- timeouts --------------------


def timed(body: dict[str, Any], after: Any = "PT5S") -> dict[str, Any]:
    return {"t": {**body, "timeout": {"after": after}}}


def test_a_task_within_its_timeout_completes() -> None:
    world, id = run(doc(timed({"wait": "PT2S"})))
    world.run_out()
    assert world.instance(id).status is Status.COMPLETED
    assert world.rows[id].timers == {}


@pytest.mark.parametrize(
    "body",
    [
        {"wait": "PT9S"},
        {"do": [{"in": {"wait": "PT9S"}}]},
        {"fork": {"branches": [{"a": {"wait": "PT9S"}}, {"b": call("x")}]}},
        {"listen": {"to": {"one": {"with": {"type": "t"}}}}},
        call("x"),
    ],
)
def test_a_task_beyond_its_timeout_faults(body: dict[str, Any]) -> None:
    world, id = run(doc(timed(body)))
    world.fire()
    error = world.instance(id).error
    assert (error["type"].rsplit("/", 1)[-1], error["status"]) == ("timeout", 408)
    assert error["instance"] == "/do/0/t"
    assert world.ready() == []
    assert world.rows[id].timers == {}
    assert world.rows[id].listeners == {}
    assert world.now == EPOCH + timedelta(seconds=5)


def test_timeouts_may_be_named_and_computed() -> None:
    timeouts = {"short": {"after": "${ .limit }"}}
    world, id = run(
        doc({"t": {"wait": "PT9S", "timeout": "short"}}, use={"timeouts": timeouts}),
        {"limit": "PT3S"},
    )
    world.fire()
    assert world.now == EPOCH + timedelta(seconds=3)
    assert world.instance(id).status is Status.FAULTED


def test_the_workflow_has_a_timeout() -> None:
    world, id = run(doc({"a": call("x")}, timeout={"after": {"seconds": 3}}))
    assert world.ready()[0].time_limit == 3
    world.fire()
    error = world.instance(id).error
    assert (error["status"], error["instance"]) == (408, "/")
    assert world.ready() == []


def test_a_workflow_in_time_leaves_no_timer() -> None:
    world, id = run(doc({"a": call("x")}, timeout={"after": {"seconds": 3}}))
    world.succeed(world.ready()[0])
    assert world.rows[id].timers == {}


def test_an_attempts_limit_is_what_is_left_of_the_nearest_timeout() -> None:
    inner = {"do": [{"w": {"wait": "PT2S"}}, {"c": timed(call("x"), "PT20S")["t"]}]}
    world, _ = run(doc(timed(inner, "PT10S"), timeout={"after": "PT1H"}))
    world.fire()
    assert world.ready()[0].time_limit == 8


def test_a_timeout_can_be_caught_and_waits_for_the_attempt_to_end() -> None:
    block = {"try": [timed(call("x"))], "catch": {"do": [{"h": call("handle")}]}}
    world, id = run(doc({"b": block}))
    attempt = world.claim(world.ready()[0])
    world.fire()
    assert world.ready() == []
    assert world.step(id, "t").status is Status.RUNNING
    assert world.step(id, "t").error["status"] == 408
    world.succeed(attempt, "late")
    assert world.step(id, "t").status is Status.COMPLETED
    assert world.ready()[0].task == "handle"


def test_a_draining_attempt_without_an_end_is_lost_after_its_limit() -> None:
    block = {"try": [timed(call("x"))], "catch": {"do": [{"h": call("handle")}]}}
    world, id = run(doc({"b": block}))
    attempt = world.claim(world.ready()[0])
    world.fire()
    world.fire()
    assert world.now == EPOCH + timedelta(seconds=15)
    assert world.ready()[0].task == "handle"
    step = world.step(id, "t")
    assert (step.status, step.outcome_unknown) == (Status.FAULTED, True)
    world.succeed(attempt, "much too late")
    assert world.ignored == ["the attempt is lost already"]


def test_a_timer_that_was_armed_again_changes_nothing() -> None:
    policy = {"limit": {"attempt": {"count": 2, "duration": "PT5S"}}}
    world, id = run(doc({"t": {"try": [{"a": call("x")}], "catch": {"retry": policy}}}))
    world.pass_time(3)
    world.fail(world.ready()[0])
    world.send_stimulus(id, StimulusKind.TIMER, 1, {"kind": "attempt"})
    world.send_stimulus(id, StimulusKind.TIMER, 1, {"kind": "retry"})
    world.send_stimulus(id, StimulusKind.TIMER, 1, {"kind": "timeout"})
    assert len(world.ignored) == 3
    assert len(world.ready()) == 1


def test_a_block_that_is_tried_for_ever_forgets_its_later_tries() -> None:
    block = {"try": [{"s": {"set": 1}}, {"a": call("x")}], "catch": {"retry": {"delay": "PT1S"}}}
    world, id = run(doc({"t": block}), limits=Bounds(kept_turns=5))
    for _ in range(20):
        world.fail(world.ready()[0])
        world.fire()
    assert len(world.steps(id)) == 1 + 2 * 5 + 1


def test_an_instance_that_has_not_begun_can_be_cancelled_and_suspended() -> None:
    world = World(doc({"a": call("x")}))
    id = world.start(run=False)
    world.rows[id].timers[0, "start"] = EPOCH
    world.rows[id].inbox.clear()
    world.command(id, "suspend")
    world.fire()
    assert world.instance(id).status is Status.SUSPENDED
    world.command(id, "resume")
    assert world.instance(id).status is Status.RUNNING
    id = world.start(run=False)
    world.rows[id].timers[0, "start"] = EPOCH + timedelta(days=1)
    world.rows[id].inbox.clear()
    world.command(id, "cancel")
    assert world.instance(id).status is Status.CANCELLED
    assert world.rows[id].timers == {}
