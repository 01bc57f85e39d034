"""Events start instances: ``schedule.on``, groups of events, correlated ones apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.model import Json
from orchestrator.database.events import event_matching_queries, event_queries
from tests.support.api import Api
from tests.support.events import event

NAMESPACE = "shop"


class Shop:
    """Documents with event-driven schedules, and the events for them."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.services = api.client.application.extensions["orchestrator"].services

    def deploy(self, on: dict[str, Any], name: str = "order", **more: Any) -> None:
        head = {"dsl": "1.0.3", "namespace": NAMESPACE, "name": name, "version": "1.0.0"}
        metadata = {"metadata": {"schedule": more.pop("policy")}} if "policy" in more else {}
        self.api.deploy(
            {
                "document": {**head, **metadata},
                "schedule": {"on": on, **more},
                "do": [{"s": {"set": {"got": "${ . }"}}}],
            }
        )

    def send(self, *given: dict[str, Json]) -> None:
        event_queries.put(self.api.database, NAMESPACE, given)
        self.services.events.match(NAMESPACE)

    def inputs(self) -> list[Json]:
        return [
            row[0] for row in self.api.all("select input from orchestrator.instances order by id")
        ]

    def data(self) -> list[Json]:
        """The data of the events that each instance was started with."""
        return [[one["data"] for one in given] for given in self.inputs()]


@pytest.fixture
def shop(api: Api) -> Shop:
    return Shop(api)


def of(type: str = "t", **more: Any) -> dict[str, Any]:
    return {"with": {"type": type}, **more}


def by(type: str, **more: Any) -> dict[str, Any]:
    return of(type, correlate={"k": {"from": ".data.k", **more}})


def test_each_event_starts_an_instance_with_an_array_of_it(shop: Shop):
    shop.deploy({"one": of()})
    shop.send(event("1", "other"), event("2", data=5))
    shop.send(event("2", data=5), event("3", data=6))
    assert shop.inputs() == [[event("2", data=5)], [event("3", data=6)]]
    schedule = shop.api.get("/v1/schedules").json["items"][0]
    firings = shop.api.get(f"/v1/schedules/{schedule['id']}/firings").json["items"]
    assert [(one["reason"], one["outcome"]) for one in firings] == [("event", "started")] * 2
    found = shop.api.get("/v1/events?type=t").json["items"][0]
    (match,) = shop.api.get(f"/v1/events/{found['id']}").json["matches"]
    assert (match["instance"], match["step"]) == (firings[0]["instance"], None)
    shop.services.state.process_inbox(match["instance"])
    assert shop.api.get(f"/v1/instances/{match['instance']}").json["output"] == {
        "got": [event("3", data=6)]
    }


@pytest.mark.parametrize(
    ("read", "expected"),
    [("data", None), ("raw", "AA=="), ("envelope", event(data_base64="AA=="))],
)
def test_what_is_read_of_an_event(shop: Shop, read: str, expected: Json):
    shop.deploy({"one": of()}, read=read)
    shop.send(event(data_base64="AA=="))
    assert shop.inputs() == [[expected]]


def test_all_makes_groups(shop: Shop):
    shop.deploy({"all": [of("a"), of("b")]})
    shop.send(event("1", "a", data=1), event("2", "a", data=2))
    assert shop.inputs() == []
    shop.send(event("3", "b", data=3))
    assert shop.data() == [[1, 3]]
    shop.send(event("4", "b", data=4))
    assert shop.data() == [[1, 3], [2, 4]]
    assert shop.api.all("select count(*) from orchestrator.event_groups") == [(0,)]


def test_groups_of_different_correlations_are_apart(shop: Shop):
    shop.deploy({"all": [by("a"), by("b")]})
    shop.send(
        event("1", "a", data={"k": 1}),
        event("2", "a", data={"k": 2}),
        event("3", "b", data={"k": 2}),
        event("4", "b", data={}),
    )
    assert shop.data() == [[{"k": 2}, {"k": 2}]]
    shop.send(event("5", "b", data={"k": "1"}))
    assert shop.data() == [[{"k": 2}, {"k": 2}], [{"k": 1}, {"k": "1"}]]


def test_a_correlation_may_expect_something(shop: Shop):
    shop.deploy({"one": by("a", expect="gold")})
    shop.send(event("1", "a", data={"k": "iron"}), event("2", "a", data={"k": "gold"}))
    assert shop.data() == [[{"k": "gold"}]]


def test_any_gathers_until_an_expression_holds(shop: Shop):
    shop.deploy({"any": [of()], "until": "length == 2"}, read="data")
    shop.send(*(event(str(n), data=n) for n in range(5)))
    assert shop.inputs() == [[0, 1], [2, 3]]


def test_any_gathers_until_other_events(shop: Shop):
    shop.deploy({"any": [], "until": {"all": [of("x"), of("y")]}}, read="data")
    shop.send(event("1", data=1), event("2", "x"), event("3", data=3), event("4", "x"))
    assert shop.inputs() == []
    shop.send(event("5", "y"), event("6", "y"), event("7", "x"), event("8", data=8))
    assert shop.inputs() == [[1, 3]]


@pytest.mark.parametrize(
    ("on", "inputs"),
    [
        ({"any": []}, [[1], [2]]),
        ({"all": []}, []),
        ({"any": [of()], "until": {"any": []}}, []),
        ({"any": [of()], "until": {"all": []}}, []),
    ],
    ids=str,
)
def test_empty_lists_of_filters(shop: Shop, on: dict[str, Any], inputs: list[Any]):
    """`any: []` takes every event; all of no events is nothing that could start anything."""
    shop.deploy(on, read="data")
    shop.send(event("1", data=1), event("2", data=2))
    assert shop.inputs() == inputs
    assert shop.api.all("select count(*) from orchestrator.event_groups") == [(0,)]


def test_what_is_gathered_is_no_larger_than_an_input_may_be(shop: Shop):
    shop.deploy({"any": [of()], "until": {"one": of("x")}}, read="data")
    large = "x" * 600
    given = [event("1", data=large), event("2", data=large), event("3", data=3), event("4", "x")]
    event_queries.put(shop.api.database, NAMESPACE, given)
    replace(shop.services.events, max_payload=1000).match(NAMESPACE)
    assert shop.inputs() == [[large, 3]]


def test_a_paused_schedule_takes_nothing(shop: Shop):
    shop.deploy({"one": of()})
    schedule = shop.api.get("/v1/schedules").json["items"][0]["id"]
    paused = shop.api("patch", f"/v1/schedules/{schedule}", json={"paused": True})
    assert paused.status_code == 200
    shop.send(event())
    assert shop.inputs() == []


def test_its_policy_for_overlaps_holds(shop: Shop):
    shop.deploy({"one": of()}, policy={"overlap": "skip"})
    shop.send(event("1"), event("2"))
    assert len(shop.inputs()) == 1


def test_a_schedule_that_cannot_start_holds_up_no_other(shop: Shop):
    shop.deploy({"one": of()}, "broken")
    shop.deploy({"one": of()}, "whole")
    shop.api.all("delete from orchestrator.workflows where name = 'broken'")
    shop.send(event())
    assert shop.api.all("select workflow from orchestrator.instances") == [("whole",)]
    assert not event_matching_queries.has_unmatched(shop.api.database, NAMESPACE)


def test_an_event_starts_and_wakes(shop: Shop):
    shop.deploy({"one": of()})
    listen = {"l": {"listen": {"to": {"one": of()}}}}
    head = {"dsl": "1.0.3", "namespace": NAMESPACE, "name": "waiter", "version": "1.0.0"}
    shop.api.deploy({"document": head, "do": [listen]})
    id = shop.api.start("waiter")
    shop.services.state.process_inbox(id)
    shop.send(event(data=1))
    shop.services.state.process_inbox(id)
    assert shop.api.get(f"/v1/instances/{id}").json["output"] == [1]
    assert len(shop.inputs()) == 2
