"""An input never says where a call goes with a secret, what it is, or how it is authorized."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.calls import CallContext, perform
from orchestrator.core.document_arguments import in_authored_structure
from orchestrator.core.dsl_errors import Fault
from orchestrator.core.model import Status
from orchestrator.document import InvalidDocument, load
from orchestrator.document.allowed_tasks import refusal_reason
from orchestrator.errors import WorkflowError
from orchestrator.execution.step.task_arguments import constant_arguments
from orchestrator.expressions import Evaluator
from orchestrator.outbound import OutboundClient
from orchestrator.state_manager import ClaimedAttempt
from orchestrator.testing.world import World
from tests.support.documents import doc
from tests.support.http_stub import Answer, Stub

EVIL = "${ .evil }"
#: A name that selects a secret or an authentication is not evaluated at all.
LITERAL = ("use", "authentication")
POLICIES = {
    "named": {"use": "acme"},
    "basic": {"basic": {"username": "u", "password": "p"}},
    "bearer": {"bearer": {"token": "t"}},
    "secret": {"bearer": {"use": "pin"}},
    "digest": {"digest": {"username": "u", "password": "p"}},
    "oauth2": {
        "oauth2": {
            "authority": "https://a",
            "grant": "password",
            "client": {"id": "c", "secret": "s", "authentication": "client_secret_post"},
            "endpoints": {"token": "/t"},
            "request": {"encoding": "application/json"},
            "scopes": ["a"],
            "audiences": ["b"],
            "issuers": ["c"],
            "username": "u",
            "password": "p",
            "subject": {"token": "t", "type": "x"},
            "actor": {"token": "t", "type": "x"},
        }
    },
    "oidc": {"oidc": {"authority": "https://a", "grant": "client_credentials"}},
}
ENDPOINTS = ["https://a", *({"uri": "https://a", "authentication": p} for p in POLICIES.values())]
ARGUMENTS: list[dict[str, Any]] = [
    *({"method": "get", "endpoint": endpoint, "output": "raw"} for endpoint in ENDPOINTS),
    *({"document": {"name": "n", "endpoint": e}, "operationId": "o"} for e in ENDPOINTS),
    *(
        {"document": {"endpoint": "https://a"}, "operationId": "o", "authentication": p}
        for p in POLICIES.values()
    ),
    *(
        {"proto": {"endpoint": e}, "service": {"name": "s", "host": "h", "authentication": p}}
        for e, p in zip(ENDPOINTS, POLICIES.values(), strict=False)
    ),
    {"document": {"endpoint": "https://a"}, "server": {"name": "n"}, "protocol": "nats"},
    {"agentCard": {"endpoint": "https://a"}, "server": "https://a", "method": "tasks/get"},
    {
        "method": "tools/call",
        "transport": {
            "stdio": {"command": "c", "arguments": ["a"], "environment": {"A": "b"}},
            "http": {"endpoint": "https://a", "headers": {"A": "b"}},
        },
    },
]


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value, or any part of it, could be an expression."""
    if place:
        yield place
    items = value.items() if isinstance(value, dict) else enumerate(value)
    if isinstance(value, dict | list):
        for key, inner in items:
            yield from leaves(inner, (*place, key))


def put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    changed = copy.deepcopy(value)
    at = changed
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = new
    return changed


PLACES = [(given, place) for given in ARGUMENTS for place in leaves(given)]


@pytest.mark.parametrize("evil", [{"use": "pin"}, {"uri": "https://evil"}, ["x"], {}])
def test_an_expression_gives_no_structure_to_a_call(evil: Any) -> None:
    """Every place of every kind of call but for the data that it sends."""
    for given, place in PLACES:
        stored = put(given, place, EVIL)
        filled = put(given, place, evil)
        if place[-1] in LITERAL:
            assert in_authored_structure(stored, filled) == stored
            continue
        with pytest.raises(Fault) as caught:
            in_authored_structure(stored, filled)
        assert caught.value.error["type"].endswith("/validation")


def test_a_text_of_an_expression_stands_where_a_text_may() -> None:
    for given, place in PLACES:
        stored = put(given, place, EVIL)
        found = in_authored_structure(stored, put(given, place, "text"))
        assert found == (stored if place[-1] in LITERAL else put(given, place, "text"))


def test_the_arguments_as_a_whole_are_no_expression() -> None:
    with pytest.raises(Fault, match="in the document"):
        in_authored_structure(EVIL, {"endpoint": "https://evil"})


def test_what_a_call_sends_may_be_any_data() -> None:
    stored = {"method": "post", "endpoint": "https://a", **dict.fromkeys(("body", "query"), EVIL)}
    filled = {**stored, "body": {"authentication": {"use": "pin"}}, "query": {"use": "x"}}
    assert in_authored_structure(stored, filled) == filled


STEALING = [
    {"uri": "{url}/stolen", "authentication": {"bearer": {"use": "pin"}}},
    {"uri": "{url}/stolen", "authentication": {"use": "acme"}},
    {"uri": "{url}/stolen", "authentication": {"bearer": {"token": "${ $secrets.pin }"}}},
]
USE: dict[str, Any] = {
    "secrets": ["pin"],
    "authentications": {
        "acme": {"bearer": {"token": "${ $secrets.pin }"}},
        # Where several schemes stand, the schema asks for one of them to be right.
        "several": {"basic": "${ .evil }", "bearer": {"token": "t"}},
        "composed": {"oauth2": {"authority": "{url}", "grant": "password", "client": EVIL}},
    },
}


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    found = Evaluator()
    yield found
    found.close()


def context_for(evaluator: Evaluator, input: Any) -> CallContext:
    return CallContext(
        OutboundClient(allow=["127.0.0.0/8"]),
        evaluator.evaluate,
        input=input,
        authentications=USE["authentications"],
        secret_names=("pin",),
        secret=lambda name: f"secret-{name}",
    )


@pytest.mark.parametrize("callback", STEALING)
@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("through", ["call", "function", "compensation"])
def test_an_endpoint_out_of_the_input_brings_no_authentication(
    evaluator: Evaluator, callback: dict[str, Any], deferred: bool, through: str
) -> None:
    """From the document to the request that is not made, evaluated by the core or a worker."""
    task: dict[str, Any] = {
        "call": "http",
        "with": {"method": "post", "endpoint": "${ .callback }", "body": {"a": 1}},
    }
    if deferred:
        task["with"]["body"] = "${ $secrets.pin }"
    with Stub(lambda request: Answer()) as stub:
        input = {"callback": {**callback, "uri": f"{stub.url}/stolen"}}
        use = dict(USE)
        if through == "function":
            use["functions"] = {"notify": task}
            task = {"call": "notify", "with": {"callback": "${ .callback }"}}
        elif through == "compensation":
            fails = {"raise": {"error": {"type": "https://e", "status": 500, "title": "no"}}}
            undo = {**task, "input": {"from": "$input"}}
            task = {"call": "f", "metadata": {"compensate": undo}}
            world = World(doc({"t": task}, {"x": fails}, use=use))
        if through != "compensation":
            world = World(doc({"t": task}, use=use))
        id = world.start(input=input)
        if through == "compensation":
            world.succeed(world.ready()[0], {})
        for attempt in world.ready():
            call = world.call_of(attempt)
            with pytest.raises(WorkflowError, match="not an object"):
                perform(call, context_for(evaluator, input))
        if not deferred:
            assert not world.ready()
            assert world.instance(id).status is Status.FAULTED
        assert not stub.requests


@pytest.mark.parametrize("name", ["several", "composed"])
def test_a_named_policy_takes_no_structure_from_the_input(evaluator: Evaluator, name: str) -> None:
    with Stub(lambda request: Answer()) as stub:
        endpoint = {"uri": stub.url, "authentication": {"use": name}}
        call = {"kind": "http", "with": {"method": "get", "endpoint": endpoint}}
        context = context_for(evaluator, {"evil": {"use": "pin"}, "url": stub.url})
        with pytest.raises(WorkflowError, match="not an object"):
            perform(call, context)
        assert not stub.requests


@pytest.mark.parametrize("part", ["namespace", "name", "version"])
def test_a_sub_workflow_is_named_by_texts(part: str) -> None:
    target = {"namespace": "test", "name": "other", "version": "1.0.0", part: EVIL}
    world = World(doc({"t": {"run": {"workflow": target}}}))
    id = world.start(input={"evil": {"a": [1]}})
    assert world.instance(id).error["type"].endswith("/validation")


# -- tasks of Celery's and ours --------------------

RESERVED = [
    "orchestrator.call",
    "orchestrator.advance",
    "celery.chord",
    "celery.chunks",
    "celery.group",
    "celery.chain",
    "celery.accumulate",
    "celery.backend_cleanup",
    "celery.chord_unlock",
    "celery.anything",
]
HEAD = {"dsl": "1.0.3", "namespace": "test", "name": "flow", "version": "1.0.0"}


def text_of(task: dict[str, Any]) -> str:
    return json.dumps({"document": HEAD, "do": [{"t": task}]})


def problems(task: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidDocument) as caught:
        load(text_of(task))
    return [(problem.pointer, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize("name", RESERVED)
def test_tasks_that_no_document_can_call_are_refused_at_deployment(name: str) -> None:
    for task, place in (
        ({"call": name, "with": {"call": EVIL}}, "/do/0/t/call"),
        ({"call": "celery", "with": {"task": name, "kwargs": EVIL}}, "/do/0/t/with/task"),
        (
            {"call": "f", "metadata": {"compensate": {"call": name}}},
            "/do/0/t/metadata/compensate/call",
        ),
    ):
        ((pointer, message),) = problems(task)
        assert pointer == place
        assert "no document can call" in message


@pytest.mark.parametrize("name", [*RESERVED, "celery.map", "celery.starmap"])
def test_tasks_that_no_document_can_call_are_refused_where_their_name_is_evaluated(
    name: str,
) -> None:
    given = {"task": "${ .t }", "kwargs": "${ .k }"}
    world = World(doc({"a": {"call": "celery", "with": given}}))
    id = world.start(input={"t": name, "k": {"task": "shop.charge", "it": [1]}})
    assert not world.ready()
    assert world.instance(id).error["type"].endswith("/authorization")


@pytest.mark.parametrize(
    "inner",
    [
        EVIL,
        {"task": EVIL},
        {"task": "shop.charge", "subtask_type": "chain"},
        {},
        "",
        "orchestrator.call",
        {"task": "celery.map"},
        7,
    ],
)
def test_a_map_calls_a_literal_task_that_may_be_called(inner: Any) -> None:
    for task in (
        {"call": "celery.map", "with": {"task": inner, "it": EVIL}},
        {"call": "celery", "with": {"task": "celery.starmap", "kwargs": {"task": inner, "it": []}}},
        {"call": "celery", "with": {"task": "celery.map", "args": [inner, EVIL]}},
    ):
        assert len(problems(task)) == 1
    assert len(problems({"call": "celery", "with": {"task": "celery.map", "kwargs": EVIL}})) == 1


@pytest.mark.parametrize("inner", ["shop.charge", {"task": "shop.charge", "args": []}])
def test_a_map_over_a_task_that_the_document_names(inner: Any) -> None:
    given = {"task": "celery.map", "args": [inner, "${ .orders }"]}
    task = {"call": "celery", "with": given}
    load(text_of(task))
    world = World(doc({"a": task}))
    world.start(input={"orders": [1, 2]})
    (attempt,) = world.ready()
    assert world.call_of(attempt)["args"] == [inner, [1, 2]]


def test_a_map_in_loose_mode_calls_what_the_document_names() -> None:
    """There a name that works as an expression is one: it must not become another task."""
    given = {"task": "celery.map", "kwargs": {"task": ".evil", "it": [1]}}
    world = World(doc({"a": {"call": "celery", "with": given}}, evaluate={"mode": "loose"}))
    id = world.start(input={"evil": "orchestrator.call"})
    assert not world.ready()
    assert world.instance(id).error["type"].endswith("/authorization")


def test_names_that_only_look_like_ours() -> None:
    for name in ("celery", "celeryshop.charge", "shop.orchestrator.call", "orchestratorx.y"):
        assert refusal_reason(name, EVIL, EVIL) is None


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize("explicit", [True, False, None])
def test_a_claimed_attempt_of_such_a_task_is_not_run(name: str, explicit: bool | None) -> None:
    """One that was made before the rule was."""
    kwargs = {"call": {"kind": "http", "deferred": True, "with": {}}}
    call: dict[str, Any] = {"kind": "celery", "task": name, "args": [], "kwargs": kwargs}
    if explicit is not None:
        given = {"task": name, "kwargs": kwargs} if explicit else kwargs
        call = {"kind": "celery", "deferred": True, "explicit": explicit, "with": given}
    work = SimpleNamespace(call=call, attempt=SimpleNamespace(task=name))
    with pytest.raises(WorkflowError, match="no document can call"):
        constant_arguments(cast("ClaimedAttempt", work))
