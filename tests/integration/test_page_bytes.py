"""Pages and streams of large payloads end at a bound of bytes, and the next one continues."""

from __future__ import annotations

from typing import Any

import pytest

from api.shared import live_feed
from api.shared.live_feed import Feed, FeedClosed, FeedSubscriber, Item
from orchestrator.database.events import transition_feed
from orchestrator.database.instances import history_queries
from orchestrator.database.keyset_pages import PAGE_BYTES
from tests.support.api import Api, document

LARGE = PAGE_BYTES // 4
#: Pages of five rows: the fifth begins before the bound and goes over it.
COUNT, A_PAGE = 13, 5


def walk(api: Api, path: str, key: str) -> list[list[Any]]:
    """The key of each row, page by page."""
    pages: list[list[Any]] = []
    cursor = ""
    while True:
        body = api.get(f"{path}{'&' if '?' in path else '?'}limit=1000{cursor}").json
        pages.append([item[key] for item in body["items"]])
        if body["next"] is None:
            return pages
        cursor = f"&cursor={body['next']}"


@pytest.fixture
def events(api: Api) -> list[str]:
    """Compressible ones: what counts is what a client would get."""
    api.all(
        "insert into orchestrator.events (id, namespace, event_id, source, type, event)"
        " select gen_random_uuid(), 'shop', n::text, 's', 't', json_build_object('specversion',"
        " '1.0', 'id', n::text, 'source', 's', 'type', 't', 'data', repeat('a', %s))"
        " from generate_series(1, %s) n",
        LARGE,
        COUNT,
    )
    return [str(n) for n in range(COUNT, 0, -1)]


@pytest.mark.parametrize("filter", ["", "?type=t", "?namespace=shop"])
def test_a_page_of_events_ends_at_its_bytes(api: Api, events: list[str], filter: str):
    ids = [[item["id"] for item in page] for page in walk(api, f"/v1/events{filter}", "event")]
    assert [id for page in ids for id in page] == events
    assert max(map(len, ids)) <= A_PAGE


def test_a_page_of_history_and_a_stream_end_at_their_bytes(api: Api):
    api.deploy(document())
    id = api.start()
    api.all(
        "insert into orchestrator.history (instance_id, sequence, at, seed, stimulus, facts)"
        " select %s, n + 1000, now(), 0, '{}', json_build_array(json_build_array('x', null,"
        " json_build_object('data', repeat('a', %s)))) from generate_series(1, %s) n",
        id,
        LARGE,
        COUNT,
    )
    pages = walk(api, f"/v1/instances/{id}/history", "sequence")
    assert [n for page in pages for n in page][-COUNT:] == list(range(1001, 1001 + COUNT))
    assert max(map(len, pages)) <= A_PAGE + 1
    database = api.client.application.extensions["orchestrator"].services.database
    followed = history_queries.follow(database, id, 1000, 1000)
    assert followed is not None
    assert [row[0] for row in followed.rows] == [1001, 1002, 1003, 1004]


def test_a_page_of_steps_ends_at_its_bytes(api: Api):
    api.deploy(document())
    id = api.start()
    api.all(
        "insert into orchestrator.steps (instance_id, id, parent, reference, kind, status, input)"
        " select %s, n + 1000, 0, '/do/0/a', 'set', 'completed',"
        " to_json(repeat('a', %s)) from generate_series(1, %s) n",
        id,
        LARGE,
        COUNT,
    )
    pages = walk(api, f"/v1/instances/{id}/steps", "id")
    assert [n for page in pages for n in page][-COUNT:] == list(range(1001, 1001 + COUNT))
    assert max(map(len, pages)) <= A_PAGE
    assert len(walk(api, f"/v1/instances/{id}/steps?fields=summary", "id")) == 1


def test_the_feed_reads_large_events_in_parts(
    api: Api, events: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(live_feed, "READ_BYTES", PAGE_BYTES)
    monkeypatch.setattr(live_feed, "FEW_POSITIONS", 0)
    database = api.client.application.extensions["orchestrator"].services.database
    first = int(api.all("select min(position) from orchestrator.events")[0][0])
    last = transition_feed.last_position(database)
    feed = Feed(database)
    feed._rest = lambda _: None
    parts = list(feed.replay((first - 1, 0), last + 1))
    assert [item.event["id"] for part in parts for item in part] == events[::-1]


def test_an_unread_stream_is_ended_at_its_bytes():
    subscriber = FeedSubscriber(lambda _: True, 0)
    large = Item((1, 0), "shop", {}, b"a" * (live_feed.QUEUE_BYTES // 2))
    subscriber.offer(large)
    subscriber.offer(large)
    assert subscriber.next(0) is large
    subscriber.offer(large)
    assert not subscriber.slow
    subscriber.offer(large)
    subscriber.offer(large)
    assert subscriber.queue.qsize() == 3
    assert [subscriber.next(0) for _ in range(3)] == [large] * 3
    with pytest.raises(FeedClosed):
        subscriber.next(0)
