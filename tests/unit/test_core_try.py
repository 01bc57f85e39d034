"""Errors raised, caught, retried, rolled back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrator.core.model import Status
from orchestrator.testing.instance_store import EPOCH
from orchestrator.testing.world import World
from tests.support.documents import boom, call, doc


def run(document: dict[str, Any], input: Any = None, **more: Any) -> tuple[World, str]:
    world = World(document, **more)
    return world, world.start(input=input)


def block(catch: dict[str, Any], *tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"t": {"try": list(tasks) or [{"r": boom(503)}], "catch": catch, **more}}


def handler(name: str = "error") -> list[dict[str, Any]]:
    return [{"h": {"set": {"caught": f"${{ ${name} }}"}}}]


def caught(catch: dict[str, Any], *tasks: dict[str, Any]) -> bool:
    world, id = run(doc(block({**catch, "do": handler()}, *tasks)), {"limit": 500})
    return world.instance(id).status is Status.COMPLETED


def test_the_handler_sees_the_error_by_its_name() -> None:
    world, id = run(doc(block({"as": "problem", "do": handler("problem")})))
    assert world.instance(id).output == {
        "caught": {
            "type": "https://serverlessworkflow.io/spec/1.0.0/errors/runtime",
            "status": 503,
            "title": "Boom",
            "instance": "/do/0/t/try/0/r",
        }
    }
    assert world.step(id, "h").reference == "/do/0/t/catch/do/0/h"


@pytest.mark.parametrize(
    ("catch", "expected"),
    [
        ({}, True),
        ({"errors": {"with": {"status": 503}}}, True),
        ({"errors": {"with": {"status": 404}}}, False),
        ({"errors": {"with": {"title": "Boom", "instance": "/do/0/t/try/0/r"}}}, True),
        ({"errors": {"with": {"detail": "x"}}}, False),
        (
            {"errors": {"with": {"type": "https://open-workflow-specification.org/x/runtime"}}},
            True,
        ),
        ({"errors": {"with": {"type": "https://example.com/x/runtime"}}}, False),
        ({"when": ".status > $input.limit"}, True),
        ({"when": "$error.status < 500"}, False),
        ({"exceptWhen": ".status == 503"}, False),
        ({"exceptWhen": ".status == 404"}, True),
    ],
)
def test_what_is_caught(catch: dict[str, Any], expected: bool) -> None:
    assert caught(catch) is expected


def test_conditions_pauses_and_the_handler_can_read_an_errors_data() -> None:
    catch = {
        "when": "$error.data.content.code == 7",
        "retry": {
            "delay": "${ {seconds: $error.data.retryAfter} }",
            "limit": {"attempt": {"count": 1}},
        },
        "do": handler(),
    }
    document = doc(block(catch, {"a": call("pay")}), {"b": {"set": "${ .caught.data }"}})
    world, id = run(document)
    data = {"statusCode": 429, "retryAfter": 9, "content": {"code": 7}}
    error = {"type": "https://e.example/busy", "status": 429, "data": data}
    world.fail(world.ready()[0], error)
    world.run_out()
    assert (world.now - EPOCH).total_seconds() == 9
    world.fail(world.ready()[0], error)
    assert world.instance(id).output == data


def test_without_a_handler_the_output_is_the_input() -> None:
    world, id = run(doc(block({})), {"x": 1})
    assert world.instance(id).output == {"x": 1}


def test_an_error_in_the_handler_propagates() -> None:
    world, id = run(doc(block({"do": [{"again": boom(418)}]})))
    assert world.instance(id).error["status"] == 418
    assert world.instance(id).error["instance"] == "/do/0/t/catch/do/0/again"


def test_a_broken_condition_is_the_tries_own_fault() -> None:
    world, id = run(doc(block({"when": "error"})))
    error = world.instance(id).error
    assert (error["type"].rsplit("/", 1)[-1], error["instance"]) == ("expression", "/do/0/t")


def test_an_outer_try_catches_what_the_inner_one_lets_pass() -> None:
    inner = block({"errors": {"with": {"status": 1}}})
    world, id = run(doc({"o": {"try": [inner], "catch": {"do": handler()}}}))
    assert world.instance(id).output["caught"]["instance"] == "/do/0/o/try/0/t/try/0/r"


def test_catch_then_says_where_the_error_path_goes() -> None:
    document = doc(
        block({"then": "late"}),
        {"soon": {"set": {"at": "soon"}, "then": "end"}},
        {"late": {"set": {"at": "late"}}},
    )
    world, id = run(document)
    assert world.instance(id).output == {"at": "late"}


def test_raised_errors_come_from_the_document_too() -> None:
    errors = {"gone": {"type": "https://example.com/gone", "status": 410, "detail": "${ .why }"}}
    world, id = run(
        doc({"r": {"raise": {"error": "gone"}}}, use={"errors": errors}), {"why": "old"}
    )
    assert world.instance(id).error == {
        "type": "https://example.com/gone",
        "status": 410,
        "detail": "old",
        "instance": "/do/0/r",
    }


# -- retries --------------------


def pauses(policy: Any, **more: Any) -> list[float]:
    """The pauses between the tries of a block that never succeeds."""
    world, id = run(doc(block({"retry": policy}), **more))
    found = []
    while world.next_due() is not None:
        before = world.now
        world.fire()
        found.append((world.now - before) / timedelta(seconds=1))
    assert world.instance(id).status is Status.FAULTED
    return found


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [
        ({}, [2, 2, 2]),
        ({"constant": {}}, [2, 2, 2]),
        ({"linear": {}}, [2, 4, 6]),
        ({"linear": {"increment": {"seconds": 1}}}, [2, 3, 4]),
        ({"exponential": {}}, [2, 4, 8]),
        ({"exponential": {"factor": 3}}, [2, 6, 18]),
    ],
)
def test_backoff(backoff: dict[str, Any], expected: list[float]) -> None:
    policy = {"delay": {"seconds": 2}, "limit": {"attempt": {"count": 3}}, "backoff": backoff}
    assert pauses(policy) == expected
    assert pauses("again", use={"retries": {"again": policy}}) == expected


def test_jitter_is_added_at_the_end() -> None:
    policy = {
        "delay": "PT1S",
        "backoff": {"exponential": {}},
        "jitter": {"from": {"milliseconds": 100}, "to": {"milliseconds": 500}},
        "limit": {"attempt": {"count": 2}},
    }
    one, two = pauses(policy)
    assert 1.1 <= one <= 1.5
    assert 2.1 <= two <= 2.5


def test_no_retries_beyond_the_limit_of_time() -> None:
    assert pauses({"delay": "PT2S", "limit": {"duration": "PT5S"}}) == [2, 2]


def test_a_retry_may_have_conditions() -> None:
    assert pauses({"when": ".status == 503", "delay": "PT1S", "limit": {"duration": "PT1S"}}) == [1]
    assert pauses({"when": ".status == 404"}) == []
    assert pauses({"exceptWhen": "$error.status == 503"}) == []


def test_the_handler_runs_once_after_the_retries() -> None:
    policy = {"delay": "PT1S", "limit": {"attempt": {"count": 2}}}
    world, id = run(doc(block({"retry": policy, "do": handler()})))
    world.run_out()
    assert world.instance(id).status is Status.COMPLETED
    assert len(world.steps(id, "/do/0/t/try/0/r")) == 3
    assert len(world.steps(id, "/do/0/t/catch/do/0/h")) == 1
    assert [fact.data["retry"] for fact in world.facts(id, "task.retried")] == [1, 2]


def test_a_retry_runs_the_whole_block_with_its_input() -> None:
    policy = {"delay": "PT1S", "limit": {"attempt": {"count": 1}}}
    document = doc(block({"retry": policy}, {"a": {"set": {"n": "${ .n + 1 }"}}}, {"b": call("x")}))
    world, id = run(document, {"n": 0})
    world.fail(world.ready()[0])
    assert world.instance(id).status is Status.WAITING
    world.fire()
    (attempt,) = world.ready()
    assert world.step_of(attempt).input == {"n": 1}
    assert world.now == EPOCH + timedelta(seconds=1)
    world.succeed(attempt, "done")
    assert world.instance(id).output == "done"


def test_retries_without_a_pause_or_a_limit_end_somewhere() -> None:
    world, id = run(doc(block({"retry": {}})))
    assert world.instance(id).status is Status.FAULTED
    assert "looped" in world.instance(id).error["detail"]


def test_a_try_may_be_bounded_in_time() -> None:
    limit = {"attempt": {"count": 1, "duration": "PT5S"}}
    document = doc(block({"retry": {"delay": "PT1S", "limit": limit}}, {"w": {"wait": "PT8S"}}))
    world, id = run(document)
    world.run_out()
    error = world.instance(id).error
    assert (error["status"], error["instance"]) == (408, "/do/0/t")
    assert world.now == EPOCH + timedelta(seconds=11)


def test_the_bound_of_a_try_is_gone_with_it() -> None:
    limit = {"attempt": {"count": 3, "duration": "PT5S"}}
    policy = {"delay": "PT10S", "limit": limit}
    document = doc(block({"retry": policy}, {"c": call("x")}, timeout={"after": "PT1H"}))
    world, id = run(document)
    assert world.ready()[0].time_limit == 5
    world.fail(world.ready()[0])
    assert [kind for _, kind in world.rows[id].timers] == ["timeout", "retry"]
    world.fire()
    world.succeed(world.ready()[0])
    assert world.rows[id].timers == {}
    assert world.instance(id).status is Status.COMPLETED


def test_a_retry_waits_for_withdrawn_attempts_to_end() -> None:
    branches = [{"slow": call("slow")}, {"bad": call("bad")}]
    document = doc(
        block(
            {"retry": {"limit": {"attempt": {"count": 1}}}}, {"f": {"fork": {"branches": branches}}}
        )
    )
    world, id = run(document)
    slow, bad = world.ready()
    world.claim(slow)
    world.fail(bad)
    assert world.ready() == []
    assert world.instance(id).status is Status.RUNNING
    world.succeed(slow, "late")
    assert len(world.ready()) == 2
    assert world.steps(id, "/do/0/t/try/0/f/fork/branches/0/slow")[0].output == "late"
    for attempt in world.ready():
        world.succeed(attempt, "ok")
    assert world.instance(id).output == ["ok", "ok"]


def test_rollback_undoes_the_block_before_each_try_and_the_handler() -> None:
    policy = {"delay": "PT1S", "limit": {"attempt": {"count": 1}}}
    tasks = ({"a": call("a", "undo-a")}, {"b": call("b", "undo-b")}, {"c": call("c")})
    document = doc(
        {"before": call("z", "undo-z")},
        block({"retry": policy, "do": [{"h": call("h")}]}, *tasks, metadata={"rollback": True}),
    )
    world, id = run(document)
    asked = []

    def answer(request: Any) -> Any:
        asked.append(request["task"])
        if request["task"] == "c":
            world.fail(world.ready()[0])
            raise Stop
        return request["task"]

    for _ in range(40):
        try:
            world.work(answer)
        except Stop:
            continue
        if world.next_due() is None:
            break
        world.fire()
    one = ["a", "b", "c", "undo-b", "undo-a"]
    assert asked == ["z", *one, *one, "h"]
    assert world.instance(id).status is Status.COMPLETED
    assert world.instance(id).compensation == "none"


class Stop(Exception):
    """The attempt was ended by a command."""
