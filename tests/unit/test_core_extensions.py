"""Extensions around tasks, and sub-workflows."""

from __future__ import annotations

from typing import Any

from orchestrator.core import Bounds
from orchestrator.core.model import ROOT, Status
from orchestrator.testing.world import World
from tests.support.documents import boom, call, doc


def run(document: dict[str, Any], input: Any = None, **more: Any) -> tuple[World, str]:
    world = World(document, **more)
    return world, world.start(input=input)


def extended(*tasks: dict[str, Any], **extension: Any) -> dict[str, Any]:
    extension.setdefault("extend", "all")
    return doc(*tasks, use={"extensions": [{"e": extension}]})


def test_tasks_before_and_after() -> None:
    document = extended(
        {"t": {"set": {"x": "${ .n }"}, "output": {"as": ".x"}}},
        before=[{"b": {"set": "dropped"}}],
        after=[{"a": {"set": {"got": "${ . }"}}}],
    )
    world, id = run(document, {"n": 1})
    assert world.instance(id).output == {"got": 1}
    assert [step.reference for step in world.steps(id)] == [
        "/do/0/t",
        "/use/extensions/0/e/before/0/b",
        "/do/0/t",
        "/use/extensions/0/e/after/0/a",
    ]


def test_exit_skips_the_task_and_the_flow_continues() -> None:
    document = extended(
        {"t": {**call("never"), "then": "y"}},
        {"x": {"if": "false", "set": 1}},
        {"y": {"if": "false", "set": 1}},
        extend="call",
        before=[{"b": {"set": {"mocked": True}, "then": "exit"}}],
    )
    world, id = run(document)
    assert world.instance(id).output == {"mocked": True}


def test_only_tasks_of_that_kind_under_that_condition() -> None:
    document = extended(
        {"a": {"set": {"n": 1}}},
        {"b": {"call": "x", "with": {"n": 1}}},
        {"c": {"call": "y", "with": {"n": 2}}},
        extend="call",
        when='$task.call == "x" and $task.definition.with.n == 1',
        before=[{"log": {"call": "log", "with": {"of": "${ $task.reference }"}}}],
    )
    world, _ = run(document)
    order = []

    def answer(request: Any) -> Any:
        order.append((request["task"], request["kwargs"].get("of")))

    world.work(answer)
    assert order == [("log", "/do/1/b"), ("x", None), ("y", None)]


def test_several_extensions_in_their_order() -> None:
    def note(name: str) -> list[dict[str, Any]]:
        return [{name: {"set": "${ . + [$n] }".replace("$n", f'"{name}"')}}]

    extensions = [
        {"one": {"extend": "set", "before": note("b1"), "after": note("a1")}},
        {"two": {"extend": "all", "before": note("b2"), "after": note("a2")}},
    ]
    world, id = run(doc({"t": {"set": "${ . + [0] }"}}, use={"extensions": extensions}), [])
    assert world.instance(id).output == [0, "a1", "a2"]
    assert world.order(id) == ["b1", "b2", "t", "a1", "a2", "t"]


def test_a_skipped_task_is_not_extended() -> None:
    world, id = run(extended({"t": {"if": "false", "set": 1}}, before=[{"b": {"set": 2}}]), 0)
    assert world.steps(id) == []


def test_an_error_of_the_task_is_the_tasks_and_can_be_caught_around_it() -> None:
    block = {"try": [{"r": boom()}], "catch": {"do": [{"h": {"set": "${ $error.instance }"}}]}}
    world, id = run(extended({"t": block}, extend="raise", before=[{"b": {"set": 1}}]))
    assert world.instance(id).output == "/do/0/t/try/0/r"


def test_extended_steps_are_undone_once() -> None:
    world, _ = run(extended({"a": call("a", "undo-a")}, {"b": boom()}, before=[{"l": {"set": 1}}]))
    order = []
    world.work(lambda request: order.append(request["task"]))
    assert order == ["a", "undo-a"]


def test_extended_tasks_in_a_loop_side_by_side() -> None:
    loop = {
        "for": {"in": "[1, 2, 3]"},
        "do": [{"s": {"set": "${ $item }"}}],
        "metadata": {"concurrency": 2},
    }
    document = extended({"l": loop}, extend="set", after=[{"a": {"set": "${ . * $item }"}}])
    world, id = run(document)
    assert world.instance(id).output == [1, 4, 9]


# -- sub-workflows --------------------


def sub(**more: Any) -> dict[str, Any]:
    about = {"namespace": "test", "name": "child", "version": "1.0.0", **more.pop("about", {})}
    return {"s": {"run": {"workflow": about, **more}}}


def child(*tasks: dict[str, Any]) -> dict[str, Any]:
    return doc(*tasks, about={"name": "child"})


def test_a_sub_workflow_gives_its_output() -> None:
    world = World(doc(sub(about={"input": {"n": "${ .x }"}})), child({"a": {"set": "${ .n * 2 }"}}))
    id = world.start("test/flow", {"x": 4})
    assert world.instance(id).output == 8
    other = next(rows.instance for key, rows in world.rows.items() if key != id)
    assert (other.parent_instance, other.parent_step) == (id, 1)


def test_without_an_input_it_gets_its_parents() -> None:
    world = World(doc(sub()), child({"a": {"set": "${ [.] }"}}))
    assert world.instance(world.start("test/flow", 3)).output == [3]


def test_latest_is_the_newest_version() -> None:
    newer = doc({"a": {"set": "new"}}, about={"name": "child", "version": "2.0.0"})
    world = World(doc(sub(about={"version": "latest"})), child({"a": {"set": "old"}}), newer)
    assert world.instance(world.start("test/flow")).output == "new"


def test_a_sub_workflow_that_is_not_awaited() -> None:
    world = World(doc(sub(**{"await": False})), child({"a": call("x")}))
    id = world.start("test/flow", 3)
    assert world.instance(id).output == 3
    (other,) = [rows.instance for key, rows in world.rows.items() if key != id]
    assert (other.status, other.parent_step) == (Status.RUNNING, None)


def test_one_that_returns_nothing() -> None:
    world = World(doc(sub(**{"return": "none"})), child({"a": {"set": 1}}))
    assert world.instance(world.start("test/flow", 3)).output is None


def test_its_error_is_its_parents_at_the_place_that_ran_it() -> None:
    world = World(doc(sub()), child({"a": boom(418)}))
    error = world.instance(world.start("test/flow")).error
    assert (error["status"], error["instance"]) == (418, "/do/0/s")


def test_one_that_is_cancelled_is_a_fault() -> None:
    world = World(doc(sub()), child({"a": call("x")}))
    id = world.start("test/flow")
    other = next(key for key in world.rows if key != id)
    world.command(other, "cancel")
    assert "cancelled" in world.instance(id).error["detail"]


def test_one_that_does_not_exist_is_a_fault() -> None:
    error = World(doc(sub()))
    id = error.start("test/flow")
    assert error.instance(id).error["status"] == 404


ELSEWHERE = sub(about={"namespace": "${ .of }", "name": "child"})


def test_one_of_another_namespace_is_a_fault_unless_that_is_allowed() -> None:
    stranger = doc({"a": {"set": {"it": "ran"}}}, about={"namespace": "other", "name": "child"})
    world = World(doc(ELSEWHERE), stranger)
    id = world.start("test/flow", {"of": "other"})
    assert world.instance(id).error["type"].endswith("/configuration")
    assert world.instance(id).error["status"] == 404
    assert "another" in world.instance(id).error["detail"]
    assert list(world.rows) == [id]
    world = World(doc(ELSEWHERE), stranger, limits=Bounds(other_namespaces=True))
    assert world.instance(world.start("test/flow", {"of": "other"})).output == {"it": "ran"}


def test_nesting_has_a_bound() -> None:
    endless = doc(sub(about={"name": "flow"}))
    world = World(endless, limits=Bounds(depth=3))
    id = world.start("test/flow")
    assert len(world.rows) == 4
    assert world.instance(id).status is Status.FAULTED
    assert world.instance(id).error["instance"] == "/do/0/s"
    assert "nest deeper than 3" in world.instance(id).error["detail"]


def test_only_instances_that_wait_for_each_other_are_nested() -> None:
    """A workflow that starts its successor without awaiting it may do so for ever."""
    less = {"name": "flow", "input": {"n": "${ .n - 1 }"}}
    again = {"if": "${ .n > 0 }", **sub(about=less, **{"await": False})["s"]}
    world = World(doc({"s": again}, about={"name": "flow"}), limits=Bounds(depth=3))
    world.start("test/flow", {"n": 30})
    assert len(world.rows) == 31
    assert {rows.instance.status for rows in world.rows.values()} == {Status.COMPLETED}


def test_a_sub_workflow_that_is_not_awaited_may_await_to_the_same_depth() -> None:
    less = {"name": "flow", "input": {"n": "${ .n - 1 }"}}
    deep = doc({"s": {"if": "${ .n > 0 }", **sub(about=less)["s"]}})
    begun = {"name": "flow", "input": {"n": 3}}
    first = doc(sub(about=begun, **{"await": False}), about={"name": "first"})
    outer = doc(sub(about={"name": "first"}), about={"name": "outer"})
    world = World(outer, first, deep, limits=Bounds(depth=3))
    world.start("test/outer")
    assert {rows.instance.status for rows in world.rows.values()} == {Status.COMPLETED}


def test_the_child_may_be_skipped_by_a_person() -> None:
    world = World(doc(sub()), child({"a": call("x")}))
    id = world.start("test/flow")
    assert world.steps(id)[0].parent == ROOT
    world.command(id, "skip", step=1, output="given")
    assert world.instance(id).output == "given"
    assert world.ready() == []


def test_members_of_the_definition_make_no_condition_fail() -> None:
    """An official example asks `startswith` of an endpoint that is an object."""
    document = extended(
        {"t": {"set": {"x": 1}}},
        extend="set",
        when='($task.set != null and ($task.set | startswith("x"))) or $input == 1',
        before=[{"b": {"set": "mocked", "then": "exit"}}],
    )
    world, id = run(document)
    assert world.instance(id).output == {"x": 1}


def test_a_condition_that_fails_by_itself_is_a_fault() -> None:
    document = extended({"t": {"set": 1}}, when=".x.y.z", before=[{"b": {"set": 2}}])
    world, id = run(document, {"x": "text"})
    assert world.instance(id).error["type"].endswith("/expression")


# -- recursion --------------------


def test_a_function_calls_itself_until_its_condition_ends_it() -> None:
    again = {"if": ".n > 0", "call": "down", "with": {"n": "${ .n - 1 }"}}
    use = {"functions": {"down": {"do": [{"again": again}]}}}
    world = World(doc({"t": {"call": "down", "with": {"n": "${ .n }"}}}, use=use))
    ended = world.instance(world.start(input={"n": 50}))
    assert (ended.status, ended.output) == (Status.COMPLETED, {"n": 0})
    ended = world.instance(world.start(input={"n": 5000}))
    assert ended.status is Status.FAULTED
    assert ended.error["detail"] == "functions call one another more than 100 levels deep"


def test_a_workflow_runs_itself_until_its_condition_ends_it() -> None:
    target = {"namespace": "test", "name": "flow", "version": "1.0.0"}
    again = {"if": ".left > 0", "run": {"workflow": {**target, "input": {"left": "${ .left }"}}}}
    world = World(doc({"page": {"set": {"left": "${ .left - 1 }"}}}, {"next": again}))
    id = world.start(input={"left": 5})
    assert world.instance(id).output == {"left": 0}
    assert len(world.rows) == 5
