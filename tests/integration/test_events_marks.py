"""Which events an instance hears is said by their numbers and its mark, whatever clocks say."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest

from orchestrator.core.model import Json
from orchestrator.database.connection.database import UNBOUNDED
from orchestrator.database.events import event_matching_queries, event_queries
from orchestrator.database.schedules.timer_queries import fire
from tests.integration.test_events_matching import GATE, NAMESPACE, ONE, Play, listen, of
from tests.support.api import Api
from tests.support.events import event


@pytest.fixture
def play(api: Api) -> Play:
    return Play(api)


def steps(play: Play, id: str) -> list[Json]:
    """The outputs of its steps."""
    return [one["output"] for one in play.api.get(f"/v1/instances/{id}/steps").json["items"]]


def test_an_event_that_one_instance_took_is_not_for_one_started_later(play: Play):
    """An approval of order 1 does not approve order 2."""
    name = play.workflow(listen(ONE))
    first = play.start(name)
    play.match()
    play.put(event(data="approved"))
    play.settle(first)
    assert play.output(first) == ["approved"]
    second = play.start(name)
    play.settle(second)
    assert play.output(second) == "waiting"


def test_nor_is_one_whose_matching_lags(play: Play):
    play.put(event(data="approved"))
    play.age(7)
    id = play.start(play.workflow(listen(ONE)))
    play.settle(id)
    assert play.output(id) == "waiting"
    assert not event_matching_queries.has_unmatched(play.api.database, NAMESPACE)


def test_nor_is_one_that_another_listener_of_it_looks_back_at(play: Play):
    play.put(event(data="before"))
    id = play.start(play.workflow(GATE, listen(ONE)))
    play.put(event("2", "go"))
    play.settle(id)
    assert play.output(id) == "waiting"


def test_two_that_look_back_together_hear_what_each_of_them_may(play: Play):
    name = play.workflow(GATE, listen(ONE))
    older = play.start(name)
    play.put(event(data="between"))
    play.match()
    younger = play.start(name)
    play.put(event("2", "go"))
    play.match()
    for id in (older, younger):
        play.services.state.process_inbox(id)
    play.settle(older, younger)
    assert [play.output(older), play.output(younger)] == [["between"], "waiting"]


@pytest.mark.parametrize("hours", [-1, 1], ids=["the API's clock late", "the API's clock early"])
def test_no_clock_of_the_api_decides(play: Play, hours: int):
    play.put(event(data="before"))
    play.match()
    id = play.api.start(play.workflow(listen(ONE)))
    play.api.all(
        "update orchestrator.instances set created_at = created_at + %s * interval '1 h'", hours
    )
    play.services.state.process_inbox(id)
    play.settle(id)
    assert play.output(id) == "waiting"
    play.put(event("2", data="after"))
    play.settle(id)
    assert play.output(id) == ["after"]


def test_a_start_that_commits_after_an_event_that_it_began_before(play: Play):
    """They overlap: whoever looks, the answer is the same, here that it hears the event."""
    name = play.workflow(GATE, {"f": {"fork": {"branches": [listen(ONE, "a"), listen(ONE, "b")]}}})
    ((workflow,),) = play.api.all("select id::text from orchestrator.workflows where name = %s",
                                  name)  # fmt: skip
    id = "0190b5c8-0000-7000-8000-000000000001"
    with play.api.database.transaction(UNBOUNDED) as start:
        start.all(
            "select orchestrator.start_instance(%s, true, %s, null, null, null, now(),"
            ' \'{"by": "test"}\', 1::smallint)',
            (workflow, id),
        )
        play.put(event(data="meanwhile"))
        play.match()
    play.services.state.process_inbox(id)
    play.put(event("2", "go"))
    play.settle(id)
    assert play.output(id) == [["meanwhile"], ["meanwhile"]]


@pytest.mark.parametrize("matched", ["before the listener", "after the listener"])
def test_an_event_that_commits_after_a_start_that_it_began_before(play: Play, matched: str):
    """They overlap: whoever looks, the answer is the same, here that it is not heard."""
    name = play.workflow(listen(ONE))
    with play.api.database.transaction(UNBOUNDED) as late:
        event_queries.put(late, NAMESPACE, [event(data="late")])
        id = play.api.start(name)
        if matched == "after the listener":
            play.services.state.process_inbox(id)
            play.match()
    play.match()
    play.services.state.process_inbox(id)
    play.settle(id)
    assert play.output(id) == "waiting"


def test_a_restored_database_goes_on_with_its_numbers(
    play: Play, module_database_url: str, postgres_url: str
):
    """Transaction ids begin anew in another server; marks and numbers travel with the rows."""
    play.put(event(data="before"))
    play.match()
    id = play.start(play.workflow(listen(ONE)))
    ((last,),) = play.api.all("select max(receipt_number) from orchestrator.events")
    source = module_database_url.rsplit("/", 1)[1]
    copy = f"{source}_restored"
    play.api.database.close()
    server = psycopg2.connect(postgres_url)
    server.autocommit = True
    try:
        server.cursor().execute(f"create database {copy} template {source}")
        restored = psycopg2.connect(module_database_url.rsplit("/", 1)[0] + "/" + copy)
        cursor = restored.cursor()
        cursor.execute(
            "select i.heard_from, l.heard_from from orchestrator.instances i"
            " join orchestrator.listeners l on l.instance_id = i.id where i.id = %s", (id,),
        )  # fmt: skip
        assert cursor.fetchone() == (last, last)
        cursor.execute(
            "insert into orchestrator.events (id, namespace, event_id, source, type, event)"
            " values (gen_random_uuid(), 'shop', 'x', '/s', 't', '{}') returning receipt_number"
        )
        assert cursor.fetchone() == (last + 1,)
        restored.close()
    finally:
        server.cursor().execute(f"drop database if exists {copy} with (force)")
        server.close()


# -- who sets marks ------------------------------------------------------------------------------


def test_an_instance_that_is_to_start_later_hears_from_its_start_on(play: Play):
    """A signal to it waits all the same: it is addressed."""
    name = play.workflow(listen({"one": of("signal")}, "s"), listen(ONE))
    body = {"workflow": {"namespace": NAMESPACE, "name": name}}
    answer = play.api.post("/v1/instances", json={**body, "start_at": "2999-01-01T00:00:00Z"})
    id = answer.json["id"]
    play.put(event("1", data="broadcast"))
    play.put(event("2", "signal", data="for it"), to=id)
    play.match()
    play.api.all("update orchestrator.timers set due_at = now() where instance_id = %s", id)
    fire(play.api.database)
    play.services.state.process_inbox(id)
    play.settle(id)
    assert steps(play, id) == [["for it"], None]
    play.put(event("3", data="later"))
    play.settle(id)
    assert steps(play, id) == [["for it"], ["later"]]


def test_a_child_hears_from_its_own_start_on(play: Play):
    child = play.workflow(listen(ONE))
    run = {"run": {"workflow": {"namespace": NAMESPACE, "name": child, "version": "1.0.0"}}}
    parent = play.start(play.workflow(GATE, {"r": run}))
    play.put(event(data="before"))
    play.match()
    play.put(event("2", "go"))
    play.settle(parent)
    ((id,),) = play.api.all(
        "select id::text from orchestrator.instances where parent_instance = %s", parent
    )
    play.settle(id)
    assert play.output(id) == "waiting"
    play.put(event("3", data="after"))
    play.settle(id, parent)
    assert play.output(parent) == ["after"]


def scheduled(play: Play, **policy: Any) -> str:
    """A workflow that an order starts, and that listens for what comes with it."""
    return play.workflow(listen(ONE), schedule={"on": {"one": of("order")}}, **policy)


def instances(play: Play, name: str) -> list[str]:
    found = play.api.get(f"/v1/instances?workflow={name}").json["items"]
    return [one["id"] for one in reversed(found)]


def test_an_event_right_after_the_one_that_starts_an_instance_is_for_it(play: Play):
    """Both are there when they are matched, so the instance is younger than both."""
    name = scheduled(play)
    play.put(event("0", data="before"), event("1", "order"), event("2", data="after"))
    play.match()
    (id,) = instances(play, name)
    play.services.state.process_inbox(id)
    play.settle(id)
    assert play.output(id) == ["after"]


def test_an_event_before_the_schedule_or_the_subscription_starts_nothing(play: Play):
    play.put(event("1", "order"))
    name = scheduled(play)
    other = play.workflow({"s": {"set": {"n": 1}}})
    body = {"namespace": NAMESPACE, "filter": {"type": "order"}, "workflow": {"name": other}}
    assert play.api.post("/v1/subscriptions", json=body).status_code == 201
    play.match()
    assert instances(play, name) == instances(play, other) == []
    play.put(event("2", "order"))
    play.match()
    assert len(instances(play, name)) == len(instances(play, other)) == 1


def test_an_event_while_they_rest_starts_nothing_once_they_are_active_again(play: Play):
    name = scheduled(play)
    ((schedule,),) = play.api.all("select id::text from orchestrator.schedules")
    other = play.workflow({"s": {"set": {"n": 1}}})
    body = {"namespace": NAMESPACE, "filter": {"type": "order"}, "workflow": {"name": other}}
    subscription = play.api.post("/v1/subscriptions", json=body).json["id"]
    changes = (
        (f"/v1/schedules/{schedule}", {"paused": True}, {"paused": False}),
        (f"/v1/subscriptions/{subscription}", {"state": "paused"}, {"state": "active"}),
    )
    for path, rest, _ in changes:
        assert play.api.patch(path, json=rest).status_code == 200
    play.put(event("1", "order"))
    for path, _, again in changes:
        assert play.api.patch(path, json=again).status_code == 200
    play.match()
    assert instances(play, name) == instances(play, other) == []
    play.put(event("2", "order"))
    play.match()
    assert len(instances(play, name)) == len(instances(play, other)) == 1


# -- how far one looks back ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "seconds", "expected"),
    [
        ({}, 4, ["early"]),
        ({}, 6, "waiting"),
        ({"lookBack": {"minutes": 1}}, 50, ["early"]),
        ({"lookBack": "PT0S"}, 1, "waiting"),
    ],
    ids=str,
)
@pytest.mark.parametrize("matched", [True, False], ids=["matched", "not matched yet"])
def test_a_listener_may_look_back_further(
    play: Play, metadata: dict[str, Any], seconds: float, expected: Json, matched: bool
):
    second = listen(ONE, metadata=metadata)
    id = play.start(play.workflow(GATE, second))
    play.match()
    play.put(event(data="early"))
    if matched:
        play.match()
    play.age(seconds)
    play.put(event("2", "go"), to=id)
    if matched:
        play.settle(id)
    else:
        # The gate opens, and its step goes on, before anybody matches the event.
        play.api.all("update orchestrator.events set matched_at = now() where event_id = '1'")
        play.match()
        play.services.state.process_inbox(id)
        play.api.all("update orchestrator.events set matched_at = null where event_id = '1'")
        play.settle(id)
    assert play.output(id) == expected


def test_how_far_a_listener_looks_back_is_no_expression(play: Play):
    task = listen(ONE, metadata={"lookBack": "${ .x }"})
    head = {"dsl": "1.0.3", "namespace": NAMESPACE, "name": "bad", "version": "1.0.0"}
    answer = play.api.post("/v1/workflows", json={"document": head, "do": [task]})
    assert answer.status_code == 422
    assert "lookBack" in answer.json["errors"][0]["pointer"]
