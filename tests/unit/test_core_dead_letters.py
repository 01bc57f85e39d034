"""Steps whose attempts were lost too often: each is a dead letter."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core import attempts
from orchestrator.core.model import AttemptState, Compensation, Json, Status
from orchestrator.testing.world import World
from tests.support.documents import Body, boom, call, doc

pytestmark = pytest.mark.usefixtures("decided")


def run(document: Body) -> tuple[World, str]:
    world = World(document)
    return world, world.start()


def lose_all(world: World, *answered: str) -> list[str]:
    """Every worker dies, except for calls that are `answered`. Returns the tasks called."""
    asked = []
    while ready := world.ready():
        asked.append(ready[0].task)
        if ready[0].task in answered:
            world.succeed(ready[0])
        else:
            world.lose(ready[0])
    return asked


def letters(world: World, id: str) -> list[tuple[str, str]]:
    """The reference and the reason of each dead letter."""
    rows = world.rows[id]
    return [(rows.steps[one["step"]].reference, one["reason"]) for one in rows.dead_letters]


def test_a_step_that_uses_up_its_starts_is_a_dead_letter() -> None:
    world, id = run(doc({"a": call("x")}))
    world.lose(world.ready()[0])
    world.lose(world.ready()[0])
    assert world.rows[id].dead_letters == []
    world.lose(world.ready()[0])
    (letter,) = world.rows[id].dead_letters
    step = world.step(id, "a")
    assert (letter["step"], letter["reason"], letter["error"]) == (step.id, "lost", step.error)
    assert letter in world.rows[id].history[-1].dead_letters, "in the transition that faults it"
    assert world.instance(id).status is Status.FAULTED


def test_so_is_one_that_must_not_run_twice() -> None:
    world, id = run(doc({"a": call("x", onLost="fault")}))
    assert lose_all(world) == ["x"]
    assert letters(world, id) == [("/do/0/a", "lost")]


def test_and_one_whose_messages_are_lost_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MAX_ATTEMPTS", 3)
    world, id = run(doc({"a": call("x")}))
    for _ in range(3):
        world.lose(world.ready()[0], claimed=False)
    assert letters(world, id) == [("/do/0/a", "lost")]
    assert not world.step(id, "a").outcome_unknown


def test_a_step_that_fails_is_none() -> None:
    world, id = run(doc({"a": call("x")}, {"b": boom()}))
    world.fail(world.ready()[0])
    assert world.rows[id].dead_letters == []


def test_a_withdrawn_step_that_is_lost_is_none() -> None:
    branches = [{"a": call("x")}, {"b": call("y")}]
    world, id = run(doc({"f": {"fork": {"branches": branches}}}))
    one, other = (world.claim(each) for each in world.ready())
    world.fail(one)
    world.lose(other)
    assert world.rows[id].dead_letters == []


def test_a_fault_that_is_caught_leaves_its_letter() -> None:
    block = {"try": [{"a": call("x")}], "catch": {"do": [{"h": call("h")}]}}
    world, id = run(doc({"t": block}))
    assert lose_all(world, "h") == ["x", "x", "x", "h"]
    assert letters(world, id) == [("/do/0/t/try/0/a", "lost")]
    assert world.instance(id).status is Status.COMPLETED


def test_so_does_that_of_a_competitor() -> None:
    branches = [{"a": call("x")}, {"b": call("y")}]
    world, id = run(doc({"f": {"fork": {"compete": True, "branches": branches}}}))
    for _ in range(3):
        world.lose(next(one for one in world.ready() if one.task == "x"))
    assert letters(world, id) == [("/do/0/f/fork/branches/0/a", "lost")]
    assert lose_all(world, "y") == ["y"]
    assert world.instance(id).status is Status.COMPLETED


def test_a_block_that_is_tried_again_leaves_one_when_it_is_not_any_more() -> None:
    retry = {"delay": {"seconds": 1}, "limit": {"attempt": {"count": 1}}}
    block = {"try": [{"a": call("x")}], "catch": {"retry": retry}}
    world, id = run(doc({"t": block}))
    assert lose_all(world) == ["x", "x", "x"]
    assert world.rows[id].dead_letters == []
    world.fire()
    assert lose_all(world) == ["x", "x", "x"]
    (letter,) = world.rows[id].dead_letters
    assert letter["step"] == world.step(id, "a").id
    assert world.instance(id).status is Status.FAULTED


def test_a_compensation_that_loses_its_workers_is_one_letter_not_two() -> None:
    world, id = run(doc({"a": call("a", "undo-a")}, {"b": boom()}))
    assert lose_all(world, "a") == ["a", "undo-a", "undo-a", "undo-a"]
    assert letters(world, id) == [("/do/0/a/metadata/compensate", "compensation")]
    assert world.instance(id).compensation is Compensation.FAILED


def test_what_is_caught_within_a_compensation_leaves_its_letter_too() -> None:
    undoing = {"try": [{"u": call("u")}], "catch": {"do": [{"h": call("h")}]}}
    document = doc({"a": {"call": "a", "metadata": {"compensate": undoing}}}, {"b": boom()})
    world, id = run(document)
    assert lose_all(world, "a", "h") == ["a", "u", "u", "u", "h"]
    assert letters(world, id) == [("/do/0/a/metadata/compensate/try/0/u", "lost")]
    assert world.instance(id).compensation is Compensation.COMPLETED


@pytest.mark.parametrize(
    ("command", "data"),
    [("retry", {}), ("retry", {"from": 1}), ("skip", {"output": 1})],
)
def test_a_new_run_closes_the_dead_letter_of_a_step_that_it_restarts(
    command: str, data: Json
) -> None:
    world, id = run(doc({"a": call("a")}, {"b": call("b")}))
    lose_all(world, "a")
    (letter,) = world.rows[id].dead_letters
    world.command(id, command, by="me", reason="mended", **data)
    resolution = {"action": command, "by": "me", "reason": "mended"}
    assert world.rows[id].letters_closed == [{"step": letter["step"], "resolution": resolution}]
    lose_all(world, "a", "b")
    assert world.instance(id).status is Status.COMPLETED
    assert len(world.rows[id].dead_letters) == len(world.rows[id].letters_closed) == 1


def test_a_letter_is_retried_from_its_step() -> None:
    world, id = run(doc({"a": call("a")}, {"b": call("b")}))
    lose_all(world, "a")
    for _ in range(2):
        letter = world.rows[id].dead_letters[-1]
        world.command(id, "retry", **{"from": letter["step"]})
        assert [one.task for one in world.ready()] == ["b"]
        lose_all(world)
    assert len({one["step"] for one in world.rows[id].dead_letters}) == 3, "a new one each time"
    assert len(world.rows[id].letters_closed) == 2
    assert all(one.state is AttemptState.LOST for one in _attempts(world, id, "b"))


def _attempts(world: World, id: str, task: str) -> list[Any]:
    return [one for one in world.rows[id].attempts.values() if one.task == task]
