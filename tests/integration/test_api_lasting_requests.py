"""Streams and long polls: they end with their key, and no key takes all places."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from api.http import authentication
from api.resources import event_stream
from api.resources.api_keys import new_key
from api.shared import instance_waiters
from orchestrator.database.access import api_key_queries
from orchestrator.ids import new_id
from tests.support.api import Api, document

Bearer = Callable[..., dict[str, str]]

STREAMS = ("/v1/events/stream", "/v1/instances/{}/history")
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def _guarded(module_database_url: str) -> Iterator[Api]:
    made = Api.on(module_database_url, "redis://127.0.0.1:1/0", authenticate=True)
    yield made
    made.close()


@pytest.fixture
def api(_guarded: Api) -> Iterator[Api]:
    """The application with authentication on."""
    yield _guarded
    _guarded.empty()


@pytest.fixture
def bearer(api: Api) -> Bearer:
    """Makes a key straight in the database; returns the header that shows it."""

    def make(role: str) -> dict[str, str]:
        row, shown = new_key({"name": f"{role}-{new_id()}", "role": role, "namespaces": ("*",)})
        api_key_queries.put(api.database, row)
        return {"Authorization": f"Bearer {shown}"}

    return make


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are looked at all the time, so that nobody has to wait for it."""
    monkeypatch.setattr(instance_waiters, "CHECK_INTERVAL", 0.01)
    monkeypatch.setattr(event_stream, "CHECK_INTERVAL", 0.01)
    monkeypatch.setattr(authentication, "CACHE_TIME", 0.0)


@pytest.fixture
def instance(api: Api, bearer: Bearer) -> str:
    headers = bearer("admin")
    task = {"w": {"wait": {"hours": 1}}}
    api.post("/v1/workflows", json=document("order", do=[task]), headers=headers)
    body = {"workflow": {"namespace": "shop", "name": "order"}}
    return str(api.post("/v1/instances", json=body, headers=headers).json["id"])


def revoke(api: Api, headers: dict[str, str]) -> None:
    prefix = headers["Authorization"].split()[1].split(".")[0]
    api.all("update orchestrator.api_keys set revoked_at = now() where prefix = %s", prefix)


def expire(api: Api, headers: dict[str, str]) -> None:
    prefix = headers["Authorization"].split()[1].split(".")[0]
    api.all("update orchestrator.api_keys set expires_at = now() where prefix = %s", prefix)


@pytest.mark.parametrize("end", [revoke, expire])
@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_ends_with_its_key(
    api: Api,
    bearer: Bearer,
    instance: str,
    path: str,
    end: Callable[..., None],
):
    headers = bearer("viewer")
    stream = api.client.get(path.format(instance), headers={**headers, **STREAM}, buffered=False)
    assert stream.status_code == 200
    pieces: Iterator[Any] = iter(stream.response)
    next(pieces)
    end(api, headers)
    for _ in pieces:  # it ends by itself
        pass


def test_a_long_poll_ends_with_its_key(api: Api, bearer: Bearer, instance: str):
    headers, answers = bearer("viewer"), []

    def poll() -> None:
        answers.append(api.get(f"/v1/instances/{instance}?wait=60", headers=headers))

    thread = threading.Thread(target=poll)
    thread.start()
    revoke(api, headers)
    thread.join(30)
    assert [answer.status_code for answer in answers] == [401]


def test_a_key_has_a_share_of_the_streams(api: Api, bearer: Bearer, instance: str):
    greedy, other = bearer("viewer"), bearer("viewer")
    waiters = api.client.application.extensions["orchestrator"].waiters
    prefix = greedy["Authorization"].split()[1].split(".")[0]
    row = api_key_queries.find_valid(api.database, prefix)
    assert row is not None
    owner = row.owner
    share = instance_waiters.STREAMS // instance_waiters.SHARE
    assert [waiters.open_stream(owner) for _ in range(share)] == [True] * share
    path = "/v1/events/stream"
    assert api.client.get(path, headers={**greedy, **STREAM}).status_code == 429
    answer = api.client.get(path, headers={**other, **STREAM}, buffered=False)
    assert answer.status_code == 200
    answer.close()
    for _ in range(share):
        waiters.close_stream(owner)
