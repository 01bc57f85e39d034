"""How data flows through tasks, and what expressions can read."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.model import Status
from orchestrator.testing.world import World
from tests.support.documents import call, doc

NUMBER = {"format": "json", "document": {"type": "number"}}


def run(document: dict[str, Any], input: Any = None, **more: Any) -> tuple[World, str]:
    world = World(document, **more)
    return world, world.start(input=input)


def output(document: dict[str, Any], input: Any = None) -> Any:
    world, id = run(document, input)
    assert world.instance(id).status is Status.COMPLETED, world.instance(id).error
    return world.instance(id).output


def fault(document: dict[str, Any], input: Any = None) -> dict[str, Any]:
    world, id = run(document, input)
    assert world.instance(id).status is Status.FAULTED
    error: dict[str, Any] = world.instance(id).error
    return {**error, "type": error["type"].rsplit("/", 1)[-1]}


def test_input_from_and_output_as_transform() -> None:
    task = {
        "input": {"from": ".a"},
        "set": "${ . + 1 }",
        "output": {"as": "{ got: ., in: $input }"},
    }
    assert output(doc({"t": task}), {"a": 1}) == {"got": 2, "in": 1}


def test_they_may_be_objects_with_expressions_in_them() -> None:
    task = {"input": {"from": {"x": "${ .a }", "k": 1}}, "set": "${ . }"}
    assert output(doc({"t": task}), {"a": 5}) == {"x": 5, "k": 1}


def test_the_workflows_own_input_and_output_are_transformed() -> None:
    document = doc({"t": {"set": "${ . * 2 }"}}, input={"from": ".n"}, output={"as": "{ n: . }"})
    assert output(document, {"n": 4}) == {"n": 8}


def test_export_replaces_the_context_and_sees_the_transformed_output() -> None:
    first = {
        "set": {"x": 1},
        "output": {"as": ".x"},
        "export": {"as": "{ seen: ., same: $output, raw: $task.output }"},
    }
    document = doc({"a": first}, {"b": {"set": "${ $context }"}})
    assert output(document) == {"seen": 1, "same": 1, "raw": {"x": 1}}


def test_the_context_is_null_before_anything_was_exported() -> None:
    assert output(doc({"a": {"set": {"c": "${ $context }"}}}), {"x": 1}) == {"c": None}


@pytest.mark.parametrize(
    ("task", "place"),
    [
        ({"set": {}, "input": {"schema": NUMBER}}, "input"),
        ({"set": {"x": 1}, "output": {"schema": NUMBER}}, "output"),
        ({"set": {"x": 1}, "export": {"as": ".", "schema": NUMBER}}, "context"),
    ],
)
def test_schemas_are_validated(task: dict[str, Any], place: str) -> None:
    error = fault(doc({"t": task}), {"n": 1})
    assert (error["type"], error["status"]) == ("validation", 400)
    assert error["instance"] == "/do/0/t"
    assert place in error["detail"]


def test_the_raw_input_is_validated_before_it_is_transformed() -> None:
    task = {"input": {"schema": NUMBER, "from": "{ n: . }"}, "set": "${ .n }"}
    assert output(doc({"t": task}), 3) == 3


def test_the_workflows_schemas_are_validated() -> None:
    error = fault(doc({"t": {"set": {"x": 1}}}, input={"schema": NUMBER}), "text")
    assert (error["type"], error["instance"]) == ("validation", "/")
    error = fault(doc({"t": {"set": {"x": 1}}}, output={"schema": NUMBER}))
    assert (error["type"], error["instance"]) == ("validation", "/")


def test_a_schema_never_reads_from_elsewhere() -> None:
    remote = {"document": {"$ref": "https://example.com/schema.json"}}
    assert fault(doc({"t": {"set": {}, "input": {"schema": remote}}}))["type"] == "configuration"
    resource = {"resource": {"endpoint": "https://example.com/schema.json"}}
    assert fault(doc({"t": {"set": {}, "input": {"schema": resource}}}))["type"] == "configuration"


def test_a_failed_expression_is_a_fault_of_its_task() -> None:
    error = fault(doc({"t": {"set": {"x": "${ .a | error }"}}}), {"a": "no"})
    assert (error["type"], error["status"], error["instance"]) == ("expression", 400, "/do/0/t")


def test_text_with_an_expression_in_it_is_text() -> None:
    assert output(doc({"t": {"set": {"x": "a ${ .b }", "y": ".b"}}})) == {
        "x": "a ${ .b }",
        "y": ".b",
    }


def test_expressions_in_data_are_data() -> None:
    assert output(doc({"t": {"set": {"x": "${ .evil }"}}}), {"evil": "${ 1 }"}) == {"x": "${ 1 }"}


def test_loose_mode_tries_every_text() -> None:
    document = doc({"t": {"set": {"x": ".a", "y": "just text", "z": "${ .a }"}}})
    document["evaluate"] = {"mode": "loose"}
    assert output(document, {"a": 1}) == {"x": 1, "y": "just text", "z": 1}


def test_a_task_describes_itself() -> None:
    task = {"input": {"from": ".n"}, "set": {"t": "${ $task | del(.definition, .startedAt) }"}}
    assert output(doc({"me": task}), {"n": 1})["t"] == {
        "name": "me",
        "reference": "/do/0/me",
        "input": {"n": 1},
        "output": None,
    }


def test_the_workflow_and_the_runtime_describe_themselves() -> None:
    program = (
        "${ [$workflow.input.n, $workflow.definition.document.name, $workflow.id, $runtime.name] }"
    )
    world, id = run(doc({"a": {"set": {}}}, {"b": {"set": {"x": program}}}), {"n": 1})
    assert world.instance(id).output["x"] == [1, "flow", id, "celery-orchestrator"]


def test_times_are_the_transitions() -> None:
    program = "${ [$workflow.startedAt.epoch.seconds, $task.startedAt.iso8601, now] }"
    document = doc({"w": {"wait": "PT1S"}}, {"a": {"set": {"x": program}}})
    world, id = run(document)
    world.run_out()
    assert world.instance(id).output["x"] == [1767225600, "2026-01-01T00:00:01Z", 1767225601]


def test_a_basic_or_bearer_authorization_is_known() -> None:
    at = {"uri": "https://example.com", "authentication": {"use": "me"}}
    task = {"call": "http", "with": {"method": "get", "endpoint": at}}
    task["output"] = {"as": "$authorization"}
    policies = {"me": {"bearer": {"token": "${ .token }"}}}
    world, id = run(doc({"t": task}, use={"authentications": policies}), {"token": "abc"})
    world.succeed(world.ready()[0], {})
    assert world.instance(id).output == {"scheme": "Bearer", "parameter": "abc"}


@pytest.mark.parametrize(
    ("policy", "scheme"),
    [
        ({"basic": {"use": "pin"}}, "Basic"),
        ({"basic": {"username": "u", "password": "${ $secrets.pin }"}}, "Basic"),
        ({"bearer": {"use": "pin"}}, "Bearer"),
        ({"bearer": {"token": "${ $secret.pin }"}}, "Bearer"),
        ({"digest": {"username": "u", "password": "p"}}, "Digest"),
        ({"oauth2": {"use": "pin"}}, "Bearer"),
        ({"oidc": {"authority": "https://a.example", "grant": "client_credentials"}}, "Bearer"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_an_authorization_that_the_worker_alone_knows_has_its_scheme(
    policy: dict[str, Any], scheme: str, named: bool
) -> None:
    use: dict[str, Any] = {"secrets": ["pin"], "authentications": {"me": policy}}
    at = {"uri": "https://example.com", "authentication": {"use": "me"} if named else policy}
    task = {"call": "http", "with": {"method": "get", "endpoint": at}}
    task["output"] = {"as": "$authorization"}
    world, id = run(doc({"t": task}, use=use))
    world.succeed(world.ready()[0], {})
    assert world.instance(id).output == {"scheme": scheme, "parameter": None}


# -- calls --------------------


def test_an_explicit_celery_call_has_args_kwargs_queue_and_priority() -> None:
    arguments = {"task": "${ .t }", "args": ["${ .n }"], "kwargs": {"k": 1}, "queue": "q"}
    world, _ = run(
        doc({"a": {"call": "celery", "with": {**arguments, "priority": 3}}}), {"t": "x", "n": 2}
    )
    (attempt,) = world.ready()
    assert (attempt.task, attempt.queue, attempt.priority) == ("x", "q", 3)
    assert world.call_of(attempt) == {
        "kind": "celery",
        "task": "x",
        "args": [2],
        "kwargs": {"k": 1},
    }


@pytest.mark.parametrize(
    ("queue", "shown"),
    [(None, "null"), (7, "7"), ("", '""'), ("a\n", '"a\\n"'), ({"a": 1}, '{"a": 1}')],
)
def test_a_queue_that_is_none_is_shown(queue: Any, shown: str) -> None:
    world, id = run(doc({"a": {"call": "x", "metadata": {"queue": "${ .q }"}}}), {"q": queue})
    error = world.instance(id).error
    assert error is not None
    assert error["detail"].startswith(f"the queue is {shown}, not a printable text")


def test_other_calls_are_carried_out_by_a_task_of_ours() -> None:
    arguments = {"method": "get", "endpoint": "https://example.com/{id}", "query": {"q": "${ .q }"}}
    world, _ = run(doc({"a": {"call": "http", "with": arguments}}), {"q": "x"})
    (attempt,) = world.ready()
    assert attempt.task == "orchestrator.call"
    assert world.call_of(attempt) == {"kind": "http", "with": {**arguments, "query": {"q": "x"}}}


@pytest.mark.parametrize(
    "task",
    [
        {"call": "grpc", "with": {}},
        {"call": "log:0.5.2@global", "with": {}},
        {"run": {"shell": {"command": "${ .command }"}}},
        {"run": {"script": {"language": "python", "code": "${ .code }"}}},
        {"run": {"container": {"image": "x"}}},
        {"call": "celery", "with": {}},
    ],
)
def test_what_is_not_built_faults_when_it_is_reached(task: dict[str, Any]) -> None:
    error = fault(doc({"t": task}))
    assert (error["type"], error["instance"]) == ("configuration", "/do/0/t")


def test_arguments_with_secrets_are_left_to_the_worker() -> None:
    arguments = {"token": "${ $secrets.key }", "who": "${ $who + .x }"}
    body = {"call": "t", "with": arguments}
    document = doc(
        {"f": {"for": {"in": '["me"]', "each": "who"}, "do": [{"a": body}]}},
        use={"secrets": ["key"]},
    )
    world, id = run(document, {"x": "!"}, secrets={"key": "hush"})
    (attempt,) = world.ready()
    assert world.call_of(attempt) == {
        "kind": "celery",
        "task": "t",
        "deferred": True,
        "explicit": False,
        "with": arguments,
        "variables": {"who": "me"},
        "input": {"x": "!"},
    }
    assert "hush" not in repr(world.rows[id])


def test_secrets_in_data_are_needed() -> None:
    document = doc({"a": {"set": {"t": "${ $secrets.key }"}}}, use={"secrets": ["key"]})
    world, id = run(document, secrets={"key": "hush"})
    assert world.instance(id).output == {"t": "hush"}
    world, id = run(document)
    error = world.instance(id).error
    assert (error["type"].rsplit("/", 1)[-1], error["status"]) == ("authorization", 403)


def test_a_function_runs_as_the_calls_child() -> None:
    function = {
        "input": {"schema": {"document": {"required": ["n"]}}},
        "call": "worker.double",
        "with": {"n": "${ .n }"},
        "output": {"as": ".result"},
    }
    document = doc(
        {"a": {"call": "double", "with": {"n": "${ .x }"}, "output": {"as": "{ y: . }"}}},
        use={"functions": {"double": function}},
    )
    world, id = run(document, {"x": 4})
    (attempt,) = world.ready()
    assert world.call_of(attempt)["kwargs"] == {"n": 4}
    assert world.step_of(attempt).reference == "/use/functions/double"
    world.succeed(attempt, {"result": 8})
    assert world.instance(id).output == {"y": 8}
    world, id = run(document, {"x": None})
    world.fail(world.ready()[0])
    assert world.instance(id).error["instance"] == "/use/functions/double"


def test_a_name_that_is_no_function_is_a_celery_tasks() -> None:
    world, _ = run(doc({"a": call("shop.pay")}))
    assert world.ready()[0].task == "shop.pay"
