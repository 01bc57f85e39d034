"""Competing branches with `metadata.rollback`: what the losing branches completed is undone after
their attempts have ended, and nothing of the winner is."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core import Bounds
from orchestrator.core.model import Compensation, Status
from orchestrator.testing.world import Failure, World
from tests.support.documents import boom, call, doc


def race(*branches: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    fork = {"branches": list(branches), "compete": True}
    return {"f": {"fork": fork, "metadata": {"rollback": True, **metadata}}}


def two(name: str) -> dict[str, Any]:
    """A branch of two calls that can be undone."""
    first, last = f"{name}1", f"{name}2"
    inner = [{first: call(first, f"undo-{first}")}, {last: call(last, f"undo-{last}")}]
    return {name: {"do": inner}}


def run(*tasks: dict[str, Any], **more: Any) -> tuple[World, str]:
    world = World(doc(*tasks), **more)
    return world, world.start("test/flow", {"in": 1})


def succeed(world: World, *names: str) -> None:
    for name in names:
        attempts = [one for one in (*world.ready(), *world.running()) if one.task == name]
        world.succeed(attempts[0], name)


def work(world: World, *failing: str) -> list[str]:
    ran: list[str] = []

    def answer(request: Any) -> Any:
        ran.append(request["task"])
        if request["task"] in failing:
            raise Failure({"type": "https://example.com/fail", "status": 500})
        return request["task"]

    world.run_out(answer)
    return ran


def test_what_the_losers_completed_is_undone_and_nothing_of_the_winner() -> None:
    world, id = run(race(two("a"), two("b")), {"after": call("after")})
    succeed(world, "a1", "b1", "b2")
    assert [one.task for one in world.ready()] == ["undo-a1"]
    assert work(world) == ["undo-a1", "after"]
    assert world.step(id, "/do/0/f").output == "b2"
    assert world.instance(id).compensation is Compensation.NONE


def test_the_fork_waits_for_what_runs_in_the_losers_and_undoes_that_too() -> None:
    world, _ = run(race(two("a"), two("b")), {"after": call("after")})
    succeed(world, "a1", "b1")
    a2 = next(one for one in world.ready() if one.task == "a2")
    world.claim(a2)
    succeed(world, "b2")
    assert world.ready() == [], "neither the rollback nor what follows begins"
    world.succeed(a2, "late")
    assert work(world) == ["undo-a2", "undo-a1", "after"]


def test_without_the_option_the_workflow_continues_and_nothing_is_undone() -> None:
    world, _ = run(race(two("a"), two("b"), rollback=False), {"after": call("after")})
    succeed(world, "a1", "b1", "b2")
    assert work(world) == ["after"]


def test_with_the_whole_instance_each_is_undone_once() -> None:
    world, id = run(race(two("a"), two("b")), {"bad": boom()})
    succeed(world, "a1", "b1", "b2")
    assert work(world) == ["undo-a1", "undo-b2", "undo-b1"]
    assert world.instance(id).compensation is Compensation.COMPLETED


def test_a_branch_that_failed_is_undone_where_another_wins() -> None:
    world, id = run(race(two("a"), two("b")))
    succeed(world, "a1")
    world.fail(next(one for one in world.ready() if one.task == "a2"))
    succeed(world, "b1", "b2")
    assert work(world) == ["undo-a1"]
    assert world.instance(id).output == "b2"


def test_an_undoing_that_fails_is_a_dead_letter_and_the_fork_completes() -> None:
    world, id = run(race(two("a"), two("b")))
    succeed(world, "a1", "b1", "b2")
    work(world, "undo-a1")
    assert world.instance(id).status is Status.COMPLETED
    assert [letter["reason"] for letter in world.rows[id].dead_letters] == ["compensation"]


@pytest.mark.parametrize("tasks", [1, 2, 100])
def test_of_two_branches_that_complete_at_once_one_wins(tasks: int) -> None:
    """With few tasks a transition both have completed before either is counted."""
    quick = [{name: {"do": [{"s": {"set": {"it": name}}}]}} for name in ("x", "y")]
    world, id = run(race(*quick), {"after": call("after")}, limits=Bounds(tasks=tasks))
    assert world.step(id, "/do/0/f").output == {"it": "x"}
    assert work(world) == ["after"]


@pytest.mark.parametrize("tasks", [1, 100])
def test_after_an_immediate_winner_the_other_branches_do_not_begin(tasks: int) -> None:
    now = {"now": {"set": {"it": "won"}}}
    world, id = run(race(now, two("a")), limits=Bounds(tasks=tasks))
    assert world.instance(id).output == {"it": "won"}
    assert world.ready() == []


def test_a_skipped_branch_wins_with_its_input() -> None:
    world, id = run(race({"no": {"if": "false", "set": {}}}, two("a")))
    assert world.instance(id).output == {"in": 1}


@pytest.mark.parametrize("begun", [True, False], ids=["while it is undone", "while it is awaited"])
def test_a_retry_continues_the_rollback(begun: bool) -> None:
    world, id = run(race(two("a"), two("b")), {"after": call("after")})
    succeed(world, "a1", "b1")
    a2 = world.claim(next(one for one in world.ready() if one.task == "a2"))
    succeed(world, "b2")
    if begun:
        world.succeed(a2, "late")
        (undoing,) = world.ready()
        world.claim(undoing)
    world.command(id, "terminate")
    if begun:
        world.succeed(undoing)
    else:
        world.succeed(a2, "late")
    world.command(id, "retry")
    assert work(world) == [*([] if begun else ["undo-a2"]), "undo-a1", "after"]
    assert world.instance(id).status is Status.COMPLETED
    assert world.step(id, "/do/0/f").output == "b2"


def test_a_cancel_during_the_rollback_undoes_the_winner_too() -> None:
    world, id = run(race(two("a"), two("b")))
    succeed(world, "a1", "b1", "b2")
    world.command(id, "cancel")
    assert sorted(work(world)) == ["undo-a1", "undo-b1", "undo-b2"]
    assert world.instance(id).compensation is Compensation.COMPLETED
