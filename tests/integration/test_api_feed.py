"""The feed of changes: who changed, no payloads, within the caller's namespaces, taken up again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from api.resources import feed as resource
from api.shared import change_feed
from tests.support.api import Api, document, problem


class Reading:
    """A stream that is being read."""

    def __init__(self, api: Api, query: str = "", last: str | None = None) -> None:
        headers = {"Last-Event-ID": last} if last else {}
        self.answer = api.client.get(f"/v1/feed?{query}", headers=headers, buffered=False)
        assert self.answer.status_code == 200, self.answer.text
        self._pieces: Iterator[Any] = iter(self.answer.response)
        assert next(self._pieces) == b": here\n\n"
        self.last = last

    def next(self) -> tuple[str, Any]:
        """The next event: its name and its data."""
        while True:
            fields = dict(
                line.split(": ", 1) for line in next(self._pieces).decode().splitlines() if line
            )
            self.last = fields.get("id", self.last)
            if "event" in fields:
                return fields["event"], json.loads(fields["data"])

    def until(self, instance: str) -> dict[str, Any]:
        """Read until this instance is completed; what was said of it last."""
        while True:
            name, changes = self.next()
            assert name == "change"
            for change in changes:
                if change["instance"] == instance and change["status"] == "completed":
                    return dict(change)

    def close(self) -> None:
        self.answer.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_feed, "INTERVAL", 0.01)


def run(api: Api, namespace: str = "shop") -> str:
    body = {"workflow": {"namespace": namespace, "name": "order"}}
    id: str = api.post("/v1/instances", json=body).json["id"]
    api.client.application.extensions["orchestrator"].services.state.process_inbox(id)
    return id


@pytest.fixture
def deployed(api: Api) -> Api:
    for namespace in ("shop", "bank"):
        made = document()
        made["document"]["namespace"] = namespace
        api.deploy(made)
    return api


def test_a_change_says_who_and_how_it_is_and_nothing_else(deployed: Api):
    reading = Reading(deployed)
    id = run(deployed)
    assert reading.until(id) == {
        "instance": id,
        "namespace": "shop",
        "sequence": 1,
        "status": "completed",
        "compensation": "none",
    }
    reading.close()


def test_a_stream_has_its_namespaces_only_and_is_taken_up_where_it_was(deployed: Api):
    reading = Reading(deployed, "namespace=bank")
    run(deployed)
    mine = run(deployed, "bank")
    assert reading.until(mine)["namespace"] == "bank"
    reading.close()
    other, missed = run(deployed), run(deployed, "bank")
    again = Reading(deployed, "namespace=bank", last=reading.last)
    name, changes = again.next()
    assert (name, [change["instance"] for change in changes]) == ("change", [missed])
    assert other not in {change["instance"] for change in changes}
    again.close()


def test_many_changes_of_an_instance_are_one(api: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(change_feed, "INTERVAL", 0.3)
    api.deploy(document(do=[{"w": {"wait": {"hours": 1}}}]))
    reading = Reading(api)
    id = run(api)
    for _ in range(5):
        api.post(f"/v1/instances/{id}/suspend")
        api.post(f"/v1/instances/{id}/resume")
    seen = 0
    while True:
        _, changes = reading.next()
        mine = [change for change in changes if change["instance"] == id]
        assert len(mine) <= 1
        seen += len(mine)
        if mine and mine[0]["sequence"] >= 11:
            break
    assert seen < 11
    reading.close()


@pytest.mark.parametrize("cursor", ["1", "999999999"])
def test_a_cursor_that_is_too_old_or_of_a_restored_future_is_lost(
    deployed: Api, cursor: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(change_feed, "RESUMABLE", 0)
    run(deployed)
    reading = Reading(deployed, last=cursor)
    assert reading.next() == ("lost", {})
    id = run(deployed)
    assert reading.until(id)
    reading.close()


def test_who_reads_too_slowly_is_told_what_was_lost(deployed: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resource, "_BACKLOG", 2)
    slow, quick = Reading(deployed), Reading(deployed)
    for _ in range(6):
        quick.until(run(deployed))
    names = [slow.next()[0] for _ in range(3)]
    assert names == ["change", "change", "lost"]
    slow.close()
    quick.close()


def test_what_is_wrong_is_refused(deployed: Api, monkeypatch: pytest.MonkeyPatch):
    refused = deployed.get("/v1/feed", headers={"Last-Event-ID": "x"})
    assert problem(refused) == "malformed-request"
    assert deployed.get("/v1/feed?namespace=A").status_code == 400
    monkeypatch.setattr(change_feed, "MOST_OF_ONE", 0)
    assert problem(deployed.get("/v1/feed")) == "too-many-requests"
