"""What Celery's canvases need of the core: members that finish, errors passed on, limits of an
attempt, and tasks that end the rest of their chain."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.model import AttemptEnd, AttemptState, Status
from orchestrator.testing.world import World
from tests.support.documents import boom, call, doc

FINISH = {"onMemberFault": "finish"}


def run(document: dict[str, Any], input: Any = None) -> tuple[World, str]:
    world = World(document)
    return world, world.start(input=input)


def fork(*branches: dict[str, Any]) -> dict[str, Any]:
    return {"f": {"fork": {"branches": list(branches)}, "metadata": FINISH}}


def loop(*tasks: dict[str, Any], concurrency: int | None = 2) -> dict[str, Any]:
    metadata = {"concurrency": concurrency, **FINISH} if concurrency else {}
    return {"l": {"for": {"in": "${ . }"}, "do": list(tasks), "metadata": metadata}}


def error(status: int) -> dict[str, Any]:
    return {"type": "https://example.com/boom", "status": status}


def leave(world: World, attempt: Any, output: Any = None) -> None:
    world.end(attempt, AttemptEnd(attempt.id, AttemptState.SUCCEEDED, output, leaves_chain=True))


# -- members that finish --------------------


def test_all_branches_finish_and_the_fork_faults_with_the_first_error() -> None:
    inner = {"do": [{"x": call("x")}, {"y": call("y")}]}
    world, id = run(doc(fork({"a": call("a")}, {"b": inner}, {"c": call("c")}), {"n": call("n")}))
    one, two, three = world.ready()
    world.fail(three, error(503))
    assert world.instance(id).status is Status.RUNNING
    world.succeed(two)
    world.fail(one, error(504))
    assert world.instance(id).status is Status.RUNNING
    world.succeed(world.ready()[0])
    instance = world.instance(id)
    assert (instance.status, instance.error["status"]) == (Status.FAULTED, 503)
    assert instance.error["instance"] == "/do/0/f/fork/branches/2/c"
    assert world.step(id, "y").status is Status.COMPLETED


def test_without_it_the_others_are_withdrawn() -> None:
    document = doc(fork({"a": call("a")}, {"b": call("b")}))
    document["do"][0]["f"]["metadata"] = {"onMemberFault": "withdraw"}
    world, id = run(document)
    world.fail(world.ready()[0])
    assert world.instance(id).status is Status.FAULTED
    assert world.ready() == []


def test_all_iterations_begin_and_finish() -> None:
    world, id = run(doc(loop({"x": call("x")})), [1, 2, 3, 4, 5])
    seen = 0
    while ready := world.ready():
        seen += 1
        if seen in (1, 4):
            world.fail(ready[0], error(500 + seen))
        else:
            world.succeed(ready[0], seen)
    assert seen == 5
    assert (world.instance(id).status, world.instance(id).error["status"]) == (Status.FAULTED, 501)


def test_a_fault_in_a_member_stops_what_runs_beside_it_in_that_member_only() -> None:
    inner = {"fork": {"branches": [{"x": call("x")}, {"y": call("y")}]}}
    world, id = run(doc(fork({"a": inner}, {"b": call("b")})))
    tasks = {attempt.task: attempt for attempt in world.ready()}
    world.fail(tasks["x"])
    assert [attempt.task for attempt in world.ready()] == ["b"]
    world.succeed(tasks["b"])
    assert world.instance(id).status is Status.FAULTED


def test_a_caught_member_fault_is_handled_once_after_the_others() -> None:
    guard = {
        "t": {
            "try": [fork({"a": call("a")}, {"b": call("b")})],
            "catch": {"do": [{"h": call("h")}]},
        }
    }
    world, id = run(doc(guard))
    one, two = world.ready()
    world.fail(one)
    world.fail(two)
    assert [attempt.task for attempt in world.ready()] == ["h"]
    world.succeed(world.ready()[0], "handled")
    assert world.instance(id).output == "handled"


@pytest.mark.usefixtures("decided")
def test_a_retry_restarts_the_members_that_failed_and_no_other() -> None:
    inner = {"do": [{"x": call("x")}, {"y": call("y")}]}
    world, id = run(doc(fork({"a": call("a")}, {"b": inner}, {"c": call("c")})))
    tasks = {attempt.task: attempt for attempt in world.ready()}
    world.succeed(tasks["a"], "A")
    world.fail(tasks["c"])
    world.succeed(tasks["x"], "X")
    world.fail(world.ready()[0])
    assert world.instance(id).status is Status.FAULTED
    world.command(id, "retry")
    ready = {attempt.task: attempt for attempt in world.ready()}
    assert sorted(ready) == ["c", "y"]
    world.succeed(ready["c"], "C")
    world.succeed(ready["y"], "Y")
    assert world.instance(id).output == ["A", "Y", "C"]


@pytest.mark.usefixtures("decided")
def test_a_retry_also_restarts_what_a_fault_within_a_member_has_stopped() -> None:
    nested = {"fork": {"branches": [{"x": call("x")}, {"y": call("y")}, {"z": call("z")}]}}
    world, id = run(doc(fork({"a": {"do": [{"p": call("p")}, {"n": nested}]}}, {"b": call("b")})))
    tasks = {attempt.task: attempt for attempt in world.ready()}
    world.succeed(tasks["b"], "B")
    world.succeed(tasks["p"])
    tasks = {attempt.task: attempt for attempt in world.ready()}
    world.succeed(tasks["x"], "X")
    world.fail(tasks["y"])
    assert world.instance(id).status is Status.FAULTED
    world.command(id, "retry")
    ready = {attempt.task: attempt for attempt in world.ready()}
    assert sorted(ready) == ["y", "z"]
    world.succeed(ready["z"], "Z")
    world.succeed(ready["y"], "Y")
    assert world.instance(id).output == [["X", "Y", "Z"], "B"]


@pytest.mark.usefixtures("decided")
def test_a_retry_may_fail_again() -> None:
    world, id = run(doc(loop({"x": call("x")}, {"y": call("y")})), [1, 2])
    one, two = world.ready()
    world.fail(one, error(501))
    world.succeed(two)
    world.succeed(world.ready()[0], "second")
    world.command(id, "retry")
    world.fail(world.ready()[0], error(502))
    assert world.instance(id).error["status"] == 502
    world.command(id, "retry")
    world.succeed(world.ready()[0])
    world.succeed(world.ready()[0], "first")
    assert world.instance(id).output == ["first", "second"]


# -- errors passed on --------------------


def rethrowing(*tasks: dict[str, Any], handler: dict[str, Any]) -> dict[str, Any]:
    return {"t": {"try": list(tasks), "catch": {"do": [handler]}, "metadata": {"rethrow": True}}}


def test_the_error_propagates_unchanged_after_the_handler() -> None:
    world, id = run(doc(rethrowing({"r": boom(503)}, handler={"h": call("h")}), {"n": call("n")}))
    assert world.instance(id).status is Status.RUNNING
    world.succeed(world.ready()[0])
    instance = world.instance(id)
    assert (instance.status, instance.error["status"]) == (Status.FAULTED, 503)
    assert instance.error["instance"] == "/do/0/t/try/0/r"


def test_a_try_around_it_catches_the_error() -> None:
    inner = rethrowing({"r": boom(503)}, handler={"h": {"set": {}}})
    outer = {
        "o": {"try": [inner], "catch": {"do": [{"s": {"set": {"was": "${ $error.status }"}}}]}}
    }
    world, id = run(doc(outer))
    assert world.instance(id).output == {"was": 503}


@pytest.mark.usefixtures("decided")
def test_a_handler_restarted_in_a_later_run_passes_the_same_error_on() -> None:
    inner = rethrowing({"r": boom(503)}, handler={"h": call("h")})
    outer = {"o": {"try": [inner], "catch": {"do": [{"s": {"set": "${ $error.status }"}}]}}}
    world, id = run(doc(outer, {"n": call("n")}))
    world.succeed(world.ready()[0])
    world.fail(world.ready()[0])
    handler = next(step for step in world.steps(id) if step.reference.endswith("/h"))
    world.command(id, "retry", **{"from": handler.id})
    world.succeed(world.ready()[0])
    (last,) = world.ready()
    assert (last.task, world.steps(id)[-1].input) == ("n", 503)


def test_without_a_fault_nothing_is_thrown() -> None:
    world, id = run(doc(rethrowing({"a": {"set": {"a": 1}}}, handler={"h": call("h")})))
    assert world.instance(id).output == {"a": 1}


@pytest.mark.usefixtures("decided")
def test_a_retry_continues_in_the_block_where_the_error_began() -> None:
    inside = fork({"a": call("a")}, {"b": call("b")})
    world, id = run(doc(rethrowing({"p": call("p")}, inside, handler={"h": call("h")})))
    world.succeed(world.ready()[0])
    one, two = world.ready()
    world.fail(two)
    world.succeed(one, "A")
    world.succeed(world.ready()[0])  # the handler
    assert world.instance(id).status is Status.FAULTED
    world.command(id, "retry")
    assert [attempt.task for attempt in world.ready()] == ["b"]
    world.succeed(world.ready()[0], "B")
    assert world.instance(id).output == ["A", "B"]


# -- limits of an attempt --------------------


def test_the_time_limit_is_each_attempts_own() -> None:
    world, _ = run(doc({"a": call("a", timeLimit={"seconds": 5})}))
    assert world.ready()[0].time_limit == 5
    world.fail(world.ready()[0], retry_in=60.0)
    world.pass_time(60)
    assert world.ready()[0].time_limit == 5


def test_a_nearer_timeout_limits_it_too() -> None:
    task = {**call("a", timeLimit={"minutes": 5}), "timeout": {"after": {"seconds": 7}}}
    world, _ = run(doc({"a": task}))
    assert world.ready()[0].time_limit == 7


def test_a_step_that_no_worker_has_started_in_time_faults() -> None:
    world, id = run(doc({"a": call("a", expires="${ .bound }")}), {"bound": {"seconds": 30}})
    attempt = world.ready()[0]
    world.pass_time(29)
    assert world.instance(id).status is Status.RUNNING
    world.pass_time(2)
    instance = world.instance(id)
    assert (instance.status, instance.error["title"]) == (Status.FAULTED, "Expired")
    assert world.rows[id].attempts[attempt.id].state is AttemptState.WITHDRAWN


def test_a_started_step_does_not_expire() -> None:
    world, id = run(doc({"a": call("a", expires={"seconds": 30})}))
    attempt = world.claim(world.ready()[0])
    world.pass_time(60)
    world.succeed(attempt, "late")
    assert world.instance(id).output == "late"
    assert world.rows[id].timers == {}


def test_the_timer_goes_with_the_step() -> None:
    world, id = run(doc({"a": call("a", expires={"seconds": 30})}, {"n": call("n")}))
    world.succeed(world.ready()[0])
    assert world.rows[id].timers == {}


# -- tasks that end the rest of their chain --------------------


def test_a_task_may_end_the_rest_of_its_list() -> None:
    world, id = run(doc({"a": call("a")}, {"b": call("b")}))
    leave(world, world.ready()[0], 7)
    assert (world.instance(id).status, world.instance(id).output) == (Status.COMPLETED, 7)


@pytest.mark.parametrize(
    "wrapped",
    [
        {"w": {"do": [{"a": call("a")}, {"b": call("b")}]}},
        rethrowing({"a": call("a")}, {"b": call("b")}, handler={"h": call("h")}),
        loop({"a": call("a")}, concurrency=None),
    ],
    ids=["do", "try", "for"],
)
def test_it_ends_the_lists_around_it(wrapped: dict[str, Any]) -> None:
    world, id = run(doc(wrapped, {"n": call("n")}), [1, 2, 3])
    leave(world, world.ready()[0], 7)
    assert world.instance(id).output == 7


def test_it_ends_no_other_member() -> None:
    chain = {"do": [{"x": call("x")}, {"y": call("y")}]}
    world, id = run(doc(fork({"a": chain}, {"b": call("b")}), {"n": call("n")}))
    one, two = world.ready()
    leave(world, one, 1)
    world.succeed(two, 2)
    assert world.ready()[0].task == "n"
    world.succeed(world.ready()[0], "end")
    assert world.instance(id).output == "end"


def test_it_ends_one_parallel_iteration() -> None:
    world, id = run(doc(loop({"x": call("x")}, {"y": call("y")}), {"n": call("n")}), [1, 2])
    one, two = world.ready()
    leave(world, one, 1)
    world.succeed(two)
    world.succeed(world.ready()[0], 2)
    assert world.step(id, "l").output == [1, 2]


def test_it_is_kept_through_a_suspension() -> None:
    world, id = run(doc({"a": call("a")}, {"b": call("b")}))
    attempt = world.claim(world.ready()[0])
    world.command(id, "suspend")
    leave(world, attempt, 7)
    world.command(id, "resume")
    assert world.instance(id).output == 7


# -- tasks that replace themselves by a workflow --------------------


def replaced(child: dict[str, Any], *after: dict[str, Any], **metadata: Any) -> tuple[World, str]:
    """An instance whose first task has replaced itself by an instance of `child`."""
    world = World(doc({"a": call("a", **metadata)}, *after))
    child["document"]["name"] = "child"
    workflow = world.deploy(child)
    id = world.start("test/flow")
    attempt = world.ready()[0]
    replacement = {"workflow_id": workflow, "namespace": "test", "input": {"n": 1}}
    end = AttemptEnd(attempt.id, AttemptState.SUCCEEDED, replacement=replacement)
    world.end(attempt, end)
    return world, id


def child_of(world: World, id: str) -> str:
    return next(other for other in world.rows if other != id)


def test_the_step_waits_for_the_workflow_and_has_its_output() -> None:
    world, id = replaced(doc({"x": call("x")}), {"n": call("n")})
    assert world.instance(child_of(world, id)).input == {"n": 1}
    assert [attempt.task for attempt in world.ready()] == ["x"]
    world.succeed(world.ready()[0], "out")
    assert world.step(id, "a").output == "out"
    assert [attempt.task for attempt in world.ready()] == ["n"]


def test_the_step_faults_with_the_workflows_error() -> None:
    world, id = replaced(doc({"x": boom(503)}))
    assert world.instance(id).status is Status.FAULTED
    assert world.instance(id).error["status"] == 503
    assert world.instance(id).error["instance"] == "/do/0/a"


def test_a_cancel_of_the_parent_cancels_it() -> None:
    world, id = replaced(doc({"x": call("x")}))
    world.command(id, "cancel")
    assert world.instance(child_of(world, id)).status is Status.CANCELLED
    assert world.instance(id).status is Status.CANCELLED


@pytest.mark.usefixtures("decided")
def test_a_retry_continues_in_it() -> None:
    world, id = replaced(doc({"x": call("x")}, {"y": call("y")}))
    world.succeed(world.ready()[0])
    world.fail(world.ready()[0])
    assert world.instance(id).status is Status.FAULTED
    world.command(id, "retry")
    assert [attempt.task for attempt in world.ready()] == ["y"]
    world.succeed(world.ready()[0], "again")
    assert world.instance(id).output == "again"
    assert len(world.rows) == 2


def test_it_is_undone_with_its_parent() -> None:
    world, _id = replaced(
        doc({"x": call("x", "undo_x")}), {"n": call("n", "undo_n")}, {"m": call("m")}
    )
    world.succeed(world.ready()[0])
    world.succeed(world.ready()[0])
    world.fail(world.ready()[0])
    undone = []
    while ready := world.ready():
        undone.append(ready[0].task)
        world.succeed(ready[0])
    assert undone == ["undo_n", "undo_x"]


def test_a_compensation_of_the_task_itself_comes_first() -> None:
    child = doc({"x": call("x")})
    world, _id = replaced(child, {"m": call("m")}, compensate={"call": "undo_a"})
    world.succeed(world.ready()[0])
    world.fail(world.ready()[0])
    assert [attempt.task for attempt in world.ready()] == ["undo_a"]
