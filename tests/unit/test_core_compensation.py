"""Compensation: which steps, in which order, how often, and what is left when it fails."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrator.core.model import Compensation, Status
from orchestrator.testing.instance_store import EPOCH
from orchestrator.testing.world import Failure, World
from tests.support.documents import boom, call, doc

pytestmark = pytest.mark.usefixtures("decided")


def run(document: dict[str, Any], input: Any = None, **more: Any) -> tuple[World, str]:
    world = World(document, **more)
    return world, world.start(input=input)


def asked(world: World, **answers: Any) -> list[str]:
    """Work and let time pass until nothing happens; the tasks that were asked for, in order.
    An answer may be a value, or an error (a dict with a status) to fail with."""
    order: list[str] = []

    def answer(request: Any) -> Any:
        order.append(request["task"])
        value = answers.get(request["task"])
        if isinstance(value, dict) and "status" in value:
            raise Failure(value)
        return value

    world.run_out(answer)
    return order


FAIL = {"type": "https://example.com/fail", "status": 500}
BAD = {"bad": boom()}


def test_steps_are_undone_in_reverse_order_of_completion() -> None:
    document = doc(*({name: call(name, f"undo-{name}")} for name in "abc"), BAD)
    world, id = run(document)
    assert asked(world) == ["a", "b", "c", "undo-c", "undo-b", "undo-a"]
    instance = world.instance(id)
    assert (instance.status, instance.compensation) == (Status.FAULTED, Compensation.COMPLETED)
    assert instance.error["instance"] == "/do/3/bad"


def test_what_did_not_complete_is_not_undone() -> None:
    document = doc({"a": call("a", "undo-a")}, {"b": call("b", "undo-b")})
    world, _ = run(document)
    assert asked(world, b=FAIL) == ["a", "b", "undo-a"]


def test_without_anything_to_undo_nothing_is_compensated() -> None:
    world, id = run(doc({"a": call("a", "undo-a")}))
    assert asked(world, a=FAIL) == ["a"]
    assert world.instance(id).compensation is Compensation.NONE
    assert world.rows[id].instance.state == {"failed": 1}


def test_a_compensation_sees_what_it_undoes_and_why() -> None:
    body = call("pay")
    arguments = {
        "in": "${ $input }",
        "out": "${ $output }",
        "why": "${ $error.status }",
        "dot": "${ . }",
        "item": "${ $item }",
    }
    body["metadata"] = {"compensate": {"call": "refund", "with": arguments}}
    loop = {"for": {"in": "[7]"}, "do": [{"p": {**body, "input": {"from": ".x"}}}]}
    world, id = run(doc({"f": loop}, {"bad": boom(418)}), {"x": 1})
    world.succeed(world.ready()[0], {"charge": "c1"})
    assert world.call_of(world.ready()[0])["kwargs"] == {
        "in": 1,
        "out": {"charge": "c1"},
        "why": 418,
        "dot": {"charge": "c1"},
        "item": 7,
    }
    step = world.step_of(world.ready()[0])
    assert step.reference == "/do/0/f/do/0/p/metadata/compensate"
    assert step.compensates == world.step(id, "p").id


def test_all_completed_steps_count_at_any_depth() -> None:
    tried = {"try": [{"c": call("c", "undo-c")}, BAD], "catch": {}}
    branches = [{"x": call("x", "undo-x")}, {"y": {"do": [{"z": call("z", "undo-z")}]}}]
    loop = {"for": {"in": "[1, 2]"}, "do": [{"l": call("l", "undo-l")}]}
    document = doc(
        {"t": tried}, {"f": {"fork": {"branches": branches}}}, {"e": loop}, {"bad": boom()}
    )
    world, _ = run(document)
    forward = ["c", "x", "z", "l", "l"]
    assert asked(world) == [*forward, *(f"undo-{name}" for name in reversed(forward))]


def test_a_containers_own_compensation_replaces_those_inside() -> None:
    inner = [{"a": call("a", "undo-a")}, {"b": call("b", "undo-b")}]
    whole = {"do": inner, "metadata": {"compensate": call("undo-all")}}
    world, _ = run(doc({"w": whole}, {"c": call("c", "undo-c")}, BAD))
    assert asked(world) == ["a", "b", "c", "undo-c", "undo-all"]


def test_inside_a_container_that_did_not_complete_each_step_is_undone() -> None:
    inner = [{"a": call("a", "undo-a")}, {"b": call("b", "undo-b")}, BAD]
    whole = {"do": inner, "metadata": {"compensate": call("undo-all")}}
    world, _ = run(doc({"w": whole}))
    assert asked(world) == ["a", "b", "undo-b", "undo-a"]


def test_many_steps_inside_a_replaced_container_are_passed_over_in_portions() -> None:
    inner = [{"l": call("l", "undo-l")}]
    whole = {
        "for": {"in": "[range(120)]"},
        "do": inner,
        "metadata": {"compensate": call("undo-all")},
    }
    world, id = run(doc({"w": whole}, BAD))
    assert asked(world)[120:] == ["undo-all"]
    assert world.instance(id).compensation is Compensation.COMPLETED


def test_a_compensation_may_be_any_task() -> None:
    undoing = {"do": [{"one": call("u1")}, {"two": {"if": "$error.status == 500", **call("u2")}}]}
    document = doc({"a": {"call": "a", "metadata": {"compensate": undoing}}}, BAD)
    world, _ = run(document)
    assert asked(world) == ["a", "u1", "u2"]


def test_a_compensation_that_is_not_wanted_is_skipped() -> None:
    undoing = {"if": "$output.amount > 0", **call("refund")}
    document = doc({"a": {"call": "a", "metadata": {"compensate": undoing}}}, BAD)
    world, id = run(document)
    assert asked(world, a={"amount": 0}) == ["a"]
    assert world.instance(id).compensation is Compensation.COMPLETED


def test_hold_undoes_nothing() -> None:
    world, id = run(doc({"a": call("a", "undo-a")}, BAD, about={"metadata": {"onFault": "hold"}}))
    assert asked(world) == ["a"]
    assert world.instance(id).compensation is Compensation.NONE
    world.command(id, "compensate", reason="enough")
    assert asked(world) == ["undo-a"]
    assert world.instance(id).compensation is Compensation.COMPLETED
    assert world.instance(id).status is Status.FAULTED


# -- failures of compensations --------------------


def test_a_failing_compensation_is_retried_then_a_dead_letter_and_the_others_continue() -> None:
    document = doc({"a": call("a", "undo-a")}, {"b": call("b", "undo-b")}, BAD)
    world, id = run(document)
    order = asked(world, **{"undo-b": FAIL})
    assert order == ["a", "b", *["undo-b"] * 5, "undo-a"]
    assert world.now == EPOCH + timedelta(seconds=1 + 2 + 4 + 8)
    assert world.instance(id).compensation is Compensation.FAILED
    (letter,) = world.rows[id].dead_letters
    assert letter["reason"] == "compensation"
    assert letter["undoes"] == world.step(id, "/do/1/b").id
    assert letter["error"]["type"] == FAIL["type"]
    steps = world.steps(id, "/do/1/b/metadata/compensate")
    assert len(steps) == 1
    assert steps[0].id == letter["step"]


def test_a_compensation_may_have_a_policy_of_its_own() -> None:
    undoing = {
        **call("undo"),
        "metadata": {"retry": {"delay": "PT7S", "limit": {"attempt": {"count": 1}}}},
    }
    world, _ = run(doc({"a": {"call": "a", "metadata": {"compensate": undoing}}}, BAD))
    assert asked(world, undo=FAIL) == ["a", "undo", "undo"]
    assert world.now == EPOCH + timedelta(seconds=7)


def test_the_key_of_a_compensation_is_the_same_whenever_it_is_tried() -> None:
    inner = {"for": {"in": "[1, 2]"}, "do": [{"u": call("undo")}]}
    world, _ = run(
        doc({"a": {"call": "a", "metadata": {"compensate": {"do": [{"f": inner}]}}}}, BAD)
    )
    world.succeed(world.ready()[0])
    one = world.ready()[0]
    world.succeed(one)
    two = world.ready()[0]
    world.fail(two)
    world.fire()
    again = world.ready()[0]
    assert again.id != two.id
    assert world.call_of(again)["key"] == world.call_of(two)["key"]
    assert world.call_of(again)["key"] != world.call_of(one)["key"]


def test_a_dead_letter_can_be_retried() -> None:
    world, id = run(doc({"a": call("a", "undo-a")}, {"b": call("b", "undo-b")}, BAD))
    asked(world, **{"undo-a": FAIL, "undo-b": FAIL})
    one, two = world.rows[id].dead_letters
    first_key = world.rows[id].steps[one["step"]].call["key"]
    world.command(id, "compensation", step=one["step"], action="retry", by="me")
    assert world.call_of(world.ready()[0])["key"] == first_key
    assert asked(world) == ["undo-b"]
    assert world.instance(id).compensation is Compensation.FAILED
    world.command(id, "compensation", step=two["step"], action="resolve", reason="by hand")
    assert world.instance(id).compensation is Compensation.COMPLETED
    assert world.rows[id].steps[two["step"]].status is Status.COMPLETED
    world.command(id, "compensation", step=two["step"], action="retry")
    assert world.instance(id).compensation is Compensation.COMPLETED
    assert world.ready() == []


def test_dead_letters_that_are_retried_together_run_one_after_the_other() -> None:
    world, id = run(doc({"a": call("a", "undo-a")}, {"b": call("b", "undo-b")}, BAD))
    asked(world, **{"undo-a": FAIL, "undo-b": FAIL})
    ignored = len(world.ignored)
    for letter in world.rows[id].dead_letters:
        world.command(id, "compensation", step=letter["step"], action="retry", by="me")
    assert len(world.ready()) == 1, "one step is undone at a time"
    assert asked(world) == ["undo-b", "undo-a"]
    assert world.instance(id).compensation is Compensation.COMPLETED
    assert len(world.ignored) == ignored, "none is forgotten"
    assert [fact.data["by"] for fact in world.facts(id, "compensation.retried")] == ["me", "me"]


def test_an_expression_that_fails_in_a_compensation_is_a_dead_letter_at_once() -> None:
    undoing = {"call": "undo", "with": {"x": "${ error }"}}
    world, id = run(doc({"a": {"call": "a", "metadata": {"compensate": undoing}}}, BAD))
    assert asked(world) == ["a"]
    assert len(world.rows[id].dead_letters) == 1


# -- what is in flight --------------------


def beside(**more: Any) -> dict[str, Any]:
    branches = [{"a": call("a", "undo-a", **more)}, {"b": call("b")}]
    return doc({"z": call("z", "undo-z")}, {"f": {"fork": {"branches": branches}}})


def test_compensation_waits_for_what_is_in_flight_and_undoes_it_too() -> None:
    world, id = run(beside())
    world.succeed(world.ready()[0])
    a, b = world.ready()
    world.claim(a)
    world.fail(b)
    assert world.instance(id).status is Status.FAULTED
    assert world.instance(id).compensation is Compensation.RUNNING
    assert world.ready() == []
    world.succeed(a, "late")
    assert asked(world) == ["undo-a", "undo-z"]


@pytest.mark.parametrize("known", [True, False])
def test_an_unknown_outcome_is_undone_only_where_the_document_says_so(known: bool) -> None:
    document = beside(onLost="fault")
    if known:
        branch = document["do"][1]["f"]["fork"]["branches"][0]["a"]
        branch["metadata"]["compensate"]["onUnknown"] = True
    world, id = run(document)
    world.succeed(world.ready()[0])
    a, b = world.ready()
    world.claim(a)
    world.fail(b)
    world.lose(a)
    assert world.step(id, "a").outcome_unknown
    assert asked(world) == (["undo-a", "undo-z"] if known else ["undo-z"])


def test_cancel_undoes_and_terminate_does_not() -> None:
    document = doc({"a": call("a", "undo-a")}, {"w": {"wait": "PT1H"}})
    world, id = run(document)
    world.succeed(world.ready()[0])
    world.command(id, "cancel", reason="changed my mind", by="me")
    assert world.instance(id).status is Status.CANCELLED
    assert world.call_of(world.ready()[0])["task"] == "undo-a"
    assert asked(world) == ["undo-a"]
    assert world.facts(id, "workflow.cancelled")[0].data == {
        "reason": "changed my mind",
        "by": "me",
    }
    world, id = run(document)
    world.succeed(world.ready()[0])
    world.command(id, "terminate")
    assert world.instance(id).status is Status.CANCELLED
    assert world.instance(id).compensation is Compensation.NONE
    assert asked(world) == []


def test_a_cancel_while_a_charge_runs_undoes_the_charge() -> None:
    world, id = run(doc({"a": call("charge", "refund")}))
    attempt = world.claim(world.ready()[0])
    world.command(id, "cancel")
    assert world.ready() == []
    world.succeed(attempt, {"id": 1})
    assert asked(world) == ["refund"]
    assert world.instance(id).compensation is Compensation.COMPLETED


def test_a_rollback_that_has_begun_is_finished_before_the_cancel_undoes_the_rest() -> None:
    block = {
        "try": [{"a": call("a", "undo-a")}, BAD],
        "catch": {"do": [{"h": call("h")}]},
        "metadata": {"rollback": True},
    }
    world, id = run(doc({"z": call("z", "undo-z")}, {"t": block}))
    world.succeed(world.ready()[0])
    world.succeed(world.ready()[0])
    undoing = world.claim(world.ready()[0])
    assert world.call_of(undoing)["task"] == "undo-a"
    world.command(id, "cancel")
    assert world.ready() == []
    world.succeed(undoing)
    assert asked(world) == ["undo-z"]
    assert world.instance(id).compensation is Compensation.COMPLETED


def test_terminating_a_compensation_stops_it() -> None:
    world, id = run(doc({"a": call("a", "undo-a")}, {"b": call("b", "undo-b")}, BAD))
    world.succeed(world.ready()[0])
    world.succeed(world.ready()[0])
    world.command(id, "terminate")
    assert world.instance(id).compensation is Compensation.FAILED
    assert asked(world) == ["undo-b"]


# -- completed instances --------------------


def test_a_completed_instance_can_be_undone_back_to_a_step_and_then_whole() -> None:
    world, id = run(doc(*({name: call(name, f"undo-{name}")} for name in "abc")))
    asked(world)
    world.command(id, "compensate", step=world.step(id, "a").id)
    assert asked(world) == ["undo-c", "undo-b"]
    assert world.instance(id).compensation is Compensation.COMPLETED
    assert world.instance(id).status is Status.COMPLETED
    world.command(id, "compensate")
    assert asked(world) == ["undo-a"]
    world.command(id, "compensate")
    assert asked(world) == []


# -- sub-workflows ---------------------------------------------------------------------------------


def parent(*tasks: dict[str, Any]) -> dict[str, Any]:
    return doc(*tasks, about={"name": "parent"})


def sub(name: str = "flow", **more: Any) -> dict[str, Any]:
    return {
        "s": {"run": {"workflow": {"namespace": "test", "name": name, "version": "1.0.0"}, **more}}
    }


def test_a_sub_workflow_is_undone_through_its_own_instance() -> None:
    child = doc({"a": call("a", "undo-a")}, {"b": call("b", "undo-b")})
    world = World(child, parent({"z": call("z", "undo-z")}, sub(), {"y": call("y", "undo-y")}, BAD))
    id = world.start("test/parent")
    assert asked(world) == ["z", "a", "b", "y", "undo-y", "undo-b", "undo-a", "undo-z"]
    assert world.instance(id).compensation is Compensation.COMPLETED
    other = next(rows.instance for key, rows in world.rows.items() if key != id)
    assert (other.status, other.compensation) == (Status.COMPLETED, Compensation.COMPLETED)


def test_a_sub_workflow_that_faults_undoes_itself_before_its_parent_hears() -> None:
    child = doc({"a": call("a", "undo-a")}, BAD)
    world = World(child, parent({"z": call("z", "undo-z")}, sub()))
    id = world.start("test/parent")
    assert asked(world) == ["z", "a", "undo-a", "undo-z"]
    assert world.instance(id).error["instance"] == "/do/1/s"


def test_a_withdrawn_sub_workflow_is_cancelled_and_awaited() -> None:
    child = doc({"a": call("a", "undo-a")}, {"b": call("b")})
    branches = [sub(), {"x": call("x")}]
    world = World(
        child, parent({"z": call("z", "undo-z")}, {"f": {"fork": {"branches": branches}}})
    )
    id = world.start("test/parent")
    world.succeed(world.ready()[0])
    a, x = sorted(world.ready(), key=lambda one: one.task)
    world.succeed(a)
    world.fail(x)
    assert world.instance(id).compensation is Compensation.RUNNING
    assert asked(world) == ["undo-a", "undo-z"]
    assert {rows.instance.status for rows in world.rows.values()} == {
        Status.FAULTED,
        Status.CANCELLED,
    }


def test_a_sub_workflow_whose_undoing_fails_is_a_dead_letter_of_its_parent() -> None:
    world = World(doc({"a": call("a", "undo-a")}), parent(sub(), BAD))
    id = world.start("test/parent")
    asked(world, **{"undo-a": FAIL})
    assert world.instance(id).compensation is Compensation.FAILED
    assert len(world.rows[id].dead_letters) == 1


def test_a_failed_undo_is_not_retried_beside_another_after_a_terminate() -> None:
    """Only one step is undone at a time, also when the process was aborted."""
    document = doc({"a": call("a", "undo-a")}, {"b": call("b", "undo-b")}, {"c": call("c")})
    world, id = run(document)
    world.succeed(world.ready()[0])
    world.succeed(world.ready()[0])
    world.fail(world.ready()[0])
    while not world.rows[id].dead_letters:
        if world.ready():
            world.fail(world.ready()[0])
        else:
            world.fire()
    undoing = world.claim(world.ready()[0])
    assert world.call_of(undoing)["task"] == "undo-a"
    world.command(id, "terminate")
    (letter,) = world.rows[id].dead_letters
    world.command(id, "compensation", step=letter["step"], action="retry")
    assert world.ready() == [], "undo-a is still running"
    world.succeed(undoing)
    assert [world.call_of(one)["task"] for one in world.ready()] == ["undo-b"]
    assert world.instance(id).compensation is Compensation.RUNNING
