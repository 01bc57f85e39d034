"""Reconcile: the core itself creates again what damage from outside has deleted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.model import Compensation, Status
from orchestrator.testing.world import World
from tests.support.documents import boom, call, doc

pytestmark = pytest.mark.usefixtures("decided")


def begun(*tasks: dict[str, Any], **more: Any) -> tuple[World, str]:
    world = World(doc(*tasks, **more))
    return world, world.start()


def reconcile(world: World, id: str, *steps: str) -> None:
    named = [world.step(id, name).id for name in steps]
    world.command(id, "reconcile", steps=named, by="doctor")


def facts(world: World, id: str) -> list[str]:
    return [fact.type for fact in world.facts(id)]


def test_a_call_without_an_attempt_gets_another_one() -> None:
    world, id = begun({"a": call("a")}, {"b": call("b")})
    world.rows[id].attempts.clear()
    assert world.ready() == []
    reconcile(world, id, "a")
    (again,) = world.ready()
    world.succeed(again, "A")
    world.succeed(world.ready()[0], "B")
    assert world.instance(id).status is Status.COMPLETED
    assert "workflow.mended" in facts(world, id)


def test_a_call_whose_last_attempt_is_over_gets_the_next_one() -> None:
    world, id = begun({"a": call("a")})
    (lost,) = world.ready()
    world.rows[id].attempts[lost.id] = replace(lost, state=type(lost.state).LOST)
    reconcile(world, id, "a")
    (again,) = world.ready()
    assert (again.number, again.task, again.step) == (2, lost.task, lost.step)


def test_what_has_moved_on_is_left_alone() -> None:
    world, id = begun({"a": call("a")})
    before = world.ready()
    reconcile(world, id, "a")
    assert world.ready() == before


def test_a_wait_without_a_timer_gets_one_that_is_never_early() -> None:
    world, id = begun({"w": {"wait": "PT10S"}})
    ((key, due),) = world.rows[id].timers.items()
    world.rows[id].timers.clear()
    world.pass_time(3)
    reconcile(world, id, "w")
    assert world.rows[id].timers[key] >= due
    world.pass_time(10)
    assert world.instance(id).status is Status.COMPLETED


def test_a_pause_before_a_retry_is_over() -> None:
    block = {"try": [{"a": call("a")}], "catch": {"retry": {"delay": {"hours": 1}}}}
    world, id = begun({"t": block})
    world.fail(world.ready()[0], {"type": "https://example.com/no", "status": 500})
    world.rows[id].timers.clear()
    reconcile(world, id, "t")
    assert [one.task for one in world.ready()] == ["a"]


def test_a_listener_is_there_again() -> None:
    world, id = begun({"l": {"listen": {"to": {"one": {"with": {"type": "paid"}}}}}})
    ((step, listener),) = world.rows[id].listeners.items()
    world.rows[id].listeners.clear()
    reconcile(world, id, "l")
    assert world.rows[id].listeners == {step: listener}


def test_a_list_continues_after_its_last_task() -> None:
    world, id = begun({"d": {"do": [{"a": call("a")}, {"b": call("b")}]}}, {"c": call("c")})
    world.succeed(world.ready()[0], "A")
    rows = world.rows[id]
    b = world.step(id, "b")
    rows.attempts = {key: one for key, one in rows.attempts.items() if one.step != b.id}
    del rows.steps[b.id]
    reconcile(world, id, "d")
    assert [one.task for one in world.ready()] == ["b"]


def test_an_instance_continues_after_its_last_task() -> None:
    world, id = begun({"a": call("a")}, {"b": call("b")})
    world.succeed(world.ready()[0], "A")
    rows = world.rows[id]
    b = world.step(id, "b")
    rows.attempts = {key: one for key, one in rows.attempts.items() if one.step != b.id}
    del rows.steps[b.id]
    reconcile(world, id)
    world.succeed(world.ready()[0], "B")
    assert world.instance(id).status is Status.COMPLETED


def test_a_compensation_continues() -> None:
    undo = {"compensate": call("undo-a")}
    world, id = begun({"a": {**call("a"), "metadata": undo}}, {"b": boom()})
    world.succeed(world.ready()[0], "A")
    rows = world.rows[id]
    assert world.instance(id).compensation is Compensation.RUNNING
    (undoing,) = [step for step in rows.steps.values() if step.compensates is not None]
    rows.attempts = {key: one for key, one in rows.attempts.items() if one.step != undoing.id}
    world.command(id, "reconcile", steps=[undoing.id])
    world.succeed(world.ready()[0], None)
    assert world.instance(id).compensation is Compensation.COMPLETED


@pytest.mark.parametrize("open", [0, 7])
def test_the_counter_of_places_is_set_right(open: int) -> None:
    world, id = begun({"a": call("a")})
    rows = world.rows[id]
    rows.instance = replace(rows.instance, open_places=open)
    world.command(id, "reconcile")
    assert world.instance(id).open_places == 1
