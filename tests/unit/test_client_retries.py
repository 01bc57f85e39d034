"""What both clients send again, when, and what they leave to the caller."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx2
import pytest

from orchestrator.client import ApiError, AsyncClient, Client, Unreachable
from orchestrator.client.exchange import LONGEST_PAUSE, retry_after
from orchestrator.client.server_sent_events import EventParser
from tests.support.http_server import Answer, Handler, ok, server

INSTANCE = {
    "id": "01900000-0000-7000-8000-000000000001",
    "workflow": {"namespace": "shop", "name": "order", "version": "1.0.0"},
    "status": "completed",
}

Use = Callable[[Any], Any]
"""Uses a client; of an asynchronous one its result is awaited."""


def synchronous(url: str, use: Use) -> Any:
    with Client(url) as client:
        return use(client)


def asynchronous(url: str, use: Use) -> Any:
    async def run() -> Any:
        async with AsyncClient(url) as client:
            return await use(client)

    return asyncio.run(run())


both = pytest.mark.parametrize("run", [synchronous, asynchronous])


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of the clients, which do not wait."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    where = "orchestrator.client.{}.transport.{}.sleep"
    monkeypatch.setattr(where.format("synchronous", "time"), pauses.append)
    monkeypatch.setattr(where.format("asynchronous", "asyncio"), sleep)
    return pauses


class Answering:
    """Answers in turn; the last answer stays. `seen` are method, path and key of each request."""

    def __init__(self, *answers: Answer | None) -> None:
        self.answers = list(answers)
        self.seen: list[tuple[str, str, str | None]] = []

    def __call__(self, request: BaseHTTPRequestHandler) -> Answer | None:
        request.rfile.read(int(request.headers.get("Content-Length") or 0))
        key = request.headers["Idempotency-Key"]
        self.seen.append((request.command, request.path, key))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def problem(status: int, type: str = "about:blank", **headers: str) -> Answer:
    return (
        status,
        {"Content-Type": "application/problem+json", **headers},
        json.dumps({"type": type}),
    )


@both
def test_too_many_requests_are_sent_again_when_the_api_says(run: Any, slept: list[float]):
    busy = problem(429, **{"Retry-After": "2"})
    with server(handle := Answering(busy, busy, ok(INSTANCE))) as url:
        assert run(url, lambda client: client.get("x")).status == "completed"
    assert (len(handle.seen), slept) == (3, [2.0, 2.0])


@both
def test_a_pause_that_is_too_long_is_the_callers(run: Any, slept: list[float]):
    later = problem(503, **{"Retry-After": str(int(LONGEST_PAUSE) + 1)})
    with server(handle := Answering(later)) as url, pytest.raises(ApiError) as caught:
        run(url, lambda client: client.get("x"))
    assert (caught.value.status, len(handle.seen), slept) == (503, 1, [])


@both
def test_a_post_is_sent_again_under_its_key(run: Any, slept: list[float]):
    flying = problem(409, "https://example.org/problems/idempotency-in-flight")
    with server(handle := Answering(None, problem(503), flying, ok(INSTANCE, 202))) as url:
        run(url, lambda client: client.start("shop/order", idempotency_key="mine"))
    assert handle.seen == [("POST", "/v1/instances", "mine")] * 4
    assert slept == [0.1, 0.3, 0.9]


@both
def test_a_change_without_a_key_is_not_sent_again(run: Any, slept: list[float]):
    with server(handle := Answering(None)) as url, pytest.raises(Unreachable):
        run(url, lambda client: client.api.change_schedule("x", {"state": "paused"}))
    assert (len(handle.seen), slept) == (1, [])
    with server(handle := Answering(problem(429), ok({"id": "x"}))) as url:
        run(url, lambda client: client.api.change_schedule("x", {"state": "paused"}))
    assert len(handle.seen) == 2  # refused before anything was done


@both
def test_the_last_try_is_the_answer(run: Any, slept: list[float]):
    with server(handle := Answering(problem(503))) as url, pytest.raises(ApiError) as caught:
        run(url, lambda client: client.api.set_secret("x", {"value": 1}))
    assert (caught.value.status, len(handle.seen)) == (503, 4)


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("7", 7, 7),
        ("", 0, 0),
        ("soon", 0, 0),
        (format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True), 0, 0),
        (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 3000, 3601),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, least: float, most: float):
    answer = httpx2.Response(503, headers={"Retry-After": value})
    assert least <= retry_after(answer) <= most


# -- the asynchronous client in particular ------------------------------------------


def test_instances_are_an_asynchronous_iterator_over_all_pages():
    pages = [
        ok({"items": [{**INSTANCE, "id": "1"}], "next": "c"}),
        ok({"items": [{**INSTANCE, "id": "2"}]}),
    ]

    async def ids(client: Any) -> list[str]:
        typed = [item["id"] async for item in client.api.list_instances(status="completed")]
        assert typed == ["2"]
        return typed

    async def found(client: Any) -> list[str]:
        return [run.id async for run in client.instances(status="completed")]

    handle = Answering(*pages)
    with server(handle) as url:
        assert asynchronous(url, found) == ["1", "2"]
        assert asynchronous(url, ids) == ["2"]
    assert handle.seen[1][1].endswith("cursor=c")


def stream(*entries: int) -> Answer:
    text = "".join(f'id: {n}\ndata: {{"sequence": {n}}}\n\n' for n in entries)
    return 200, {"Content-Type": "text/event-stream"}, text


@both
def test_a_stream_goes_on_after_the_last_event(run: Any):
    asked: list[str | None] = []

    def handle(request: BaseHTTPRequestHandler) -> Answer:
        if request.headers["Accept"] != "text/event-stream":
            ended = "completed" if len(asked) > 1 else "running"
            return ok({**INSTANCE, "status": ended, "items": []})
        asked.append(request.headers["Last-Event-ID"])
        return stream(1, 2) if len(asked) == 1 else stream(3)

    with server(handle) as url:
        if run is synchronous:
            found = synchronous(url, lambda client: [e["sequence"] for e in client.watch("x")])
        else:

            async def watched(client: Any) -> list[int]:
                return [entry["sequence"] async for entry in client.watch("x")]

            found = asynchronous(url, watched)
    assert (found, asked) == ([1, 2, 3], [None, "2"])


def test_a_stream_that_is_left_gives_its_connection_back():
    def handle(request: BaseHTTPRequestHandler) -> Answer:
        return stream(*range(1, 50))

    async def first(client: Any) -> Any:
        events = client.api.stream_feed(namespace="shop")
        async for id, event in events:
            await events.aclose()
            return id, event
        raise AssertionError

    with server(handle) as url:
        assert asynchronous(url, first) == ("1", {"sequence": 1})


def test_many_waits_share_one_event_loop():
    async def waits(client: Any) -> list[str]:
        runs = await asyncio.gather(*(client.wait(str(n), 5) for n in range(20)))
        return [run.status for run in runs]

    handle: Handler = lambda _: ok(INSTANCE)  # noqa: E731
    with server(handle) as url:
        assert asynchronous(url, waits) == ["completed"] * 20


def test_the_parser_joins_lines_of_data_and_skips_comments():
    parser = EventParser()
    lines = [": hello", "id: 7", "data: [1,", "data: 2]", "", "", "data: 3", ""]
    assert [event for line in lines if (event := parser.feed(line))] == [("7", [1, 2]), ("7", 3)]
