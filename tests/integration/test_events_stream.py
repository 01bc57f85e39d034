"""The live feed: one reader, filters, taken up where it was, slow readers let go."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from api.shared import live_feed as feeds
from api.shared.instance_waiters import STREAMS
from api.shared.live_feed import Feed, FeedClosed
from orchestrator.bootstrap import Services
from orchestrator.core.model import Json
from orchestrator.database.connection.database import UNBOUNDED
from orchestrator.database.events import event_queries, transition_feed
from tests.support.api import Api, document, problem
from tests.support.events import event

PREFIX = "io.serverlessworkflow."


class Reading:
    """A stream that is being read, in a thread, as a client does."""

    def __init__(self, api: Api, query: str = "", last: str | None = None) -> None:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        self.answer = api.client.get(f"/v1/events/stream?{query}", headers=headers, buffered=False)
        assert self.answer.status_code == 200, self.answer.text
        self._pieces: Iterator[Any] = iter(self.answer.response)
        assert next(self._pieces) == b": here\n\n"

    def take(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        """The next items: ``(id, event)``."""
        found: list[tuple[str, dict[str, Any]]] = []
        while len(found) < count:
            piece = next(self._pieces)
            if piece.startswith(b"id: "):
                id, data = piece.decode().strip().split("\n")
                found.append((id[4:], json.loads(data[6:])))
        return found

    def close(self) -> None:
        self.answer.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "POLL_INTERVAL", 0.01)


def services(api: Api) -> Services:
    found: Services = api.client.application.extensions["orchestrator"].services
    return found


def put(api: Api, *given: dict[str, Json], namespace: str = "shop") -> None:
    event_queries.put(api.database, namespace, given)


def run(api: Api, name: str) -> str:
    id = api.start(name)
    services(api).state.process_inbox(id)
    return id


def test_events_and_what_happens_are_told_as_they_come(api: Api):
    api.deploy(document())
    reading = Reading(api, "namespace=shop")
    put(api, event(data=1))
    id = run(api, "order")
    told = reading.take(6)
    reading.close()
    assert told[0][1] == event(data=1)
    assert [one["type"].removeprefix(PREFIX) for _, one in told[1:]] == [
        "workflow.started.v1", "task.created.v1", "task.started.v1", "task.completed.v1",
        "workflow.completed.v1",
    ]  # fmt: skip
    assert {one["subject"] for _, one in told[1:]} == {id}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("type=a", ["1", "4"]),
        ("type=a*", ["1", "2", "4"]),
        ("source=/other", ["3", "4"]),
        ("namespace=shop&type=a", ["1"]),
    ],
)
def test_a_filter(api: Api, query: str, expected: list[str]):
    reading = Reading(api, query)
    put(api, event("1", "a"), event("2", "ab"), event("3", "b", source="/other"))
    put(api, event("4", "a", source="/other"), namespace="bank")
    assert [one["id"] for _, one in reading.take(len(expected))] == expected
    reading.close()


def test_one_instance_only(api: Api):
    api.deploy(document())
    run(api, "order")
    id = api.start()
    reading = Reading(api, f"instance={id}&type={PREFIX}workflow.*")
    run(api, "order")
    services(api).state.process_inbox(id)
    assert {one["subject"] for _, one in reading.take(2)} == {id}
    reading.close()


def test_a_stream_is_taken_up_where_it_was(api: Api):
    reading = Reading(api)
    put(api, *(event(str(n)) for n in range(10)))
    put(api, event("10"))
    told = reading.take(5)
    reading.close()
    put(api, event("11"))
    again = Reading(api, last=told[-1][0])
    put(api, event("12"))
    assert [one["id"] for _, one in again.take(8)] == [str(n) for n in range(5, 13)]
    again.close()


def test_many_who_look_on_cost_one_reader(api: Api):
    readings = [Reading(api) for _ in range(STREAMS)]
    assert problem(api.client.get("/v1/events/stream")) == "too-many-requests"
    put(api, event())
    assert [reading.take(1)[0][1]["id"] for reading in readings] == ["1"] * STREAMS
    assert sum(thread.name == "feed" for thread in threading.enumerate()) == 1
    for reading in readings:
        reading.close()


@pytest.fixture
def feed(api: Api) -> Iterator[Feed]:
    made = Feed(api.database)
    yield made
    made.close()


def test_who_is_too_slow_is_let_go_and_misses_nothing(
    api: Api, feed: Feed, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(feeds, "QUEUE_SIZE", 5)
    slow, quick = (
        feed.subscribe(lambda _: True),
        feed.subscribe(lambda item: item.event["id"] == "39"),
    )
    put(api, *(event(str(n)) for n in range(40)))
    last = quick.next(20)
    assert last is not None
    taken = [slow.next(20) for _ in range(5)]
    seen = [item for item in taken if item is not None]
    with pytest.raises(FeedClosed):
        slow.next(1)
    assert [item.event["id"] for item in seen] == [str(n) for n in range(5)]
    rest = feed.replay(seen[-1].position, last.position[0] + 1)
    assert [item.event["id"] for part in rest for item in part] == [str(n) for n in range(5, 40)]


def test_what_commits_late_is_not_missed(api: Api, feed: Feed):
    """Two transactions end in another order than they began."""
    subscriber = feed.subscribe(lambda _: True)
    with api.database.transaction(UNBOUNDED) as first:
        event_queries.put(first, "shop", [event("first")])
        put(api, event("second"))
        assert subscriber.next(0.3) is None
    found = [subscriber.next(20), subscriber.next(20)]
    assert [item and item.event["id"] for item in found] == ["first", "second"]


def test_a_transaction_that_writes_no_event_delays_no_stream(api: Api):
    api.deploy(document())
    reading = Reading(api, "namespace=shop")
    with api.database.transaction(UNBOUNDED) as user:
        user.all("create table public.orders (id int)")
        put(api, event("first"))
        run(api, "order")
        assert reading.take(6)[0][1]["id"] == "first"
        user.all("drop table public.orders")
    reading.close()


def test_lifecycle_events_that_are_kept_are_not_told_twice(api: Api, feed: Feed):
    api.deploy(document())
    subscriber = feed.subscribe(lambda _: True)
    id = run(api, "order")
    told = [subscriber.next(20) for _ in range(5)]
    kept = [item.event for item in told if item]
    event_queries.put(api.database, "shop", kept, instances=[id] * 5)
    put(api, event("last"))
    found = subscriber.next(20)
    assert found is not None
    assert found.event["id"] == "last"


def go_back(api: Api, position: int) -> None:
    """As where a backup is restored."""
    api.all("select setval('orchestrator.positions', %s)", position)


def test_a_stream_neither_stands_nor_skips_where_positions_went_back(api: Api, feed: Feed):
    go_back(api, 9000)
    subscriber, reading = feed.subscribe(lambda _: True), Reading(api)
    put(api, event("before"))
    ((last, _),) = reading.take(1)
    found = subscriber.next(20)
    assert found is not None and found.event["id"] == "before"
    go_back(api, 4000)
    while feed._position > 5000 or feeds_of(api)._position > 5000:
        assert subscriber.next(0.01) is None
    put(api, event("after"))
    assert reading.take(1)[0][1]["id"] == "after"
    found = subscriber.next(20)
    assert found is not None and found.event["id"] == "after"
    again = Reading(api, last=last)
    put(api, event("new"))
    assert again.take(1)[0][1]["id"] == "new"
    reading.close()
    again.close()


def feeds_of(api: Api) -> Feed:
    found: Feed = api.client.application.extensions["orchestrator"].feed
    return found


@pytest.mark.parametrize("last", ["", "x", "1", "1.", "1.2.3", "-1.0", "1" * 30 + ".0"])
def test_a_place_that_is_none_is_refused(api: Api, last: str):
    answer = api.client.get("/v1/events/stream", headers={"Last-Event-ID": last})
    assert problem(answer) == "malformed-request"


def test_an_unknown_filter_is_refused(api: Api):
    assert problem(api.client.get("/v1/events/stream?data=x")) == "invalid-query"
    assert problem(api.client.get("/v1/events/stream?instance=x")) == "invalid-query"


def test_a_replay_from_long_ago_rests_between_its_parts(
    api: Api, feed: Feed, monkeypatch: pytest.MonkeyPatch
):
    """Else a few clients that continue at 0.0 keep the database from all others; and a part
    without an item for the client still shows whether it is there."""
    put(api, *(event(str(n)) for n in range(10)))
    rests: list[float] = []
    monkeypatch.setattr(feeds, "MAX_TRANSACTIONS", 3)
    monkeypatch.setattr(feed, "_rest", rests.append)
    last = transition_feed.last_position(api.database) + 1
    parts = list(feed.replay((last - 10, -1), last))
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    assert len(rests) == 3
    assert all(seconds > 0 for seconds in rests)
