"""What a person can do about an instance, through REST and the command line: preview, undo,
retry, skip, settle, suspend, cancel, terminate; who did it and why is told afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.core.model import Instance, Need, Slice
from orchestrator.database.transitions import instance_slice_reader
from orchestrator.database.transitions.row_mapper import to_step
from orchestrator.testing import in_memory_slices
from tests.support.api import document, problem
from tests.support.manual_workers import SAGA, Outside, call

Cli = Callable[..., Any]


def test_a_preview_tells_what_a_cancel_would_undo(outside: Outside, cli: Cli) -> None:
    child = {"namespace": "shop", "name": "child", "version": "1.0.0"}
    outside.api.deploy(document("child"))
    fork = {"fork": {"branches": [call("b"), {"c": {"call": "c"}}]}}
    id = outside.start([call("a"), {"sub": {"run": {"workflow": child}}}, {"f": fork}])
    outside.finish(outside.claim(id))
    ((sub,),) = outside.api.all(
        "select id::text from orchestrator.instances where parent_instance = %s", id
    )
    outside.state.process_inbox(sub)
    outside.state.process_inbox(id)
    outside.claim(id)
    outside.claim(id)  # nothing undoes this one
    told = outside.api.get(f"/v1/instances/{id}/compensation").json
    assert [(each["name"], each["instance"]) for each in told["plan"]] == [
        ("sub", sub), ("a", None),
    ]  # fmt: skip
    assert [each["name"] for each in told["running"]] == ["b"]
    rows = cli("cancel", id, "--dry-run", "-o", "json")
    assert [(row["name"], row["if"]) for row in rows] == [
        ("sub", ""), ("a", ""), ("b", "it succeeds"),
    ]  # fmt: skip
    assert outside.instance(id)["status"] == "running"


def test_a_completed_instance_is_undone_whole_or_back_to_a_step(outside: Outside, cli: Cli) -> None:
    id = outside.start(SAGA)
    assert outside.work(id) == ["a", "b", "c"]
    cli("compensate", id, "--to", "a", "--reason", "only b")
    assert outside.work(id) == ["undo-b"]
    # The rest is undone later, and nothing a second time.
    outside.command(id, "compensate", reason="all of it")
    assert outside.work(id) == ["undo-a"]
    found = outside.instance(id)
    assert (found["status"], found["compensation"]) == ("completed", "completed")
    assert found["output"] == {"by": "c"}
    told = outside.told(id, "workflow.compensated")
    assert [each["reason"] for each in told] == ["only b", "all of it"]
    assert [entry[1:3] for entry in outside.audited(id)] == [
        ("instance.compensate", "all of it"), ("instance.compensate", "only b"),
    ]  # fmt: skip


def test_a_pause_before_a_retry_is_ended(outside: Outside) -> None:
    retry = {"delay": {"hours": 1}, "limit": {"attempt": {"count": 2}}}
    id = outside.start([{"t": {"try": [{"a": {"call": "a"}}], "catch": {"retry": retry}}}])
    assert outside.work(id, "a") == ["a"]
    step = outside.step(id, "t")
    assert (step["status"], step["can_retry_now"]) == ("waiting", True)
    path = f"/v1/instances/{id}/steps"
    outside.command(id, "suspend")
    assert problem(outside.api.post(f"{path}/{step['id']}/retry-now")) == "wrong-status"
    outside.command(id, "resume")
    assert problem(outside.api.post(f"{path}/99/retry-now")) == "wrong-status"
    answer = outside.api.post(f"{path}/{step['id']}/retry-now", json={"reason": "it is up again"})
    assert answer.status_code == 202
    assert problem(outside.api.post(f"{path}/{step['id']}/retry-now")) == "wrong-status"
    assert outside.work(id) == ["a"]
    assert outside.instance(id)["status"] == "completed"
    assert outside.audited(id)[0][1:] == (
        "step.retry_now", "it is up again", {"step": step["id"]},
    )  # fmt: skip


def test_a_retry_with_an_edited_input_says_what_was_changed(outside: Outside, cli: Cli) -> None:
    do = [{"a": {"call": "a"}}, {"b": {"call": "b"}}, {"c": {"call": "c"}}]
    id = outside.start(do)
    assert outside.work(id, "c") == ["a", "b", "c"]
    found = outside.command(id, "retry", reason="again")
    assert (found["status"], found["run"]) == ("running", 2)
    assert outside.work(id, "c") == ["c"]
    # From an earlier step, with another input.
    cli("retry", id, "--from", "b", "-i", '{"n": 2}', "--reason", "it was 1")
    assert outside.work(id) == ["b", "c"]
    found = outside.instance(id)
    assert (found["status"], found["run"]) == ("completed", 3)
    assert outside.step(id, "b")["input"] == {"n": 2}
    first, second = outside.told(id, "workflow.retried")
    assert first == {"run": 2, "by": "anonymous", "reason": "again"}
    (old,) = [each["id"] for each in _steps(outside, id, "b")][:1]
    assert second == {
        "run": 3, "from": old, "input": {"n": 2}, "by": "anonymous", "reason": "it was 1",
    }  # fmt: skip
    actor, action, reason, details = outside.audited(id)[0]
    assert (actor, action, reason) == ("anonymous", "instance.retry", "it was 1")
    assert details == {"from": old, "input": {"n": 2}}


def test_a_retry_with_an_edited_workflow_input_keeps_the_old_one_in_history(
    outside: Outside, cli: Cli
) -> None:
    reads = {"call": "a", "with": {"n": "${ $workflow.input.n }"}}
    id = outside.start([{"a": reads}, {"b": {"call": "b"}}], input={"n": 1})
    assert outside.work(id, "b") == ["a", "b"]
    cli("retry", id, "--from", "a", "--workflow-input", '{"n": 2}')
    assert outside.work(id) == ["a", "b"]
    assert outside.instance(id)["input"] == {"n": 2}
    calls = outside.api.all(
        "select call -> 'kwargs' from orchestrator.steps where instance_id = %s"
        " and reference = '/do/0/a' order by id",
        id,
    )
    assert [call for (call,) in calls] == [{"n": 1}, {"n": 2}]
    (retried,) = outside.told(id, "workflow.retried")
    assert retried["workflow_input"] == {"n": 2}
    assert retried["workflow_input_before"] == {"n": 1}


def test_a_parent_and_its_sub_workflow_name_each_other_and_are_found_by_it(
    outside: Outside,
) -> None:
    about = {"namespace": "shop", "name": "child", "version": "1.0.0"}
    outside.api.deploy(document("child", do=[{"c": {"call": "c"}}]))
    id = outside.start([{"r": {"run": {"workflow": about}}}, {"b": {"call": "b"}}])
    child = outside.step(id, "r")["child"]
    assert outside.work(child, "c") == ["c"]
    outside.state.process_inbox(id)
    assert outside.instance(id)["status"] == outside.instance(child)["status"] == "faulted"
    step = outside.step(id, "r")
    assert step["child"] == child, "also after its end"
    assert outside.instance(child)["parent"] == {"instance": id, "step": step["id"]}
    assert outside.instance(id)["parent"] is None
    (found,) = outside.api.get(f"/v1/instances?parent={id}").json["items"]
    assert found["id"] == child
    assert outside.api.get(f"/v1/instances?parent={child}").json["items"] == []
    (found,) = outside.api.get(f"/v1/instances/{id}/steps?child={child}").json["items"]
    assert found["id"] == step["id"]
    # The parent's retry has the same one go on.
    outside.command(id, "retry")
    outside.state.process_inbox(child)
    assert outside.work(child) == ["c"]
    outside.state.process_inbox(id)
    assert outside.work(id) == ["b"]
    assert outside.instance(id)["status"] == "completed"
    assert outside.step(id, "r")["child"] == child


def _steps(outside: Outside, id: str, name: str) -> list[Any]:
    items = outside.api.get(f"/v1/instances/{id}/steps").json["items"]
    return [each for each in items if each["name"] == name]


def test_a_retry_is_refused_once_something_was_undone(outside: Outside) -> None:
    id = outside.start(SAGA)
    assert outside.work(id, "c") == ["a", "b", "c", "undo-b", "undo-a"]
    refused = outside.api.post(f"/v1/instances/{id}/retry")
    assert (refused.status_code, problem(refused)) == (409, "wrong-status")
    assert outside.instance(id)["run"] == 1


def test_a_step_is_skipped_with_an_output(outside: Outside, cli: Cli) -> None:
    id = outside.start(
        [{"w": {"wait": {"hours": 1}}}, {"b": {"call": "b", "with": {"n": "${ .n }"}}}]
    )
    cli("skip", id, "w", "-d", '{"n": 7}', "--reason", "no need to wait")
    outside.state.process_inbox(id)
    work = outside.claim(id)
    assert work.call["kwargs"] == {"n": 7}
    outside.finish(work)
    assert outside.instance(id)["status"] == "completed"
    assert outside.told(id, "task.passed") == [{"reason": "no need to wait", "by": "anonymous"}]
    assert outside.audited(id)[0][3] == {"step": 1, "output": {"n": 7}}


def test_a_compensation_is_marked_as_done_by_hand(outside: Outside, cli: Cli) -> None:
    id = outside.start(SAGA)
    assert outside.work(id, "c", "undo-a", "undo-b") == ["a", "b", "c", "undo-b", "undo-a"]
    assert outside.instance(id)["compensation"] == "failed"
    letters = cli("dead-letter", "list", "--instance", id, "-o", "json")
    assert len(letters) == 2
    # The one by hand, the other once more.
    by_name = {outside.api.get(f"/v1/instances/{id}/steps/{each['step']}").json["compensates"]: each
               for each in letters}  # fmt: skip
    a, b = (by_name[outside.step(id, name)["id"]] for name in ("a", "b"))
    cli("dead-letter", "resolve", a["id"], "--reason", "refunded at the counter")
    outside.state.process_inbox(id)
    assert outside.instance(id)["compensation"] == "failed"
    cli("dead-letter", "retry", b["id"], "--reason", "the till is open")
    assert outside.work(id) == ["undo-b"]
    assert outside.instance(id)["compensation"] == "completed"
    (resolved,) = outside.told(id, "compensation.resolved")
    assert resolved == {
        "undoing": a["step"], "by": "anonymous", "reason": "refunded at the counter",
    }  # fmt: skip
    (retried,) = outside.told(id, "compensation.retried")
    assert retried["undoing"] == b["step"]
    entries = [outside.audited(letter["id"])[0][:3] for letter in (a, b)]
    assert entries == [
        ("anonymous", "dead-letter.resolve", "refunded at the counter"),
        ("anonymous", "dead-letter.retry", "the till is open"),
    ]


def test_dead_letters_retried_at_once_are_all_undone(outside: Outside, cli: Cli) -> None:
    id = outside.start(SAGA)
    outside.work(id, "c", "undo-a", "undo-b")
    letters = cli("dead-letter", "list", "--instance", id, "-o", "json")
    cli("dead-letter", "retry", *(each["id"] for each in letters), "--reason", "it is back")
    assert sorted(outside.work(id)) == ["undo-a", "undo-b"]
    assert outside.instance(id)["compensation"] == "completed"
    assert cli("dead-letter", "list", "-o", "json") in ([], None)


def test_what_a_running_instance_could_not_undo_is_settled_when_it_has_ended(
    outside: Outside,
) -> None:
    block = {"try": [call("a"), {"c": {"call": "c"}}], "catch": {}, "metadata": {"rollback": True}}
    id = outside.start([{"t": block}, {"w": {"wait": {"hours": 1}}}])
    assert outside.work(id, "c", "undo-a") == ["a", "c", "undo-a"]
    (letter,) = outside.api.get(f"/v1/dead-letters?instance={id}").json["items"]
    refused = outside.api.post(f"/v1/dead-letters/{letter['id']}/retry")
    assert (refused.status_code, problem(refused)) == (409, "wrong-status")
    assert outside.api.get(f"/v1/dead-letters/{letter['id']}").json["resolved_at"] is None
    outside.command(id, "cancel")
    assert outside.api.post(f"/v1/dead-letters/{letter['id']}/retry").status_code == 202
    assert outside.work(id) == ["undo-a"]


def test_suspended_nothing_starts_and_what_runs_is_recorded(outside: Outside, cli: Cli) -> None:
    id = outside.start(SAGA)
    work = outside.claim(id)
    cli("suspend", id, "--reason", "the bank is down")
    outside.state.process_inbox(id)
    outside.finish(work)
    assert outside.instance(id)["status"] == "suspended"
    assert outside.claim(id) is None
    step = outside.step(id, "a")
    assert (step["status"], step["recorded"]) == ("running", "succeeded")
    assert step["attempts"][-1]["state"] == "succeeded"
    cli("resume", id, "--reason", "it is up")
    assert outside.work(id) == ["b", "c"]
    assert outside.told(id, "workflow.suspended")[0]["reason"] == "the bank is down"
    assert outside.told(id, "workflow.resumed")[0]["reason"] == "it is up"


@pytest.mark.parametrize(
    ("command", "undone"), [("cancel", ["undo-b", "undo-a"]), ("terminate", [])]
)
def test_a_withdrawn_attempts_late_result_is_recorded(
    command: str, undone: list[str], outside: Outside, cli: Cli
) -> None:
    id = outside.start(SAGA)
    outside.finish(outside.claim(id))
    work = outside.claim(id)
    cli(command, id, "--reason", "changed my mind")
    outside.state.process_inbox(id)
    found = outside.instance(id)
    assert found["status"] == "cancelled"
    assert found["compensation"] == ("running" if undone else "none")
    assert outside.claim(id) is None, "nothing is undone while the other is in flight"
    outside.finish(work)
    assert outside.work(id) == undone
    step = outside.step(id, "b")
    assert (step["status"], step["output"]) == ("completed", {"by": "b"})
    assert [(each["state"], each["withdrawn"]) for each in step["attempts"]] == [
        ("succeeded", True)
    ]
    assert {"late": True} in outside.told(id, "task.completed")
    (told,) = outside.told(id, "workflow.cancelled")
    assert told == {"reason": "changed my mind", "by": "anonymous"}


def test_a_retrying_step_says_when_the_next_try_is(outside: Outside) -> None:
    id = outside.start([{"a": {"call": "a"}}])
    error = {"type": "https://shop.example/busy", "status": 503}
    outside.finish(outside.claim(id), error, retry_in=3600.0, traceback="Traceback ...\nBusy\n")
    step = outside.step(id, "a")
    (waiting,) = outside.instance(id)["waiting_for"]
    assert (step["status"], waiting["timer"]) == ("waiting", "retry")
    assert step["retry_at"] == waiting["due_at"] > step["started_at"]
    (attempt,) = step["attempts"]
    assert (attempt["state"], attempt["error"]) == ("failed", error)
    assert attempt["traceback"] == "Traceback ...\nBusy\n"


def test_a_block_that_will_be_tried_again_says_when(outside: Outside) -> None:
    policy = {"delay": {"hours": 1}, "limit": {"attempt": {"count": 2}}}
    id = outside.start([{"t": {"try": [{"a": {"call": "a"}}], "catch": {"retry": policy}}}])
    assert outside.work(id, "a") == ["a"]
    step = outside.step(id, "t")
    assert step["status"] == "waiting"
    assert step["retry_at"] > step["started_at"]


def test_children_are_read_as_the_tests_of_the_core_give_them(outside: Outside) -> None:
    block = {"try": [call("a"), {"c": {"call": "c"}}], "catch": {}, "metadata": {"rollback": True}}
    id = outside.start([{"t": block}, {"w": {"wait": {"hours": 1}}}])
    assert outside.work(id, "c") == ["a", "c", "undo-a"]
    rows = outside.api.all(
        "select row_to_json(s) from orchestrator.steps s where instance_id = %s", id
    )
    steps = {row["id"]: to_step(row) for (row,) in rows}
    need = Need("children", (outside.step(id, "t")["id"],))
    found = instance_slice_reader.load(outside.api.database, Slice(Instance(id, "shop", "")), need)
    assert found.loaded[need] == in_memory_slices.children(steps, *need.args)
    assert [one.compensates is None for one in found.loaded[need]] == [True, True, False]
