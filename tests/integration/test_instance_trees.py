"""Workflows that start themselves end: by `run`, or by the events of what they started."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.database.workflows import instance_tree_queries
from tests.support.api import Api, document
from tests.support.manual_workers import Outside

MOST = 5


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_tree_queries, "MAX_STARTS", MOST)


def runs(name: str) -> dict[str, Any]:
    workflow = {"namespace": "shop", "name": name, "version": "1.0.0"}
    return {"next": {"run": {"workflow": workflow, "await": False}}}


def drain(outside: Outside) -> int:
    """Bring all stimuli, and match all events, until none is left; how many instances there are."""
    events = outside.api.client.application.extensions["orchestrator"].services.events
    for _ in range(200):
        waiting = outside.api.all(
            "select distinct instance_id::text from orchestrator.stimuli limit 50"
        )
        for (id,) in waiting:
            outside.state.process_inbox(id)
        events.match("shop")
        if not waiting:
            break
    ((count,),) = outside.api.all("select count(*) from orchestrator.instances")
    return int(count)


def test_two_workflows_that_run_each_other_end(outside: Outside, api: Api):
    """They started 350 instances a second, for ever."""
    for name, other in (("a", "b"), ("b", "a")):
        api.deploy(document(name, do=[runs(other)]))
    id = api.start("a")
    assert drain(outside) < MOST + 5
    (last,) = api.get("/v1/instances?status=faulted").json["items"]
    error = api.get(f"/v1/instances/{last['id']}").json["error"]
    assert f"that {id} has started have started too many others" in error["detail"]


def test_the_children_of_an_instance_are_not_counted(outside: Outside, api: Api):
    api.deploy(document("child", do=[{"s": {"set": {"a": 1}}}]))
    each = {"for": {"in": "${ [range(20)] }"}, "do": [runs("child")]}
    api.deploy(document("parent", do=[{"all": each}]))
    api.start("parent")
    assert drain(outside) == 21
    assert api.get("/v1/instances?status=faulted").json["items"] == []
    assert api.all("select * from orchestrator.instance_trees") == []


def test_an_event_that_starts_what_emits_it_ends(outside: Outside, api: Api):
    emit = {"e": {"emit": {"event": {"with": {"source": "x", "type": "ping"}}}}}
    api.deploy(document("echo", do=[emit]))
    answer = api.post(
        "/v1/subscriptions",
        json={
            "namespace": "shop",
            "filter": {"type": "ping"},
            "workflow": {"name": "echo"},
        },
    )
    assert answer.status_code == 201, answer.text
    api.start("echo")
    assert drain(outside) < MOST + 5
    ((error,),) = api.all(
        "select error from orchestrator.deliveries where error is not null limit 1"
    )
    assert "too many" in error


def test_a_workflow_started_by_the_event_it_emits_ends(outside: Outside, api: Api):
    emit = {"e": {"emit": {"event": {"with": {"source": "x", "type": "pong"}}}}}
    schedule = {"on": {"one": {"with": {"type": "pong"}}}}
    api.deploy(document("echo", do=[emit], schedule=schedule))
    api.start("echo")
    assert drain(outside) < MOST + 5


def test_after_an_hour_a_tree_may_go_on(api: Api):
    root = "00000000-0000-7000-8000-000000000001"
    api.all(
        "insert into orchestrator.instance_trees values (%s, %s, clock_timestamp())", root, MOST
    )
    assert not instance_tree_queries.may_start(api.database, root)
    api.all("update orchestrator.instance_trees set since = since - interval '61 minutes'")
    assert instance_tree_queries.may_start(api.database, root)
    instance_tree_queries.purge(api.database)
    assert api.all("select * from orchestrator.instance_trees") == []
