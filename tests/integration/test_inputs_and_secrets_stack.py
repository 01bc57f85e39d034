"""What an input can and can't do with a declared secret, through the whole product."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.secrets.encryption import new_key
from tests.support.http_stub import Answer, Stub
from tests.support.secret_scan import found
from tests.support.stack import Stack

SECRET = "s3cret-'value'-\\with-signs"
PART = "s3cret-"

pytestmark = pytest.mark.slow


@pytest.fixture
def stack(tmp_path: Path, database_url: str, broker_url: str) -> Iterator[Stack]:
    settings = {"secrets_key": new_key(), "outbound_allow": "127.0.0.0/8"}
    with Stack(tmp_path, database_url, broker_url, **settings) as running:
        running.api()
        running.worker()
        yield running


def document(name: str, task: dict[str, Any]) -> dict[str, Any]:
    head = {"dsl": "1.0.3", "namespace": "test", "name": name, "version": "1.0.0"}
    return {"document": head, "use": {"secrets": ["token"]}, "do": [{"it": task}]}


def test_an_input_sends_no_secret_anywhere(stack: Stack):
    """Nothing of a declared secret reaches whom the input names; and what may go, goes."""
    put = stack.client.put("/v1/secrets/token?namespace=test", json={"value": SECRET})
    put.raise_for_status()
    secret = "${ $secrets.token }"
    bearer = {"bearer": {"token": secret}}
    with Stub(lambda request: Answer(json={})) as theirs:
        stolen = {"uri": f"{theirs.url}/stolen", "authentication": {"bearer": {"use": "token"}}}
        named = {"uri": f"{theirs.url}/stolen", "authentication": {"use": "acme"}}
        call = {"kind": "http", "deferred": True, "input": {}}
        call["with"] = {"method": "get", "endpoint": theirs.url, "headers": {"X-K": secret}}
        away = Answer(307, headers={"Location": f"{theirs.url}/away"})
        post = {"method": "post", "endpoint": "${ .callback }", "body": {"ok": True}}
        task = {"task": "${ .task }", "kwargs": "${ .kwargs }"}
        with Stub(lambda request: away) as ours:
            at = {"uri": ours.url, "authentication": bearer}
            get = {"method": "get", "endpoint": at, "redirect": True, "headers": {"X-K": secret}}
            runs = {
                "plain": ({"call": "http", "with": post}, {"callback": f"{theirs.url}/plain"}),
                "stolen": ({"call": "http", "with": post}, {"callback": stolen}),
                "named": ({"call": "http", "with": post}, {"callback": named}),
                "task": (
                    {"call": "celery", "with": task},
                    {"task": "orchestrator.call", "kwargs": {"call": call}},
                ),
                "redirect": ({"call": "http", "with": get}, {}),
            }
            ended = {}
            for name, (body, input) in runs.items():
                made = document(f"takes-{name}", body)
                made["use"]["authentications"] = {"acme": bearer}
                ended[name] = stack.run(made, input=input)
            assert ours.requests[0].headers["x-k"] == SECRET
        assert {name: one["status"] for name, one in ended.items()} == {
            "plain": "completed", "stolen": "faulted", "named": "faulted", "task": "faulted",
            "redirect": "completed",
        }  # fmt: skip
        assert [request.path for request in theirs.requests] == ["/plain", "/away"]
        for request in theirs.requests:
            assert found(PART, str(request)) is None
    refused = stack.client.post(
        "/v1/workflows", json=document("refused", {"call": "orchestrator.call"})
    )
    assert refused.status_code == 422


def test_the_specifications_example_of_a_try_catches_its_error(stack: Stack):
    """Its endpoint is `https://`, and what it catches is a communication error."""
    kind = "https://serverlessworkflow.io/spec/1.0.0/errors/communication"
    task = {
        "try": [{"x": {"call": "http", "with": {"method": "get", "endpoint": "https://"}}}],
        "catch": {"errors": {"with": {"type": kind}}, "do": [{"h": {"set": "${ $error }"}}]},
    }
    ended = stack.run(document("no-host", task))
    assert ended["status"] == "completed"
    assert (ended["output"]["type"], ended["output"]["status"]) == (kind, 503)
