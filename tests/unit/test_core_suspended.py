"""Results that arrive while an instance is suspended, followed by something other than a resume: a
cancel, another step's fault, a timeout. They count all the same."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core import Bounds
from orchestrator.core.model import Attempt, Compensation, Status
from orchestrator.testing.world import World
from tests.support.documents import Body, boom, call, doc

pytestmark = pytest.mark.usefixtures("decided")


def paused(document: Body, **more: Any) -> tuple[World, str, list[Attempt]]:
    """A suspended instance whose ready attempts were all claimed before."""
    world = World(document, **more)
    id = world.start()
    claimed = [world.claim(one) for one in world.ready()]
    world.command(id, "suspend")
    return world, id, claimed


def fork(*branches: Body, **more: Any) -> Body:
    return {"f": {"fork": {"branches": list(branches)}, **more}}


def asked(world: World) -> list[str]:
    """The tasks that are asked for from now on, each of which succeeds."""
    order = []
    while ready := world.ready():
        order.append(ready[0].task)
        world.succeed(ready[0])
    return order


def letters(world: World, id: str) -> list[str]:
    return [world.rows[id].steps[one["step"]].reference for one in world.rows[id].dead_letters]


CHARGE, PAY = {"a": call("charge", "refund")}, {"a": call("a", onLost="fault")}


def test_a_charge_that_came_during_a_pause_is_refunded_by_the_cancel() -> None:
    world, id, (charge,) = paused(doc(CHARGE))
    world.succeed(charge)
    world.command(id, "cancel")
    assert asked(world) == ["refund"]
    assert world.instance(id).compensation is Compensation.COMPLETED


def test_a_terminate_records_it_and_undoes_nothing() -> None:
    world, id, (charge,) = paused(doc(CHARGE))
    world.succeed(charge, "c-1")
    world.command(id, "terminate")
    assert asked(world) == []
    step = world.step(id, "a")
    assert (step.status, step.output) == (Status.COMPLETED, "c-1")


@pytest.mark.parametrize("branches", [(CHARGE, {"b": call("b")}), ({"b": call("b")}, CHARGE)])
def test_so_is_one_beside_a_fault_whichever_takes_effect_first(branches: list[Body]) -> None:
    world, id, claimed = paused(doc(fork(*branches)))
    for attempt in claimed:
        if attempt.task == "charge":
            world.succeed(attempt)
        else:
            world.fail(attempt)
    world.command(id, "resume")
    assert world.instance(id).status is Status.FAULTED
    assert asked(world) == ["refund"]


@pytest.mark.parametrize("branches", [(PAY, {"b": call("b")}), ({"b": call("b")}, PAY)])
def test_a_loss_that_gave_the_step_up_is_a_dead_letter_beside_a_fault(branches: list[Body]) -> None:
    world, id, claimed = paused(doc(fork(*branches)))
    for attempt in claimed:
        (world.lose if attempt.task == "a" else world.fail)(attempt)
    world.command(id, "resume")
    step = world.step(id, "a")
    assert (step.status, step.outcome_unknown) == (Status.FAULTED, True)
    assert letters(world, id) == [step.reference]
    assert world.rows[id].dead_letters[0]["error"] == step.error
    assert "(started 1 times; the outcome is unknown)" in step.error["detail"]
    world.command(id, "retry", reason="mended")
    assert sorted(asked(world)) == ["a", "b"]
    assert world.instance(id).status is Status.COMPLETED
    assert [one["step"] for one in world.rows[id].letters_closed] == [step.id]


def test_one_that_could_have_been_started_again_is_none() -> None:
    world, id, (first, second) = paused(doc(fork({"a": call("a")}, {"b": call("b")})))
    world.lose(first)
    world.fail(second)
    world.command(id, "resume")
    assert letters(world, id) == []


def test_nor_is_one_in_a_block_that_is_tried_again() -> None:
    retry = {"delay": {"seconds": 1}, "limit": {"attempt": {"count": 1}}}
    block = {"try": [fork(PAY, {"b": call("b")})], "catch": {"retry": retry}}
    world, id, (first, second) = paused(doc({"t": block}))
    world.lose(first)
    world.fail(second)
    world.command(id, "resume")
    assert letters(world, id) == []
    world.fire()
    assert sorted(asked(world)) == ["a", "b"]
    assert world.instance(id).status is Status.COMPLETED


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("tasks", [1, 100])
def test_a_timeout_that_fell_due_overtakes_nothing(*, whole: bool, tasks: int) -> None:
    """Of the workflow, or of each step; also where a resume is so long that it is continued in
    other transitions, behind the timers."""
    limit = {"timeout": {"after": {"seconds": 5}}}
    own = {} if whole else limit
    branches = [{"b": call("b")}, {"c": {**CHARGE["a"], **own}}, {"a": {**PAY["a"], **own}}]
    document = {**doc(fork(*branches)), **(limit if whole else {})}
    world, id, (_, charge, lost) = paused(document, limits=Bounds(tasks=tasks))
    world.succeed(charge)
    world.lose(lost)
    world.pass_time(10)
    world.command(id, "resume")
    assert world.step(id, "c").status is Status.COMPLETED
    assert world.step(id, "a").outcome_unknown
    assert letters(world, id) == [world.step(id, "a").reference]
    assert world.instance(id).status is Status.FAULTED
    (b,) = world.running(id)
    world.fail(b)
    assert asked(world) == ["refund"]


@pytest.mark.parametrize("moment", ["unclaimed", "running", "done"])
def test_a_suspended_rollback_continues_when_the_instance_is_cancelled(moment: str) -> None:
    block = {
        "try": [CHARGE, {"b": boom()}],
        "catch": {"do": [{"h": call("h")}]},
        "metadata": {"rollback": True},
    }
    world = World(doc({"z": call("z", "undo-z")}, {"t": block}))
    id = world.start()
    world.succeed(world.ready()[0])
    world.succeed(world.ready()[0])
    (undoing,) = world.ready()
    if moment != "unclaimed":
        world.claim(undoing)
    world.command(id, "suspend")
    if moment == "done":
        world.succeed(undoing)
    world.command(id, "cancel")
    if moment == "running":
        world.succeed(undoing)
    assert asked(world) == (["refund"] if moment == "unclaimed" else []) + ["undo-z"]
    assert world.instance(id).compensation is Compensation.COMPLETED


UNDO = {"call": "undo-a", "with": {"n": "${ $output.n }"}}
SHAPED = {**call("a", compensate=UNDO), "output": {"as": "${ {n: .by} }"}}


@pytest.mark.parametrize("command", ["cancel", "terminate"])
@pytest.mark.parametrize("timer", [True, False])
def test_a_recorded_output_is_shaped_before_it_is_undone(command: str, *, timer: bool) -> None:
    """Its `output.as` is an expression, which no command evaluates; a timer of the step that is
    applied before its agenda item finds the recorded result."""
    limit = {"timeout": {"after": {"seconds": 5}}}
    world = World(doc({"a": {**SHAPED, **(limit if timer else {})}}))
    id = world.start()
    (work,) = world.ready()
    world.claim(work)
    world.command(id, "suspend")
    world.succeed(work, {"by": "worker"})
    world.pass_time(10)
    world.command(id, command)
    step = world.step(id, "a")
    assert (step.status, step.output) == (Status.COMPLETED, {"n": "worker"})
    assert world.instance(id).status is Status.CANCELLED
    undoing = [world.rows[id].steps[one.step].call["kwargs"] for one in world.ready()]
    assert undoing == ([{"n": "worker"}] if command == "cancel" else [])


def test_a_timeout_that_is_an_expression_restarts_before_anything_else() -> None:
    after = {"timeout": {"after": "${ .limit }"}}
    world = World(doc({"t": {"do": [{"a": call("a")}], **after}}))
    id = world.start(input={"limit": "PT5S"})
    world.fail(world.ready()[0])
    world.pass_time(60)
    world.command(id, "retry")
    (attempt,) = world.ready()
    assert attempt.time_limit == 5.0
    assert len(world.rows[id].timers) == 1
