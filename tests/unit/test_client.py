"""The client against servers that behave badly: what it repeats, and what it says."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from typing import Any
from uuid import UUID

import pytest

from orchestrator.client import ApiError, Client, Run, Unreachable
from orchestrator.json_codec import NotJson, to_json
from tests.support.http_server import Answer, ok, server

INSTANCE = {
    "id": "01900000-0000-7000-8000-000000000001",
    "workflow": {"namespace": "shop", "name": "order", "version": "1.0.0"},
    "status": "completed",
    "compensation": "none",
    "output": {"paid": 3},
    "created_at": "2030-01-02T03:04:05.678901Z",
}


def test_a_start_whose_answer_is_lost_is_repeated_under_the_same_key():
    keys = []

    def handle(request: BaseHTTPRequestHandler) -> Answer | None:
        keys.append(request.headers["Idempotency-Key"])
        return None if len(keys) == 1 else ok(INSTANCE, 202)

    with server(handle) as url, Client(url) as client:
        run = client.start("shop/order", {"id": "o-1"})
    assert run.id == INSTANCE["id"]
    assert len(keys) == 2
    assert keys[0] == keys[1] is not None


def test_an_api_that_is_not_ready_yet_is_asked_again():
    asked = []

    def handle(request: BaseHTTPRequestHandler) -> Answer:
        asked.append(request.path)
        return ok({"title": "starting"}, 503) if len(asked) < 3 else ok(INSTANCE)

    with server(handle) as url, Client(url) as client:
        assert client.get("x").status == "completed"
    assert len(asked) == 3


def test_after_a_repair_the_end_of_the_new_run_is_waited_for():
    asked = []

    def handle(request: BaseHTTPRequestHandler) -> Answer:
        asked.append(request.path)
        if len(asked) < 3:
            return ok({**INSTANCE, "status": "faulted", "run": 1})
        return ok({**INSTANCE, "run": 2})

    with server(handle) as url, Client(url) as client:
        assert client.wait("x", 60, run=2).status == "completed"
        assert len(asked) == 3
        asked.clear()
        assert client.wait("x", 60).status == "faulted"


def test_nobody_listening_is_unreachable_and_says_where():
    with server(lambda _: ok({})) as url:
        pass
    with Client(url) as client, pytest.raises(Unreachable, match=url):
        client.get("x")


def test_a_refusal_is_not_repeated_and_keeps_the_problem():
    asked = []

    def handle(request: BaseHTTPRequestHandler) -> Answer:
        asked.append(request.path)
        problem = {"title": "Invalid", "detail": "no such task", "errors": [{"line": 3}]}
        return ok(problem, 422)

    with server(handle) as url, Client(url) as client, pytest.raises(ApiError) as refused:
        client.deploy("document: {}")
    assert len(asked) == 1
    assert refused.value.status == 422
    assert refused.value.errors == [{"line": 3}]
    assert str(refused.value) == "no such task"


def test_a_proxy_that_answers_in_html_is_still_an_api_error():
    with (
        server(lambda _: (404, {"Content-Type": "text/html"}, "<html>")) as url,
        Client(url) as client,
        pytest.raises(ApiError, match="Not Found"),
    ):
        client.get("x")


def test_pages_are_followed_to_the_last():
    def handle(request: BaseHTTPRequestHandler) -> Answer:
        if "cursor=second" in request.path:
            return ok({"items": [{**INSTANCE, "id": "2"}], "next": None})
        return ok({"items": [{**INSTANCE, "id": "1"}], "next": "second"})

    with server(handle) as url, Client(url) as client:
        assert [run.id for run in client.instances(status="completed")] == ["1", "2"]


def test_a_stream_that_breaks_is_taken_up_where_it_was():
    """Two transitions come, then the connection ends; the third comes in a second stream."""
    seen: list[str | None] = []

    def handle(request: BaseHTTPRequestHandler) -> Answer:
        if request.headers["Accept"] != "text/event-stream":
            if request.path.endswith("/history"):
                return ok({"items": [{"sequence": n} for n in (1, 2, 3)], "next": None})
            return ok({**INSTANCE, "status": "running" if len(seen) < 2 else "completed"})
        seen.append(request.headers["Last-Event-ID"])
        numbers = (1, 2) if len(seen) == 1 else (3,)
        events = "".join(f'id: {n}\ndata: {{"sequence": {n}}}\n\n' for n in numbers)
        return 200, {"Content-Type": "text/event-stream"}, ": hello\n\n" + events

    with server(handle) as url, Client(url) as client:
        assert [entry["sequence"] for entry in client.watch("x")] == [1, 2, 3]
    assert seen == [None, "2"]


@pytest.mark.parametrize("events", [False, True])
def test_a_stream_that_brings_nothing_is_asked_for_again_with_pauses(
    events: bool, monkeypatch: pytest.MonkeyPatch
):
    slept: list[float] = []
    monkeypatch.setattr("orchestrator.client.synchronous.resource_base.time.sleep", slept.append)
    seen: list[str] = []

    def handle(request: BaseHTTPRequestHandler) -> Answer:
        if request.headers["Accept"] != "text/event-stream":
            return ok({**INSTANCE, "status": "running"})
        seen.append(request.path)
        arrives = len(seen) in {4, 6}
        event = f'id: {len(seen)}\ndata: {{"sequence": {len(seen)}}}\n\n' if arrives else ""
        return 200, {"Content-Type": "text/event-stream"}, ": hello\n\n" + event

    with server(handle) as url, Client(url) as client:
        stream = client.events() if events else client.watch("x")
        assert [next(stream)["sequence"] for _ in range(2)] == [4, 6]
    assert slept == [0.0, 0.1, 0.2, 0.0, 0.1]


@pytest.mark.parametrize(
    ("status", "compensation", "ended"),
    [
        ("running", "none", False),
        ("completed", "none", True),
        ("faulted", "running", False),
        ("faulted", "completed", True),
        ("cancelled", "failed", True),
    ],
)
def test_a_run_has_ended_once_its_compensation_settled(status, compensation, ended):
    run = Run.from_json({**INSTANCE, "status": status, "compensation": compensation})
    assert run.ended is ended
    assert run.created_at is not None
    assert run.created_at.microsecond == 678901


def test_the_client_takes_what_tasks_may_return() -> None:
    seen: list[Any] = []

    def answer(request: BaseHTTPRequestHandler) -> Answer:
        assert request.headers["Content-Type"] == "application/json"
        seen.append(json.loads(request.rfile.read(int(request.headers["Content-Length"]))))
        return 202, {"Content-Type": "application/json"}, json.dumps(INSTANCE)

    given = {
        "price": Decimal("1.10"),
        "id": UUID(int=1),
        "at": datetime(2030, 1, 2, tzinfo=UTC),
        "on": date(2030, 1, 2),
        "raw": b"\xff",
        "pair": (1, 2),
        "nul": "\0",
    }
    with server(answer) as url, Client(url) as client:
        client.start("shop/order", given)
        with pytest.raises(NotJson, match=r"set.* at \$\.input\.items\[0\]"):
            client.start("shop/order", {"items": [{1}]})
    assert [each["input"] for each in seen] == [to_json(given)]
