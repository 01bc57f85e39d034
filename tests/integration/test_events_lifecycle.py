"""Lifecycle events: what happens to instances, told to those who ask for it, in order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from orchestrator.bootstrap import Services
from orchestrator.core.model import Json
from orchestrator.database.connection.database import UNBOUNDED
from orchestrator.database.events import transition_feed
from orchestrator.event_handler.lifecycle_publisher import LifecyclePublisher
from orchestrator.ids import new_id
from tests.support.api import Api

NAMESPACE = "shop"
PREFIX = "io.serverlessworkflow."

FEED = "select position, next_position, next_at from orchestrator.feed_positions"


class Town:
    """Workflows, and somebody who tells of them."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.services: Services = api.client.application.extensions["orchestrator"].services
        self.now = 1000.0
        self.teller = LifecyclePublisher(
            self.services.database, self.services.dispatcher, lambda: self.now
        )

    def deploy(self, name: str, *tasks: dict[str, Any], **more: Any) -> str:
        head = {"dsl": "1.0.3", "namespace": NAMESPACE, "name": name, "version": "1.0.0"}
        self.api.deploy({"document": head, "do": list(tasks), **more})
        return name

    def start(self, name: str, input: Json = None) -> str:
        id = self.api.start(name, input=input)
        self.services.state.process_inbox(id)
        return id

    def tell(self) -> None:
        """Tell all that there is to tell."""
        while self.teller.publish() == 0.0:
            pass

    def wait_for(self, type: str) -> str:
        """Somebody who waits for such events."""
        to = {"any": [{"with": {"type": type}}], "until": "false"}
        name = f"listener-{new_id()[-6:]}"
        id = self.start(self.deploy(name, {"l": {"listen": {"to": to}}}))
        self.services.events.match(NAMESPACE)
        return id

    def told(self, instance: str) -> list[dict[str, Any]]:
        rows = self.api.all(
            "select event from orchestrator.events where instance_id = %s order by receipt_number",
            instance,
        )
        return [row[0] for row in rows]


@pytest.fixture
def town(api: Api) -> Town:
    town = Town(api)
    town.tell()  # from now on
    return town


TASKS = ({"a": {"set": {"n": 1}}}, {"b": {"set": {"n": 2}}})


def test_nobody_is_told_who_does_not_ask(town: Town):
    town.wait_for("some.other")
    id = town.start(town.deploy("w", *TASKS))
    town.tell()
    assert town.told(id) == []


def test_all_of_an_instance_in_order(town: Town):
    town.wait_for(f"{PREFIX}.*")
    id = town.start(town.deploy("w", *TASKS))
    town.tell()
    told = town.told(id)
    assert [one["type"].removeprefix(PREFIX).removesuffix(".v1") for one in told] == [
        "workflow.started",
        "task.created", "task.started", "task.completed",
        "task.created", "task.started", "task.completed",
        "workflow.completed",
    ]  # fmt: skip
    assert len({one["id"] for one in told}) == len(told)
    name = f"w-{id}.{NAMESPACE}"
    at = told[0]["time"]
    assert told[0] == {
        "specversion": "1.0",
        "id": f"{id}:1:0",
        "source": "/shop/w/1.0.0",
        "type": f"{PREFIX}workflow.started.v1",
        "subject": id,
        "time": at,
        "datacontenttype": "application/json",
        "data": {
            "name": name,
            "startedAt": at,
            "definition": {"name": "w", "namespace": NAMESPACE, "version": "1.0.0"},
        },
    }
    assert told[3]["data"] == {
        "workflow": name, "task": "/do/0/a", "completedAt": at, "output": {"n": 1},
    }  # fmt: skip
    assert told[-1]["data"] == {"name": name, "completedAt": at, "output": {"n": 2}}


def test_only_the_types_that_are_asked_for(town: Town):
    listener = town.wait_for(f"{PREFIX}workflow.faulted.v1")
    error = {"type": "https://x.example/e", "status": 400, "title": "No"}
    bad = town.start(town.deploy("bad", {"r": {"raise": {"error": error}}}))
    town.start(town.deploy("good", *TASKS))
    town.tell()
    (told,) = town.told(bad)
    assert told["data"]["error"] == {**error, "instance": "/do/0/r"}
    town.services.events.match(NAMESPACE)
    town.services.state.process_inbox(listener)
    steps = town.api.get(f"/v1/instances/{listener}/history").json["items"]
    assert [one["stimulus"]["kind"] for one in steps] == ["start", "event"]


def test_a_listener_for_every_event_is_not_told_of_its_own_taking(town: Town):
    town.wait_for(f"{PREFIX}.*")
    to = {"any": [], "until": "false"}
    every = town.start(town.deploy("every", {"l": {"listen": {"to": to}}}))
    town.services.events.match(NAMESPACE)
    for _ in range(3):
        town.tell()
        town.services.events.match(NAMESPACE)
        town.services.state.process_inbox(every)
    assert len(town.api.get(f"/v1/instances/{every}/history").json["items"]) == 1


def test_a_workflow_follows_the_end_of_another(town: Town):
    on = {"one": {"with": {
        "type": f"{PREFIX}workflow.completed.v1",
        "data": "${ .name | startswith(\"first-\") }",
    }}}  # fmt: skip
    town.deploy("second", {"s": {"set": "${ .[0].data.output }"}}, schedule={"on": on})
    town.start(town.deploy("first", *TASKS))
    town.tell()
    town.services.events.match(NAMESPACE)
    found = town.api.get("/v1/instances?workflow=second").json["items"]
    assert len(found) == 1
    town.services.state.process_inbox(found[0]["id"])
    assert town.api.get(f"/v1/instances/{found[0]['id']}").json["output"] == {"n": 2}
    town.tell()
    town.services.events.match(NAMESPACE)
    assert len(town.api.get("/v1/instances?workflow=second").json["items"]) == 1


def test_suspension_cancellation_and_correlation_are_told(town: Town):
    town.wait_for(f"{PREFIX}workflow.*")
    to = {"one": {"with": {"type": "t"}, "correlate": {"k": {"from": ".data.k"}}}}
    id = town.start(town.deploy("w", {"l": {"listen": {"to": to}}}))
    for command in ("suspend", "resume", "cancel"):
        assert town.api.post(f"/v1/instances/{id}/{command}").status_code == 202
        town.services.state.process_inbox(id)
    town.tell()
    told = [one for one in town.told(id) if one["type"].startswith(f"{PREFIX}workflow.")]
    assert [one["type"].removeprefix(PREFIX) for one in told] == [
        "workflow.started.v1", "workflow.correlation-started.v1", "workflow.suspended.v1",
        "workflow.resumed.v1", "workflow.cancelled.v1",
    ]  # fmt: skip
    assert told[2]["data"].keys() == {"name", "suspendedAt"}


def test_telling_again_tells_nothing_new(town: Town):
    town.wait_for(f"{PREFIX}.*")
    id = town.start(town.deploy("w", *TASKS))
    town.tell()
    before = town.told(id)
    town.api.all("update orchestrator.feed_positions set position = position - 100")
    town.tell()
    assert behind(town) < 20
    assert town.told(id) == before


def test_what_is_not_committed_is_not_passed_by(town: Town):
    """A transaction that has a position holds the feed before it, however many end meanwhile."""
    town.wait_for(f"{PREFIX}.*")
    soon = town.api.start(town.deploy("soon", *TASKS))
    with town.services.database.transaction(UNBOUNDED) as open:
        open.all("select nextval('orchestrator.positions')")
        town.services.state.process_inbox(soon)
        town.tell()
        assert town.told(soon) == []
    town.tell()
    assert len(town.told(soon)) == 8


def test_a_transaction_of_somebody_else_delays_nobody(town: Town):
    """It writes, in the same database, and touches an instance; it takes no position."""
    town.wait_for(f"{PREFIX}.*")
    other, soon = (town.api.start(town.deploy(name, *TASKS)) for name in ("other", "soon"))
    with town.services.database.transaction(UNBOUNDED) as open:
        open.all("update orchestrator.instances set labels = null where id = %s", (other,))
        town.services.state.process_inbox(soon)
        town.tell()
        assert len(town.told(soon)) == 8


def test_a_reader_without_reason_lags_a_little_behind(town: Town):
    """Who begins to wait may be told of what came just before."""
    id = town.start(town.deploy("w", *TASKS))
    town.tell()
    town.wait_for(f"{PREFIX}.*")
    town.tell()
    assert len(town.told(id)) == 8
    town.api.all("delete from orchestrator.listener_index")
    for _ in range(2):
        town.now += transition_feed.IDLE_LAG
        town.api.all(
            "update orchestrator.feed_positions set next_at = next_at - interval '1 minute'"
        )
        town.tell()
    assert behind(town) < 20


def behind(town: Town) -> int:
    """How many positions the teller is behind."""
    ((last, place),) = town.api.all(
        "select p.last, f.position"
        " from orchestrator.feed_positions f, orchestrator.positions_taken() p"
    )
    return int(last) + 1 - int(place)


def test_a_teller_without_a_listener_moves_its_place_seldom_and_yet_hears_of_one(town: Town):
    town.tell()
    town.api.all("update orchestrator.feed_positions set next_at = next_at - interval '1 minute'")
    before = town.api.all(FEED)
    town.tell()
    assert town.api.all(FEED) == before
    town.now += transition_feed.IDLE_LAG
    town.tell()
    assert town.api.all(FEED) != before
    town.wait_for(f"{PREFIX}.*")
    id = town.start(town.deploy("w", *TASKS))
    town.tell()
    assert len(town.told(id)) == 8


def test_the_order_of_an_instance_is_that_of_its_history(town: Town):
    town.wait_for(f"{PREFIX}task.*")
    loop = {"f": {"for": {"each": "n", "in": "${ [range(50)] }"}, "do": [{"s": {"set": {"n": 1}}}]}}
    id = town.start(town.deploy("w", loop))
    town.tell()
    places = [tuple(map(int, one["id"].split(":")[1:])) for one in town.told(id)]
    assert len(places) == 3 * 51 + 2
    assert all(one < next for one, next in pairwise(places))


def test_what_happens_after_a_restore_is_told(town: Town):
    """The stored position is beyond the next one that is taken."""
    go_on = town.deploy("order", {"note": {"set": {"done": True}}})
    town.api.all("select setval('orchestrator.positions', 9000)")
    town.tell()
    town.wait_for(PREFIX + "workflow.completed.v1")
    town.start(go_on)
    town.tell()
    town.api.all("select setval('orchestrator.positions', 4000)")
    town.tell()
    id = town.start(go_on)
    town.tell()
    assert [each["type"] for each in town.told(id)] == [PREFIX + "workflow.completed.v1"]


def test_the_position_of_a_feed_that_nobody_hears_follows_a_restore(town: Town):
    town.api.all("select setval('orchestrator.positions', 9000)")
    town.tell()
    town.api.all("select setval('orchestrator.positions', 4000)")
    town.api.all("update orchestrator.feed_positions set next_at = next_at - interval '1 h'")
    town.now += 100
    town.tell()
    assert town.api.all(FEED)[0][:2] == (4001, 4001)
