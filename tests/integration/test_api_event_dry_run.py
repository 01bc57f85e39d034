"""Who would get an event: what the dry run says is what the event does, and nothing changes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator.cli import main
from orchestrator.client import Client
from tests.integration.test_events_matching import NAMESPACE, Play
from tests.support.api import Api, problem
from tests.support.events import BATCH, STRUCTURED, event

PAID: dict[str, Any] = {"with": {"type": "paid"}}


@pytest.fixture
def play(api: Api) -> Play:
    return Play(api)


def listening(*filters: dict[str, Any], how: str = "any") -> dict[str, Any]:
    to: dict[str, Any] = {"one": filters[0]} if how == "one" else {how: list(filters)}
    return {"paid": {"listen": {"to": to}}}


def asked(api: Api, given: dict[str, Any], to: str | None = None) -> Any:
    path = "/v1/events" if to is None else f"/v1/instances/{to}/events"
    query = "dry_run=true" + ("" if to else f"&namespace={NAMESPACE}")
    before = api.checksums()
    answer = api.post(f"{path}?{query}", json=given, headers={"Content-Type": STRUCTURED})
    assert api.checksums() == before
    return answer


def hearers(answer: Any) -> set[tuple[str, int]]:
    assert answer.status_code == 200, answer.text
    return {(each["instance"], each["step"]) for each in answer.json["listeners"]}


def offered(api: Api, id: str) -> set[tuple[str, int]]:
    """The listeners to which an event was really offered."""
    rows = api.all(
        "select o.instance_id::text, o.step from orchestrator.event_offers o"
        " join orchestrator.events e on e.receipt_number = o.event"
        " where e.event_id = %s and o.step > 0",
        id,
    )
    return {(row[0], row[1]) for row in rows}


def test_it_says_what_the_event_then_does(api: Api, play: Play):
    """Listeners of several modes, correlated and with expressions; each event tried, then sent."""
    dear: dict[str, Any] = {"with": {"type": "paid", "data": "${ .amount > 10 }"}}
    of_order: dict[str, Any] = {
        "with": {"type": "paid"},
        "correlate": {"order": {"from": "${ .data.order }", "expect": "${ $input.order }"}},
    }
    both = listening(PAID, {"with": {"type": "shipped"}}, how="all")
    shapes = (listening(PAID, how="one"), listening(dear), listening(of_order), both)
    names = [play.workflow(each) for each in shapes]
    instances = [play.start(name, {"order": 7}) for name in names for _ in "ab"]
    play.settle(*instances)
    seen = 0
    numbers = itertools.count()
    for kind, amount, order in itertools.product(("paid", "shipped", "other"), (1, 20), (8, 7)):
        given = event(str(next(numbers)), kind, data={"amount": amount, "order": order})
        expected = hearers(asked(api, given))
        play.put(given)
        play.match()
        assert offered(api, given["id"]) == expected, given
        seen += len(expected)
        play.settle(*instances)
    assert seen >= 8


def test_it_names_the_step(api: Api, play: Play):
    name = play.workflow(listening(PAID))
    id = api.start(name, business_id="o-1")
    play.settle(id)
    (found,) = asked(api, event("1", "paid")).json["listeners"]
    assert (found["instance"], found["business_id"], found["name"]) == (id, "o-1", "paid")
    assert found["workflow"] == {"namespace": NAMESPACE, "name": name, "version": "1.0.0"}
    assert found["reference"] == "/do/0/paid"


def test_schedules_and_subscriptions(api: Api, play: Play):
    one = play.workflow({"a": {"set": {"b": 1}}}, schedule={"on": {"one": PAID}})
    shipped = {"with": {"type": "shipped"}}
    two = play.workflow({"a": {"set": {"b": 1}}}, schedule={"on": {"all": [PAID, shipped]}})
    started = play.workflow({"a": {"set": {"b": 1}}})
    for body in (
        {"filter": {"type": "paid"}, "workflow": {"name": started}},
        {"filter": {"type": "paid"}, "webhook": {"url": "https://s.example/x"}, "description": "d"},
        {"filter": {"type": "other"}, "webhook": {"url": "https://s.example/y"}},
    ):
        made = api.post("/v1/subscriptions", json={"namespace": NAMESPACE, **body})
        assert made.status_code == 201, made.text
    told = asked(api, event("1", "paid")).json
    starts = {(each["workflow"]["name"], each["by"], each["certain"]) for each in told["starts"]}
    assert starts == {
        (one, "schedule", True),
        (two, "schedule", False),
        (started, "subscription", True),
    }
    assert [each["description"] for each in told["webhooks"]] == ["d"]
    nothing = asked(api, event("1", "nothing")).json
    assert not nothing["starts"] + nothing["webhooks"] + nothing["listeners"]


def test_one_for_an_instance(api: Api, play: Play):
    name = play.workflow(listening(PAID))
    id, other = play.start(name), play.start(name)
    play.settle(id, other)
    assert {instance for instance, _ in hearers(asked(api, event("1", "paid"), id))} == {id}
    late = asked(api, event("1", "shipped"), id).json
    assert (late["listeners"], late["mailbox"]) == ([], True)


def test_one_that_came_before_is_heard_by_nobody(api: Api, play: Play):
    play.settle(play.start(play.workflow(listening(PAID))))
    play.put(event("1", "paid"))
    told = asked(api, event("1", "paid")).json
    assert (told["duplicate"], told["listeners"]) == (True, [])
    assert asked(api, event("2", "paid")).json["warnings"]  # the first is not matched yet


def test_no_more_than_a_hundred_are_named(api: Api, play: Play, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.resources.event_dry_run.MOST", 2)
    name = play.workflow(listening(PAID))
    play.settle(*[play.start(name) for _ in range(5)])
    told = asked(api, event("1", "paid")).json
    assert (len(told["listeners"]), told["more"]) == (2, 3)


def test_a_batch_and_an_instance_that_ended_are_refused(api: Api, play: Play):
    path = f"/v1/events?dry_run=true&namespace={NAMESPACE}"
    batch = json.dumps([event("1"), event("2")])
    refused = api.post(path, data=batch, content_type=BATCH)
    assert (refused.status_code, problem(refused)) == (422, "invalid-request")
    done = play.start(play.workflow({"a": {"set": {"b": 1}}}))
    assert asked(api, event("1"), done).status_code == 409


def test_the_command_line(api: Api, play: Play, served: str, cli: Callable[..., Any]):
    id = play.start(play.workflow(listening(PAID)))
    play.settle(id)
    told = cli("event", "send", "paid", "--namespace", NAMESPACE, "--dry-run", "-o", "json")
    assert [each["instance"] for each in told["listeners"]] == [id]
    with Client(served) as client:
        assert client.plan_event({"type": "paid", "source": "/x"}, to=id)["listeners"]
    for kind, text in (("paid", id), ("other", "nobody waits for it")):
        arguments = ("--url", served, "event", "send", kind, "--namespace", NAMESPACE, "--dry-run")
        shown = CliRunner().invoke(main, arguments)
        assert (shown.exit_code, text in shown.output) == (0, True), shown.output
    assert not api.all("select 1 from orchestrator.events where source <> '/orchestrator'")
