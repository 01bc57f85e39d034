"""What follows what: sequences, directives, conditions, loops, bounds."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core import Bounds
from orchestrator.core.model import Status
from orchestrator.testing.world import World
from tests.support.documents import boom, call, doc


def run(document: dict[str, Any], input: Any = None, **more: Any) -> tuple[World, str]:
    world = World(document, **more)
    return world, world.start(input=input)


def put(key: str, **more: Any) -> dict[str, Any]:
    """A task that notes its name in an array."""
    return {key: {"set": "${ (. // []) + [$task.name] }", **more}}


def output(document: dict[str, Any], input: Any = None) -> Any:
    world, id = run(document, input)
    assert world.instance(id).status is Status.COMPLETED, world.instance(id).error
    return world.instance(id).output


def test_tasks_follow_each_other() -> None:
    assert output(doc(put("a"), put("b"), put("c"))) == ["a", "b", "c"]


def test_a_workflow_without_tasks_passes_its_input_on() -> None:
    assert output(doc(), {"x": 1}) == {"x": 1}


def test_then_goes_to_a_named_task() -> None:
    assert output(doc(put("a", then="c"), put("b"), put("c"))) == ["a", "c"]


def test_exit_leaves_the_list_only() -> None:
    inner = {"in": {"do": [put("b", then="exit"), put("c")]}}
    assert output(doc(put("a"), inner, put("d"))) == ["a", "b", "d"]


def test_end_leaves_the_workflow_from_any_depth() -> None:
    inner = {"in": {"do": [{"deep": {"do": [put("b", then="end"), put("c")]}}, put("d")]}}
    document = doc(put("a"), inner, put("e"), output={"as": "{ all: . }"})
    assert output(document) == {"all": ["a", "b"]}


def test_end_withdraws_what_runs_beside() -> None:
    fork = {
        "f": {"fork": {"branches": [{"a": call("x")}, {"b": {"set": {"y": 1}, "then": "end"}}]}}
    }
    world, id = run(doc(fork))
    assert world.instance(id).output == {"y": 1}
    assert world.ready() == []
    assert world.step(id, "a").status is Status.CANCELLED


def test_the_directive_of_a_container_is_followed() -> None:
    inner = {"in": {"do": [put("b")], "then": "d"}}
    assert output(doc(put("a"), inner, put("c"), put("d"))) == ["a", "b", "d"]


def test_a_skipped_task_passes_its_input_on_and_its_then_is_ignored() -> None:
    assert output(doc(put("a"), put("b", **{"if": "false"}, then="end"), put("c"))) == ["a", "c"]


def test_a_skipped_task_makes_no_step() -> None:
    world, id = run(doc(put("a", **{"if": "${ .go }"}), put("b")), {"go": None})
    assert [step.reference for step in world.steps(id)] == ["/do/1/b"]
    assert [fact.data for fact in world.facts(id, "task.skipped")] == [{"task": "/do/0/a"}]


def test_a_list_whose_tasks_are_all_skipped_ends_with_its_input() -> None:
    inner = {"in": {"do": [put("a", **{"if": "false"}), put("b", **{"if": "false"})]}}
    assert output(doc(inner), ["x"]) == ["x"]


def test_a_switch_without_a_match_takes_its_own_then() -> None:
    cases = {"switch": [{"no": {"when": "false", "then": "a"}}], "then": "b"}
    assert output(doc({"s": cases}, put("a"), put("b"))) == ["b"]


def test_the_default_of_a_switch_may_be_anywhere() -> None:
    cases = {"switch": [{"other": {"then": "b"}}, {"yes": {"when": ".[0] == 1", "then": "a"}}]}
    document = doc({"s": cases}, put("a", then="end"), put("b"))
    assert output(document, [1]) == [1, "a"]
    assert output(document, [2]) == [2, "b"]


def test_an_unknown_target_faults_where_it_is_named() -> None:
    world, id = run(doc(put("a", then="nowhere")))
    error = world.instance(id).error
    assert error["type"].endswith("/configuration")
    assert error["instance"] == "/do/0/a"


def loop(turns: int) -> dict[str, Any]:
    test = {"switch": [{"more": {"when": f".n < {turns}", "then": "inc"}}]}
    return doc({"inc": {"set": {"n": "${ .n + 1 }"}}}, {"test": test})


def test_a_loop_backward_turns_until_its_condition() -> None:
    assert output(loop(7), {"n": 0}) == {"n": 7}


def test_a_long_loop_forgets_the_steps_of_later_turns() -> None:
    world, id = run(loop(5000), {"n": 0})
    assert world.instance(id).output == {"n": 5000}
    assert len(world.steps(id)) < 2 * 1000 + 5
    assert max(len(change.created) for change in world.rows[id].history) <= 101


def test_steps_that_may_have_to_be_undone_are_never_forgotten() -> None:
    document = loop(20)
    document["do"][0]["inc"]["metadata"] = {"compensate": {"call": "undo"}}
    world, id = run(document, {"n": 0}, limits=Bounds(kept_turns=3))
    assert len(world.steps(id, "/do/0/inc")) == 20
    assert len(world.steps(id, "/do/1/test")) == 3


def test_an_endless_loop_faults_at_its_bound() -> None:
    document = doc({"a": {"set": {"x": 1}}}, {"b": {"set": {"x": 2}, "then": "a"}})
    world, id = run(document, limits=Bounds(turns=500))
    assert world.instance(id).status is Status.FAULTED
    assert "looped 500 times" in world.instance(id).error["detail"]


def test_a_loop_that_leaves_the_process_may_turn_for_ever() -> None:
    document = doc({"a": call("x")}, {"b": {"set": {"x": 2}, "then": "a"}})
    world, id = run(document, limits=Bounds(turns=5))
    for _ in range(20):
        world.succeed(world.ready()[0])
    assert world.instance(id).status is Status.RUNNING


def test_an_instance_has_a_bound_of_steps() -> None:
    world, id = run(loop(500), {"n": 0}, limits=Bounds(last_number=100))
    assert world.instance(id).status is Status.FAULTED
    assert world.instance(id).last_number <= 103


@pytest.mark.parametrize("tasks", [1, 2, 3, 10, 1000])
def test_where_a_transition_breaks_off_makes_no_difference(tasks: int) -> None:
    inner = {"in": {"do": [put("b"), {"f": {"fork": {"branches": [put("x"), put("y")]}}}]}}
    each = {
        "e": {"for": {"in": "[1, 2]"}, "do": [put("c"), {"t": {"try": [put("d")], "catch": {}}}]}
    }
    document = doc(
        put("a"), inner, each, {"t": {"try": [{"r": boom()}], "catch": {"do": [put("h")]}}}
    )
    world, id = run(document, limits=Bounds(tasks=tasks))
    expected = [["a", "b", "x"], ["a", "b", "y"], "c", "d", "c", "d", "h"]
    assert world.instance(id).output == expected
    assert world.instance(id).open_places == 0


def test_containers_nest_fifty_deep() -> None:
    body: dict[str, Any] = {"set": {"deep": True}}
    for _ in range(50):
        body = {"do": [{"in": body}]}
    assert output(doc({"top": body})) == {"deep": True}


def test_a_sequence_changes_two_rows_a_transition_however_deep_it_is() -> None:
    body: dict[str, Any] = {"do": [{f"t{i}": call("x")} for i in range(4)]}
    for _ in range(10):
        body = {"do": [{"in": body}]}
    world, id = run(doc({"top": body}))
    world.succeed(world.ready()[0])
    last = world.rows[id].history[-1]
    assert (len(last.changed), len(last.created)) == (1, 1)
    assert world.needs == {}
