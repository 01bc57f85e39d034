"""Commands of people to an instance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.model import AttemptState, Compensation, Status, StimulusKind
from orchestrator.testing.world import Failure, World
from tests.support.documents import boom, call, doc

pytestmark = pytest.mark.usefixtures("decided")


def run(document: dict[str, Any], input: Any = None, **more: Any) -> tuple[World, str]:
    world = World(document, **more)
    return world, world.start(input=input)


def drive(world: World, *failing: str) -> list[str]:
    """Work until nothing is left to do; the tasks that were asked for, in order."""
    order: list[str] = []

    def answer(request: Any) -> Any:
        order.append(request["task"])
        if request["task"] in failing:
            raise Failure({"type": "https://example.com/fail", "status": 500})
        return {"by": request["task"]}

    world.run_out(answer)
    return order


def tasks(*names: str) -> list[dict[str, Any]]:
    return [{name: call(name)} for name in names]


# -- suspend and resume --------------------


def test_suspended_nothing_starts_and_what_runs_is_recorded() -> None:
    branches = [{"a": {"do": tasks("a", "a2")}}, {"b": call("b")}, {"w": {"wait": "PT5S"}}]
    world, id = run(doc({"f": {"fork": {"branches": branches}}}))
    a, b = world.ready()
    world.claim(a)
    world.command(id, "suspend", reason="lunch")
    assert world.instance(id).status is Status.SUSPENDED
    assert world.rows[id].attempts[b.id].state is AttemptState.WITHDRAWN
    assert {world.step(id, name).status for name in "bw"} == {Status.SUSPENDED}
    world.succeed(a, "A")
    world.pass_time(10)
    assert world.ready() == []
    assert world.instance(id).status is Status.SUSPENDED
    world.command(id, "resume")
    assert sorted(one.task for one in world.ready()) == ["a2", "b"]
    assert world.step(id, "w").status is Status.COMPLETED
    drive(world)
    assert world.instance(id).status is Status.COMPLETED
    kinds = [fact.type for fact in world.facts(id) if fact.type.startswith("workflow")]
    assert kinds == [
        "workflow.started",
        "workflow.suspended",
        "workflow.resumed",
        "workflow.completed",
    ]


def test_a_failure_while_suspended_takes_effect_at_the_resume() -> None:
    world, id = run(doc({"t": {"try": tasks("a"), "catch": {"do": tasks("h")}}}))
    attempt = world.claim(world.ready()[0])
    world.command(id, "suspend")
    world.fail(attempt)
    assert world.ready() == []
    world.command(id, "resume")
    assert drive(world) == ["h"]


def test_a_loss_while_suspended_counts() -> None:
    world, id = run(doc(*tasks("a")))
    attempt = world.claim(world.ready()[0])
    world.command(id, "suspend")
    world.lose(attempt)
    world.command(id, "resume")
    assert [(one.number, one.starts) for one in world.ready()] == [(2, 2)]


def test_events_wait_for_the_resume() -> None:
    world, id = run(doc({"l": {"listen": {"to": {"one": {"with": {"type": "t"}}}}}}))
    world.command(id, "suspend")
    world.publish(id, {"type": "t", "data": 1})
    assert world.instance(id).status is Status.SUSPENDED
    world.command(id, "resume")
    assert world.instance(id).output == [1]


def test_a_result_while_suspended_starts_nothing() -> None:
    branches = [{"a": call("a")}, {"b": call("b")}]
    block = {"try": [{"f": {"fork": {"branches": branches}}}], "catch": {"do": tasks("h")}}
    world, id = run(doc({"t": block}))
    a, b = world.ready()
    world.claim(a)
    world.fail(b)
    world.command(id, "suspend")
    world.succeed(a)
    assert world.ready() == []
    world.command(id, "resume")
    assert drive(world) == ["h"]


def test_a_suspended_instance_can_be_cancelled() -> None:
    world, id = run(doc({"a": call("a", "undo-a")}, {"b": call("b")}))
    world.succeed(world.ready()[0])
    world.command(id, "suspend")
    world.command(id, "cancel")
    assert world.instance(id).status is Status.CANCELLED
    assert drive(world) == ["undo-a"]


@pytest.mark.parametrize("command", ["cancel", "terminate", "suspend", "resume", "skip", "what"])
def test_commands_that_do_not_fit_are_refused(command: str) -> None:
    world, id = run(doc({"a": {"set": {}}}))
    before = world.instance(id)
    world.command(id, command, step=1, by="somebody")
    assert world.instance(id) == replace(before, sequence=before.sequence + 1)
    (refused,) = [fact for fact in world.facts(id) if fact.type == "command.refused"]
    assert refused.data == {"command": command, "reason": world.ignored[0], "by": "somebody"}


# -- retry --------------------


def test_a_retry_restarts_the_failed_step_and_not_the_finished_ones() -> None:
    world, id = run(doc(*tasks("a", "b", "c")))
    assert drive(world, "b") == ["a", "b"]
    failed = world.step(id, "b")
    world.command(id, "retry", by="me")
    instance = world.instance(id)
    assert (instance.status, instance.run, instance.error) == (Status.RUNNING, 2, None)
    assert drive(world) == ["b", "c"]
    assert world.instance(id).output == {"by": "c"}
    assert world.step(id, "b").id != failed.id
    assert world.facts(id, "workflow.retried")[0].data == {"run": 2, "by": "me"}


def test_a_retry_may_have_another_input() -> None:
    body = {"call": "b", "with": {"n": "${ .n }"}, "input": {"from": ".x"}}
    world, id = run(doc({"b": body}), {"x": {"n": 1}})
    world.fail(world.ready()[0])
    world.command(id, "retry", input={"x": {"n": 2}})
    assert world.call_of(world.ready()[0])["kwargs"] == {"n": 2}


def test_a_retry_may_have_another_input_of_the_workflow() -> None:
    reads = {"call": "a", "with": {"n": "${ $workflow.input.n }", "of": "${ .n }"}}
    document = doc({"a": reads}, {"b": reads}, input={"from": "${ {n: .n} }"})
    world, id = run(document, {"n": 1, "more": True})
    world.fail(world.ready()[0])
    world.command(id, "retry", input={"n": 2})
    assert world.call_of(world.ready()[0])["kwargs"] == {"n": 1, "of": 2}, "the step's alone"
    world.fail(world.ready()[0])
    world.command(id, "retry", workflow_input={"n": 3}, by="me")
    assert world.call_of(world.ready()[0])["kwargs"] == {"n": 3, "of": 2}, "the workflow's, too"
    assert world.instance(id).input == {"n": 3}
    world.succeed(world.ready()[0], {"n": 4})
    assert world.call_of(world.ready()[0])["kwargs"] == {"n": 3, "of": 4}
    assert world.facts(id, "workflow.retried")[-1].data == {
        "run": 3,
        "workflow_input": {"n": 3},
        "workflow_input_before": {"n": 1, "more": True},
        "by": "me",
    }


def test_a_workflow_whose_input_was_wrong_begins_with_the_edited_one() -> None:
    schema = {"schema": {"document": {"type": "object", "required": ["n"]}}}
    world, id = run(doc(*tasks("a"), input=schema), {"m": 1})
    assert world.instance(id).status is Status.FAULTED
    world.command(id, "retry", workflow_input={"m": 2})
    assert "input" in world.ignored[-1]
    assert world.instance(id).run == 1
    world.command(id, "retry", workflow_input={"n": 2})
    assert drive(world) == ["a"]
    assert world.step(id, "a").input == {"n": 2}


def test_a_retry_may_go_back_to_an_earlier_step() -> None:
    world, id = run(doc(*tasks("a", "b", "c")))
    drive(world, "c")
    world.command(id, "retry", **{"from": world.step(id, "a").id})
    assert drive(world) == ["a", "b", "c"]
    assert world.instance(id).status is Status.COMPLETED
    assert world.instance(id).open_places == 0


def test_a_retry_opens_the_containers_again() -> None:
    policy = {"retry": {"delay": "PT1S", "limit": {"attempt": {"count": 1}}}}
    inner = {"t": {"try": tasks("x", "y"), "catch": policy}}
    loop = {"for": {"in": "[1, 2, 3]"}, "do": [{"d": {"do": [inner]}}]}
    world, id = run(
        doc(
            {
                "l": loop,
            },
            *tasks("z"),
        )
    )
    for _ in range(3):
        world.succeed(world.ready()[0])
    assert drive(world, "y") == ["y", "x", "y"]
    world.command(id, "retry")
    assert drive(world) == ["y", "x", "y", "z"]
    assert world.instance(id).status is Status.COMPLETED
    assert {step.status for step in world.steps(id, "/do/0/l")} == {Status.COMPLETED}


def test_a_retry_restarts_all_steps_that_the_end_had_stopped() -> None:
    branches = [
        {"a": {"do": tasks("a1", "a2")}},
        {"b": {"do": tasks("b1", "b2")}},
        {"c": call("c")},
        {"w": {"wait": "PT9S"}},
    ]
    world, id = run(doc({"f": {"fork": {"branches": branches}}}, *tasks("z")))
    a1, b1, c = world.ready()
    world.succeed(a1)
    world.succeed(c, "C")
    world.fail(b1)
    assert world.instance(id).status is Status.FAULTED
    world.command(id, "retry")
    assert sorted(one.task for one in world.ready()) == ["a2", "b1"]
    assert sorted(drive(world)) == ["a2", "b1", "b2", "z"]
    assert world.step(id, "f").output[2] == "C"
    assert world.instance(id).status is Status.COMPLETED


def test_a_retry_continues_from_a_late_end() -> None:
    branches = [{"a": {"do": tasks("a1", "a2")}}, {"b": call("b")}]
    world, id = run(doc({"f": {"fork": {"branches": branches}}}))
    a1, b = world.ready()
    world.claim(a1)
    world.fail(b)
    world.command(id, "retry")
    assert "still runs" in world.ignored[-1]
    world.succeed(a1, "late")
    world.command(id, "retry")
    assert sorted(drive(world)) == ["a2", "b"]
    assert world.instance(id).status is Status.COMPLETED


def test_a_completed_branch_may_be_restarted() -> None:
    branches = [{"a": call("a")}, {"b": call("b")}, {"c": call("c")}]
    world, id = run(doc({"f": {"fork": {"branches": branches}}}))
    a, b, _ = world.ready()
    world.succeed(a, "first")
    world.fail(b)
    world.command(id, "retry", **{"from": world.step(id, "a").id})
    assert sorted(one.task for one in world.ready()) == ["a", "b", "c"]
    drive(world)
    assert [one["by"] for one in world.instance(id).output] == ["a", "b", "c"]


def test_a_step_in_a_finished_container_is_restarted_in_a_copy_of_it() -> None:
    inner = {"d": {"do": [{"e": {"do": tasks("a", "b")}}]}}
    world, id = run(doc(inner, *tasks("c")))
    drive(world, "c")
    world.command(id, "retry", **{"from": world.step(id, "b").id})
    assert drive(world) == ["b", "c"]
    assert len(world.steps(id, "/do/0/d/do/0/e")) == 2


def test_a_retry_of_competitors() -> None:
    fork = {"branches": [{"a": call("a")}, {"b": call("b")}], "compete": True}
    world, id = run(doc({"f": {"fork": fork}}))
    assert drive(world, "a", "b") == ["a", "b"]
    world.command(id, "retry")
    assert drive(world) == ["b"]
    assert world.instance(id).output == {"by": "b"}


def test_listeners_and_pauses_continue_to_wait() -> None:
    policy = {"retry": {"delay": "PT9S", "limit": {"attempt": {"count": 1}}}}
    branches = [
        {"l": {"listen": {"to": {"any": [], "until": ". | length == 2"}}}},
        {"t": {"try": tasks("x"), "catch": policy}},
        {"b": call("b")},
    ]
    world, id = run(doc({"f": {"fork": {"branches": branches}}}))
    world.publish(id, {"type": "t", "data": 1})
    x, b = world.ready()
    world.fail(x)
    world.fail(b)
    assert world.rows[id].listeners == {}
    world.command(id, "retry")
    world.publish(id, {"type": "t", "data": 2})
    assert sorted(drive(world)) == ["b", "x"]
    assert world.instance(id).output[0] == [1, 2]


def test_a_retry_of_what_failed_before_its_first_step() -> None:
    schema = {"schema": {"document": {"type": "object"}}}
    world, id = run(doc(*tasks("a"), input=schema), 3)
    assert world.instance(id).status is Status.FAULTED
    world.command(id, "retry")
    assert world.instance(id).run == 2
    assert world.instance(id).status is Status.FAULTED


def test_a_compensated_instance_cannot_continue() -> None:
    world, id = run(doc({"a": call("a", "undo-a")}, {"bad": boom()}))
    drive(world)
    assert world.instance(id).compensation is Compensation.COMPLETED
    world.command(id, "retry")
    assert world.instance(id).run == 1
    assert world.ignored == ["it was undone: start it anew"]


def test_a_sub_workflow_that_was_undone_is_for_its_parent_to_start() -> None:
    child = doc({"a": call("a", "undo-a")}, {"bad": boom()}, about={"name": "child"})
    ref = {"namespace": "test", "name": "child", "version": "1.0.0"}
    world = World(doc({"sub": {"run": {"workflow": ref}}}), child)
    id = world.start("test/flow")
    drive(world)
    (started,) = [each for each in world.rows if each != id]
    assert world.instance(started).compensation is Compensation.COMPLETED
    world.command(started, "retry")
    assert world.ignored == ["it was undone: only its parent can start it anew"]


def test_what_was_undone_of_two_runs() -> None:
    world, id = run(
        doc({"a": call("a", "undo-a")}, *tasks("b"), about={"metadata": {"onFault": "hold"}})
    )
    drive(world, "b")
    world.command(id, "retry", **{"from": world.step(id, "a").id})
    assert drive(world, "b") == ["a", "b"]
    world.command(id, "compensate")
    assert drive(world) == ["undo-a", "undo-a"]


def test_a_retry_after_a_cancel_continues_where_it_was() -> None:
    world, id = run(doc(*tasks("a", "b", "c")))
    world.succeed(world.ready()[0])
    world.command(id, "terminate")
    world.command(id, "retry")
    assert drive(world) == ["b", "c"], "`a` had been done"


def test_a_retry_of_a_workflow_whose_output_failed_repeats_no_step() -> None:
    world, id = run(doc(*tasks("a"), output={"as": "${ .by.x }"}))
    assert drive(world) == ["a"]
    assert world.instance(id).status is Status.FAULTED
    world.command(id, "retry")
    assert drive(world) == []
    assert world.instance(id).run == 2


def test_timeouts_restart() -> None:
    world, id = run(
        doc({"t": {"do": tasks("a"), "timeout": {"after": "PT5S"}}}, timeout={"after": "PT8S"})
    )
    world.pass_time(3)
    world.fail(world.ready()[0])
    assert world.rows[id].timers == {}
    world.command(id, "retry")
    left = sorted((due - world.now).total_seconds() for due in world.rows[id].timers.values())
    assert left == [5, 8]


# -- skip --------------------


def test_a_step_that_waits_can_be_skipped() -> None:
    world, id = run(doc({"w": {"wait": "PT1H"}}, *tasks("a")))
    world.command(id, "skip", step=1, output={"given": 1}, by="me")
    assert world.rows[id].timers == {}
    assert world.step_of(world.ready()[0]).input == {"given": 1}
    assert world.facts(id, "task.passed")[0].data == {"by": "me"}


def test_a_call_that_runs_can_be_skipped_and_is_undone_if_it_succeeds_after_all() -> None:
    world, id = run(doc({"a": call("a", "undo-a")}, {"bad": boom()}))
    attempt = world.claim(world.ready()[0])
    world.command(id, "skip", step=attempt.step, output="given")
    world.succeed(attempt, "late")
    assert [step.output for step in world.steps(id, "/do/0/a")] == ["late", "given"]
    assert world.facts(id, "task.passed")[0].step == world.step(id, "a").id
    assert drive(world) == ["undo-a"]


def test_the_fault_waits_for_a_skipped_call_and_undoes_its_late_success() -> None:
    world, id = run(doc({"a": call("a", "undo-a")}, {"b": call("b")}))
    attempt = world.claim(world.ready()[0])
    world.command(id, "skip", step=attempt.step, output="given")
    world.fail(world.ready()[0])
    assert world.instance(id).status is Status.FAULTED
    assert world.instance(id).compensation is Compensation.RUNNING, "it waits"
    world.succeed(attempt, "late")
    assert drive(world) == ["undo-a"]
    assert world.instance(id).compensation is Compensation.COMPLETED


def test_a_fault_is_reported_to_the_parent_after_the_skipped_call_has_ended() -> None:
    about = {"namespace": "test", "name": "child", "version": "1.0.0"}
    world = World(
        doc({"s": {"run": {"workflow": about}}}), doc(*tasks("a", "b"), about={"name": "child"})
    )
    id = world.start("test/flow")
    child = next(key for key in world.rows if key != id)
    attempt = world.claim(world.ready()[0])
    world.command(child, "skip", step=attempt.step, output="given")
    world.fail(world.ready()[0])
    assert world.instance(id).status is Status.RUNNING
    world.succeed(attempt)
    assert world.instance(id).status is Status.FAULTED


@pytest.mark.parametrize("rollback", [True, False])
def test_a_block_is_not_tried_again_while_a_skipped_call_of_it_runs(rollback: bool) -> None:
    block = {
        "try": [{"a": call("a", "undo-a")}, {"b": call("b")}],
        "catch": {"retry": {"limit": {"attempt": {"count": 1}}}},
        "metadata": {"rollback": rollback},
    }
    world, id = run(doc({"t": block}))
    attempt = world.claim(world.ready()[0])
    world.command(id, "skip", step=attempt.step, output="given")
    world.fail(world.ready()[0])
    assert world.ready() == [], "the block's second try would run beside it"
    world.succeed(attempt, "late")
    assert drive(world) == [*(["undo-a"] if rollback else []), "a", "b"]


def test_a_failed_step_can_be_skipped() -> None:
    world, id = run(doc({"d": {"do": tasks("a", "b")}}, *tasks("c")))
    drive(world, "a")
    world.command(id, "skip", output={"given": 1})
    assert world.step_of(world.ready()[0]).input == {"given": 1}
    assert drive(world) == ["b", "c"]
    assert world.instance(id).run == 2


def test_containers_cannot_be_skipped() -> None:
    world, id = run(doc({"d": {"do": tasks("a")}}))
    world.command(id, "skip", step=1)
    assert "awaited" in world.ignored[0]


def test_a_new_run_that_is_stopped_before_its_first_step_begins_nothing() -> None:
    world, id = run(doc({"a": call("a")}))
    world.command(id, "terminate")
    notes = world.rows[id].inbox
    for command in ("retry", "terminate"):
        world.send_stimulus(id, StimulusKind.COMMAND, data={"command": command}, run=False)
        world.apply(id, notes.pop(-1))  # before the agenda stimuli of the one before
    world.drain()
    assert world.instance(id).status is Status.CANCELLED
    assert world.ready() == []
    world.command(id, "retry")
    assert drive(world) == ["a"]
