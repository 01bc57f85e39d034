"""`run` of shell commands and scripts, in the core alone."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.model import AttemptState, Compensation, Status
from orchestrator.testing.world import World
from tests.support.documents import call, doc

ECHO = {"run": {"shell": {"command": "echo", "arguments": ["${ .x }"]}}}


def run(document: dict[str, Any], input: Any = None, **more: Any) -> tuple[World, str]:
    world = World(document, **more)
    return world, world.start(input=input)


def test_a_process_is_an_attempt_of_a_worker() -> None:
    task = {**ECHO, "metadata": {"queue": "${ .q }", "priority": 3}, "output": {"as": "{got: .}"}}
    world, id = run(doc({"a": task}), {"x": 5, "q": "tools"})
    (attempt,) = world.ready()
    assert (attempt.task, attempt.queue, attempt.priority) == ("orchestrator.call", "tools", 3)
    assert world.call_of(attempt) == {
        "kind": "shell",
        "with": {"arguments": [5]},
        "constant": {"command": "echo"},
    }
    world.succeed(attempt, "5")
    assert world.instance(id).status is Status.COMPLETED
    assert world.instance(id).output == {"got": "5"}


def test_a_script_carries_its_own_text_and_its_data() -> None:
    script = {
        "language": "js",
        "code": "`${name}`",
        "stdin": "${ . }",
        "environment": {"A": "${ .x }"},
    }
    task = {"run": {"script": script, "return": "all", "await": False}}
    world, _ = run(doc({"a": task}), {"x": {"y": 1}})
    (attempt,) = world.ready()
    assert world.call_of(attempt) == {
        "kind": "script",
        "with": {"stdin": {"x": {"y": 1}}, "environment": {"A": {"y": 1}}},
        "constant": {"language": "js", "code": "`${name}`", "return": "all", "await": False},
    }


def test_data_with_secrets_is_left_to_the_worker() -> None:
    shell = {"command": "login", "environment": {"PIN": "${ $secrets.pin }", "X": "${ $context }"}}
    document = doc({"a": {"run": {"shell": shell}}}, use={"secrets": ["pin"]})
    world, _ = run(document, {"x": 1}, secrets={"pin": "hush"})
    (attempt,) = world.ready()
    assert world.call_of(attempt) == {
        "kind": "shell",
        "deferred": True,
        "with": {"environment": shell["environment"]},
        "constant": {"command": "login"},
        "variables": {"context": None},
        "input": {"x": 1},
    }


@pytest.mark.parametrize(
    "endpoint",
    ["${ .where }", "https://{where}/a.js", {"uri": "${ .where }"}, {"uri": "{+where}"}],
)
def test_no_input_chooses_the_script(endpoint: Any) -> None:
    source = {"endpoint": endpoint}
    document = doc({"a": {"run": {"script": {"language": "js", "source": source}}}})
    for where in ("https://evil.example", {"uri": "https://evil", "authentication": "pin"}):
        world, id = run(document, {"where": where})
        assert world.ready() == []
        assert world.instance(id).error["type"].endswith("/configuration")


@pytest.mark.parametrize(("metadata", "again"), [({}, False), ({"onLost": "retry"}, True)])
def test_a_lost_process_is_repeated_only_if_asked_for(
    metadata: dict[str, Any], again: bool
) -> None:
    world, id = run(doc({"a": {**ECHO, "metadata": metadata}}), {"x": 1})
    (attempt,) = world.ready()
    world.lose(attempt)
    assert len(world.ready()) == again
    assert world.instance(id).status is (Status.RUNNING if again else Status.FAULTED)
    if not again:
        assert world.steps(id)[0].outcome_unknown


def test_a_process_undoes_and_is_undone() -> None:
    undo = {"run": {"shell": {"command": "rm", "arguments": ["${ $output }"]}}}
    document = doc(
        {"a": {**ECHO, "metadata": {"compensate": undo}}},
        {"b": call("fails")},
    )
    world, id = run(document, {"x": 1})
    world.succeed(world.ready()[0], "file")
    world.fail(world.ready()[0])
    (attempt,) = world.ready()
    assert world.call_of(attempt)["constant"] == {"command": "rm"}
    assert world.call_of(attempt)["with"] == {"arguments": ["file"]}
    assert world.call_of(attempt)["key"]
    world.succeed(attempt, "")
    assert world.instance(id).compensation is Compensation.COMPLETED


def test_a_waiting_process_can_be_skipped_and_cancelled() -> None:
    world, id = run(doc({"a": ECHO}), {"x": 1})
    world.command(id, "skip", step=1, output="skipped")
    assert world.ready() == []
    assert world.instance(id).output == "skipped"
    world, id = run(doc({"a": ECHO}), {"x": 1})
    world.command(id, "cancel")
    assert world.ready() == []
    assert world.instance(id).status is Status.CANCELLED
    assert [attempt.state for attempt in world.every_attempt()] == [AttemptState.WITHDRAWN]


def test_a_failed_process_is_caught_and_retried() -> None:
    document = doc(
        {
            "t": {
                "try": [{"a": ECHO}],
                "catch": {"retry": {"delay": "PT1S", "limit": {"attempt": {"count": 1}}}},
            }
        }
    )
    world, id = run(document, {"x": 1})
    world.fail(world.ready()[0])
    world.pass_time(1)
    world.succeed(world.ready()[0], "fine")
    assert world.instance(id).output == "fine"
