"""Corner cases: rare situations that must work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core import Bounds
from orchestrator.core.model import Compensation, Status, StimulusKind
from orchestrator.testing.world import Failure, World
from tests.support.documents import boom, call, doc

pytestmark = pytest.mark.usefixtures("decided")

FAIL = {"type": "https://example.com/fail", "status": 500}


def run(document: dict[str, Any], input: Any = None, **more: Any) -> tuple[World, str]:
    world = World(document, **more)
    return world, world.start(input=input)


def drive(world: World, *failing: str) -> list[str]:
    order: list[str] = []

    def answer(request: Any) -> Any:
        order.append(request["task"])
        if request["task"] in failing:
            raise Failure(FAIL)
        return request["task"]

    world.run_out(answer)
    return order


def fork(*branches: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"fork": {"branches": list(branches), **more}}


# -- `end` --------------------


def test_end_within_a_compensation_ends_the_compensation_only() -> None:
    inner = [{"u": {**call("u"), "then": "end"}}, {"never": call("never")}]
    undoing = {"do": [{"f": fork({"d": {"do": inner}}, {"w": {"wait": "PT1H"}})}]}
    document = doc(
        {"z": call("z", "undo-z")},
        {"a": {"call": "a", "metadata": {"compensate": undoing}}},
        {"bad": boom()},
    )
    world, id = run(document)
    assert drive(world) == ["z", "a", "u", "undo-z"]
    assert world.instance(id).compensation is Compensation.COMPLETED


def test_end_closes_the_listener_around_it() -> None:
    each = {"do": [{"s": {"set": "${ $item }", "then": "end"}}]}
    listen = {"listen": {"to": {"any": [], "until": "false"}}, "foreach": each}
    world, id = run(doc({"l": listen}, {"never": call("never")}))
    world.publish(id, {"type": "t", "data": 5})
    assert world.instance(id).output == 5
    assert world.rows[id].listeners == {}


def test_a_workflows_output_that_is_not_valid_faults_it_also_at_its_end() -> None:
    schema = {"schema": {"document": {"type": "string"}}}
    branches = ({"a": call("a")}, {"e": {"set": {"n": 1}, "then": "end"}})
    world, id = run(doc({"f": fork(*branches)}, output=schema))
    assert world.instance(id).error["type"].endswith("/validation")
    assert world.ready() == []


# -- ends of instances --------------------


def parent_of(*tasks: dict[str, Any]) -> tuple[World, str]:
    """A parent that handles its child's error, and the child's tasks."""
    about = {"namespace": "test", "name": "child", "version": "1.0.0"}
    block = {"try": [{"s": {"run": {"workflow": about}}}], "catch": {"do": [{"h": call("h")}]}}
    world = World(doc({"t": block}), doc(*tasks, about={"name": "child"}))
    return world, world.start("test/flow")


def test_a_fault_is_reported_to_the_parent_when_all_attempts_have_ended() -> None:
    world, _ = parent_of({"f": fork({"a": call("a")}, {"b": call("b")})})
    a, b = world.ready()
    world.claim(a)
    world.fail(b)
    assert world.ready() == []
    world.succeed(a)
    assert drive(world) == ["h"]


def test_a_terminate_spares_the_parent_the_wait() -> None:
    world, id = parent_of({"f": fork({"a": call("a")}, {"b": call("b")})})
    a, b = world.ready()
    world.claim(a)
    world.fail(b)
    child = next(key for key in world.rows if key != id)
    world.command(child, "terminate", by="me")
    assert drive(world) == ["h"]
    world.succeed(a)
    assert world.instance(child).open_places == 0


def test_a_workflows_timeout_that_cannot_be_computed_faults_it() -> None:
    world, id = run(doc({"a": call("a")}, timeout={"after": "${ .nothing }"}), {})
    assert world.instance(id).error["type"].endswith("/validation")


# -- continuing after an interruption --------------------


def test_a_retry_of_a_container_that_timed_out_continues_inside_it() -> None:
    inner = [{"a": call("a")}, {"b": call("b")}]
    world, id = run(doc({"d": {"do": inner, "timeout": {"after": "PT5S"}}}))
    world.succeed(world.ready()[0])
    world.fire()
    assert world.instance(id).error["instance"] == "/do/0/d"
    world.command(id, "retry")
    assert drive(world) == ["b"]
    assert world.instance(id).status is Status.COMPLETED


@pytest.mark.parametrize("kind", ["do", "for", "switch", "none"])
def test_a_retry_continues_between_two_tasks(kind: str) -> None:
    """The end came while an agenda stimulus was still in the inbox."""
    first = {
        "do": {"x": {"set": 1}},
        "for": {"x": {"for": {"in": "[1, 2]"}, "do": [{"y": {"set": 1}}]}},
        "switch": {"x": {"switch": [{"to": {"then": "z"}}]}},
        "none": {"x": {"do": [{"y": call("y")}]}},
    }[kind]
    branches = ({"a": {"do": [first, {"z": call("z")}]}}, {"b": call("b")})
    world, id = run(doc({"f": fork(*branches)}), limits=Bounds(tasks=3))
    world.command(id, "suspend")
    world.command(id, "cancel")
    world.command(id, "retry")
    assert sorted(drive(world)) in (["b", "z"], ["b", "y", "z"])
    assert world.instance(id).status is Status.COMPLETED


@pytest.mark.parametrize("compete", [True, False])
def test_branches_not_yet_begun_or_counted_are_continued(compete: bool) -> None:
    branches = ({"a": {"set": 1}}, {"b": {"if": "false", "set": 2}}, {"c": call("c")})
    for notes in range(1, 6):
        world = World(doc({"f": fork(*branches, compete=compete)}), limits=Bounds(tasks=1))
        id = world.start(run=False)
        for _ in range(notes):
            rows = world.rows[id]
            if rows.inbox:
                world.apply(id, rows.inbox.pop(0))
        if world.instance(id).status is Status.COMPLETED:
            continue
        rows.inbox.clear()
        world.command(id, "terminate")
        world.command(id, "retry")
        drive(world)
        assert world.instance(id).status is Status.COMPLETED, notes
        expected = [1, None, "c"] if not compete else (1, None, "c")
        output = world.instance(id).output
        assert output in expected if compete else output == expected


def test_a_parallel_loop_is_recounted() -> None:
    tasks = [{"x": {"set": "${ $item }"}}, {"y": {"if": "$item > 1", **call("y")}}]
    loop = {"for": {"in": "[0, 1, 2, 3]"}, "do": tasks, "metadata": {"concurrency": 2}}
    for notes in range(1, 12):
        world = World(doc({"l": loop}), limits=Bounds(tasks=1))
        id = world.start(run=False)
        rows = world.rows[id]
        for _ in range(notes):
            if rows.inbox:
                world.apply(id, rows.inbox.pop(0))
        rows.inbox.clear()
        world.command(id, "terminate")
        world.command(id, "retry")
        drive(world)
        assert world.instance(id).output == [0, 1, "y", "y"], notes


# -- refusals --------------------


@pytest.mark.parametrize(
    ("command", "data"),
    [
        ("retry", {"from": 99}),
        ("retry", {"from": "one"}),
        ("retry", {"from": 3}),
        ("skip", {"step": 3}),
        ("compensation", {"step": 1, "action": "retry"}),
        ("compensation", {"step": 1, "action": "what"}),
        ("compensate", {"step": 99}),
        ("suspend", {}),
    ],
)
def test_an_ended_instance_refuses(command: str, data: dict[str, Any]) -> None:
    block = {"try": [{"a": call("a", "undo-a")}, {"r": boom()}], "catch": {}}
    document = doc({"t": {**block, "metadata": {"rollback": True}}}, {"z": boom()})
    world, id = run(document)
    drive(world)
    assert world.step(id, "/do/0/t/try/0/a/metadata/compensate").id == 5
    data = {**data, **({"from": 5} if data.get("from") == 3 else {})}
    before = world.instance(id)
    world.command(id, command, **data)
    assert world.instance(id) == replace(before, sequence=before.sequence + 1)
    assert len(world.ignored) == 1


def test_a_running_compensation_is_neither_skipped_nor_doubled() -> None:
    world, id = run(doc({"a": call("a", "undo-a")}, {"bad": boom()}))
    world.succeed(world.ready()[0])
    before = world.instance(id)
    world.command(id, "compensate")
    world.command(id, "skip", step=world.ready()[0].step)
    assert world.instance(id) == replace(before, sequence=before.sequence + 2)
    world, id = run(doc({"a": call("a")}, {"w": {"wait": "PT1H"}}))
    world.command(id, "suspend")
    world.command(id, "suspend")
    assert world.ignored == ["the instance is suspended already"]


def test_stimuli_for_deleted_steps_change_nothing() -> None:
    world, id = run(doc({"a": call("a")}))
    world.send_stimulus(id, StimulusKind.AGENDA, 77, {"then": None})
    assert world.ignored == ["there is no step 77"]


@pytest.mark.parametrize("run_of_note", [1, 2])
def test_an_agenda_stimulus_of_an_earlier_run_begins_nothing_twice(run_of_note: int) -> None:
    """A retry determines anew which steps continue: agenda stimuli of the run before it are too
    late, though they are applied only now."""
    world, id = run(doc({"outer": {"do": [{"a": call("a")}]}}))
    world.fail(world.ready()[0])
    world.command(id, "retry")
    assert world.instance(id).run == 2
    (again,) = world.ready()
    world.send_stimulus(id, StimulusKind.AGENDA, 1, {"run": run_of_note})
    if run_of_note == 1:
        assert world.ready() == [again]
        assert world.ignored == ["it is of an earlier run"]
    else:
        assert len(world.ready()) == 2, "a note of this run is brought"


def test_agenda_stimuli_name_their_run() -> None:
    sets = [{name: {"set": {"n": 1}}} for name in "abc"]
    world = World(doc(*sets), limits=Bounds(tasks=1))
    id = world.start(run=False)
    start = world.next_stimulus(id)
    assert start is not None
    (noted,) = world.apply(id, start).stimuli
    assert (noted.kind, noted.data) == (StimulusKind.AGENDA, {"then": None, "run": 1})


def test_a_listener_can_be_skipped() -> None:
    listen = {"listen": {"to": {"one": {"with": {"type": "t"}}}}}
    world, id = run(doc({"l": listen}))
    world.command(id, "skip", step=1, output=[])
    assert world.rows[id].listeners == {}
    assert world.instance(id).output == []


# -- odds and ends --------------------


@pytest.mark.parametrize(
    "task",
    [
        {"call": "celery", "with": {"task": "x", "args": "${ 1 }"}},
        {"wait": "${ .nothing }"},
        {"raise": {"error": {"type": "${ null }", "status": 1}}},
        {"try": [{"r": boom()}], "catch": {"retry": {"delay": "${ .nothing }"}}},
        {"set": 1, "input": {"schema": {"format": "avro", "document": {}}}},
        {"set": 1, "input": {"schema": {"document": {"type": 5}}}},
    ],
)
def test_values_that_cannot_be_are_faults_of_their_task(task: dict[str, Any]) -> None:
    world, id = run(doc({"t": task}), {})
    assert world.instance(id).status is Status.FAULTED
    assert world.instance(id).error["instance"] == "/do/0/t"


def test_a_function_that_is_skipped_gives_its_arguments() -> None:
    function = {"if": "false", "set": 1}
    world, id = run(doc({"a": {"call": "f", "with": {"n": 1}}}, use={"functions": {"f": function}}))
    assert world.instance(id).output == {"n": 1}


def test_until_may_want_several_events() -> None:
    until = {"all": [{"with": {"type": "x"}}, {"with": {"type": "y"}}]}
    world, id = run(doc({"l": {"listen": {"to": {"any": [], "until": until}}}}))
    world.publish(id, {"type": "x", "data": 1}, until=[0])
    world.publish(id, {"type": "z", "data": 2})
    world.publish(id, {"type": "y", "data": 3}, until=[1])
    assert world.instance(id).output == [2]


def test_a_competitor_that_fails_takes_its_own_branches_with_it() -> None:
    inner = fork({"a": call("a")}, {"b": call("b")})
    world, id = run(doc({"f": fork({"i": inner}, {"c": call("c")}, compete=True)}))
    by_task = {attempt.task: attempt for attempt in world.ready()}
    world.fail(by_task["b"])
    assert [attempt.task for attempt in world.ready()] == ["c"]
    world.succeed(by_task["c"], "C")
    assert world.instance(id).output == "C"


def test_an_empty_loop_side_by_side_and_a_long_one_with_nothing_to_do() -> None:
    loop = {"for": {"in": "[]"}, "do": [{"a": call("a")}], "metadata": {"concurrency": 2}}
    assert run(doc({"l": loop}))[0].rows.popitem()[1].instance.output == []
    loop = {"for": {"in": "[range(500)]"}, "do": []}
    assert run(doc({"l": loop}), "kept")[0].rows.popitem()[1].instance.output == "kept"


def test_a_compensation_with_a_fork_in_it_may_fail() -> None:
    undoing = {"do": [{"f": fork({"u": call("u")}, {"v": call("v")})}]}
    quick = {"retry": {"limit": {"attempt": {"count": 0}}}}
    document = doc(
        {"a": {"call": "a", "metadata": {"compensate": {**undoing, "metadata": quick}}}},
        {"bad": boom()},
    )
    world, id = run(document)
    assert drive(world, "u") == ["a", "u"]
    assert world.instance(id).compensation is Compensation.FAILED
    assert world.instance(id).open_places == 0
