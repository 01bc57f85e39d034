"""CloudEvents through the API: every content mode, once each, and hostile ones refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.ids import new_id
from tests.support.api import Api, document, problem
from tests.support.events import BATCH, STRUCTURED, event

JSON = "application/json"


def binary(body: bytes | str = b"", kind: str | None = None, **attributes: str) -> dict[str, Any]:
    """A request in binary content mode."""
    wanted = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", **attributes}
    headers = {f"ce-{name}": value for name, value in wanted.items() if value}
    return {"data": body, "headers": headers, **({"content_type": kind} if kind else {})}


def stored(api: Api) -> list[Any]:
    return [
        row[0] for row in api.all("select event from orchestrator.events order by receipt_number")
    ]


def post(api: Api, body: Any, kind: str = STRUCTURED, path: str = "/v1/events?namespace=shop"):
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    return api.post(path, data=data, content_type=kind)


@pytest.mark.parametrize("kind", [STRUCTURED, JSON, f"{STRUCTURED}; charset=utf-8"])
def test_an_event_in_structured_mode_is_kept_as_it_is(api: Api, kind: str):
    given = event(
        subject="it", time="2026-01-02T03:04:05.678+02:00", data={"b": [1, None], "a": 1.5},
        datacontenttype="application/json", myext=7, yes=True,
    )  # fmt: skip
    answer = post(api, given, kind)
    assert answer.status_code == 202
    assert answer.json["duplicate"] is False
    assert stored(api) == [given]
    shown = api.get(answer.headers["Location"]).json
    assert shown["event"] == given
    assert (shown["matched_at"], shown["matches"], shown["target"]) == (None, [], None)


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b'{"n": [1]}', JSON, {"data": {"n": [1]}}),
        (b"5", "application/vnd.x+json; charset=utf-8", {"data": 5}),
        ("grüß".encode(), "text/plain; charset=utf-8", {"data": "grüß"}),
        (b"<a/>", "application/xml", {"data": "<a/>"}),
        (b"\xff\x00", "text/plain", {"data_base64": "/wA="}),
        (b"\xff\x00", "application/octet-stream", {"data_base64": "/wA="}),
        (b"", None, {}),
    ],
)
def test_an_event_in_binary_mode(api: Api, body: bytes, kind: str | None, expected: Any):
    request = binary(body, kind, subject="a%20b%C3%BC", myext="x")
    assert api.post("/v1/events?namespace=shop", **request).status_code == 202
    attributes = event(source="/s", subject="a bü", myext="x")
    assert stored(api) == [
        {**attributes, **expected, **({"datacontenttype": kind} if kind else {})}
    ]


def test_a_batch_is_kept_in_its_order(api: Api):
    given = [event(str(number)) for number in range(40)]
    answer = post(api, given, BATCH)
    assert answer.status_code == 202
    assert [one["duplicate"] for one in answer.json] == [False] * 40
    assert stored(api) == given
    assert post(api, [], BATCH).json == []


def test_an_event_counts_once_for_its_namespace_source_and_id(api: Api):
    first = post(api, event(data=1)).json
    again = post(api, event(data=2))
    assert (again.status_code, again.json) == (202, {"id": first["id"], "duplicate": True})
    assert post(api, event(source="/other")).json["duplicate"] is False
    other = post(api, event(), path="/v1/events?namespace=bank")
    assert other.json["duplicate"] is False
    batch = post(api, [event("2"), event("2"), event()], BATCH).json
    assert [one["duplicate"] for one in batch] == [False, True, True]
    assert batch[0]["id"] == batch[1]["id"]
    assert len(stored(api)) == 4


def test_the_same_idempotency_key_gets_the_same_answer(api: Api):
    def send(given: Mapping[str, Any]):
        return api.post("/v1/events?namespace=shop", json=given, headers={"Idempotency-Key": "k"})

    first = send(event())
    again = send(event())
    assert again.json == first.json == {"id": first.json["id"], "duplicate": False}
    assert again.headers["Idempotency-Replayed"] == "true"
    assert problem(send(event("2"))) == "idempotency-key-reused"


def test_events_are_listed_newest_first(api: Api):
    post(api, [event(str(n), type=f"t{n % 2}") for n in range(5)], BATCH)
    post(api, event(), path="/v1/events?namespace=bank")
    page = api.get("/v1/events?namespace=shop&type=t0&limit=2").json
    assert [one["event"]["id"] for one in page["items"]] == ["4", "2"]
    page = api.get(f"/v1/events?namespace=shop&type=t0&limit=2&cursor={page['next']}").json
    assert [one["event"]["id"] for one in page["items"]] == ["0"]
    assert len(api.get("/v1/events").json["items"]) == 6
    assert len(api.get("/v1/events?source=/s").json["items"]) == 6
    assert problem(api.get(f"/v1/events/{new_id()}")) == "not-found"


def test_an_event_for_one_instance_waits_in_its_mailbox(api: Api):
    api.deploy(document())
    id = api.start()
    answer = post(api, event(), path=f"/v1/instances/{id}/events")
    assert answer.status_code == 202
    assert api.get(f"/v1/events/{answer.json['id']}").json["target"] == id
    assert [one["target"] for one in api.get(f"/v1/events?target={id}").json["items"]] == [id]
    assert post(api, event(), path=f"/v1/instances/{id}/events").json["duplicate"] is True
    assert problem(post(api, event(), path=f"/v1/instances/{new_id()}/events")) == "not-found"
    api.all("update orchestrator.instances set status = 'completed'")
    assert problem(post(api, event("2"), path=f"/v1/instances/{id}/events")) == "wrong-status"


@pytest.fixture
def untouched(_application: Api) -> Api:
    """The application, for what must not leave anything to be cleaned up."""
    return _application


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in event().items() if key != name}


LARGE = "x" * (1 << 20)
HOSTILE: dict[str, tuple[Any, str, int, str]] = {
    "no id": (without("id"), STRUCTURED, 400, "invalid-event"),
    "no source": (without("source"), STRUCTURED, 400, "invalid-event"),
    "no type": (without("type"), STRUCTURED, 400, "invalid-event"),
    "no specversion": (without("specversion"), STRUCTURED, 400, "invalid-event"),
    "a null id": (event(id=None), STRUCTURED, 400, "invalid-event"),
    "an empty id": (event(id=""), STRUCTURED, 400, "invalid-event"),
    "an empty source": (event(source=""), STRUCTURED, 400, "invalid-event"),
    "an empty type": (event(type=""), STRUCTURED, 400, "invalid-event"),
    "a number as id": (event(id=1), STRUCTURED, 400, "invalid-event"),
    "an object as type": (event(type={}), STRUCTURED, 400, "invalid-event"),
    "a space in the source": (event(source="a b"), STRUCTURED, 400, "invalid-event"),
    "a newline in the type": (event(type="a\nb"), STRUCTURED, 400, "invalid-event"),
    "an id of 1,001 characters": (event(id="x" * 1001), STRUCTURED, 400, "invalid-event"),
    "a source of 1,001 bytes": (event(source="ü" * 501), STRUCTURED, 400, "invalid-event"),
    "specversion 0.3": (event(specversion="0.3"), STRUCTURED, 400, "invalid-event"),
    "specversion 2.0": (event(specversion="2.0"), STRUCTURED, 400, "invalid-event"),
    "specversion as a number": (event(specversion=1.0), STRUCTURED, 400, "invalid-event"),
    "an uppercase extension": (event(myExt="x"), STRUCTURED, 400, "invalid-event"),
    "an extension with a dash": (event(**{"my-ext": "x"}), STRUCTURED, 400, "invalid-event"),
    "an extension without a name": (event(**{"": "x"}), STRUCTURED, 400, "invalid-event"),
    "an extension that is an array": (event(mine=[]), STRUCTURED, 400, "invalid-event"),
    "an extension that is a fraction": (event(mine=1.5), STRUCTURED, 400, "invalid-event"),
    "an extension beyond 32 bits": (event(mine=2**31), STRUCTURED, 400, "invalid-event"),
    "100 extensions": (
        event(**{f"e{n}": "x" for n in range(100)}),
        STRUCTURED,
        400,
        "invalid-event",
    ),
    "data and data_base64": (event(data=1, data_base64="MQ=="), STRUCTURED, 400, "invalid-event"),
    "null data and data_base64": (
        event(data=None, data_base64="MQ=="),
        STRUCTURED,
        400,
        "invalid-event",
    ),
    "data_base64 that is none": (event(data_base64="%"), STRUCTURED, 400, "invalid-event"),
    "data_base64 as a number": (event(data_base64=1), STRUCTURED, 400, "invalid-event"),
    "a bad time": (event(time="yesterday"), STRUCTURED, 400, "invalid-event"),
    "a time without a zone": (event(time="2026-01-02T03:04:05"), STRUCTURED, 400, "invalid-event"),
    "a date": (event(time="2026-01-02"), STRUCTURED, 400, "invalid-event"),
    "30 February": (event(time="2026-02-30T00:00:00Z"), STRUCTURED, 400, "invalid-event"),
    "a time as a number": (event(time=1), STRUCTURED, 400, "invalid-event"),
    "an empty subject": (event(subject=""), STRUCTURED, 400, "invalid-event"),
    "a bad datacontenttype": (event(datacontenttype="json"), STRUCTURED, 400, "invalid-event"),
    "a bad dataschema": (event(dataschema="a b"), STRUCTURED, 400, "invalid-event"),
    "an array": ([event()], STRUCTURED, 400, "invalid-event"),
    "a text": ('"x"', STRUCTURED, 400, "invalid-event"),
    "a batch that is an object": (event(), BATCH, 400, "invalid-event"),
    "a batch with one bad event": ([event(), without("id")], BATCH, 400, "invalid-event"),
    "a batch of 1,001": ([event(str(n)) for n in range(1001)], BATCH, 413, "too-large"),
    "a batch of 10 MB": ([event(str(n), data=LARGE) for n in range(10)], BATCH, 413, "too-large"),
    "too large": (event(data=LARGE), STRUCTURED, 413, "too-large"),
    "too large within a batch": ([event(data=LARGE)], BATCH, 413, "too-large"),
    "truncated": ('{"specversion"', STRUCTURED, 400, "malformed-json"),
    "a key twice": ('{"id":"1","id":"2"}', STRUCTURED, 400, "malformed-json"),
    "NaN": ('{"data":NaN}', STRUCTURED, 400, "malformed-json"),
    "bad UTF-8": (b'{"id":"\xff"}', STRUCTURED, 400, "malformed-json"),
    "NUL": (r'{"subject":"\u0000"}', STRUCTURED, 422, "invalid-request"),
    "half a surrogate": (r'{"data":"\ud800"}', STRUCTURED, 422, "invalid-request"),
    "the XML format": ("<event/>", "application/cloudevents+xml", 415, "unsupported-media-type"),
    "another batch": ("[]", "application/cloudevents-batch+avro", 415, "unsupported-media-type"),
    "text without ce- headers": ("x", "text/plain", 415, "unsupported-media-type"),
}


@pytest.mark.parametrize("row", HOSTILE)
def test_a_hostile_event_is_refused_and_nothing_stored(untouched: Api, row: str):
    api, (body, kind, status, slug) = untouched, HOSTILE[row]
    before = api.content()
    answer = post(api, body, kind)
    assert (answer.status_code, problem(answer)) == (status, slug)
    assert api.content() == before


BINARY: dict[str, tuple[dict[str, Any], int, str]] = {
    "no id": (binary(id=""), 400, "invalid-event"),
    "specversion 0.3": (binary(specversion="0.3"), 400, "invalid-event"),
    "a bad time": (binary(time="now"), 400, "invalid-event"),
    "data as a header": (binary(data="x"), 400, "invalid-event"),
    "bad UTF-8": (binary(subject="%ff"), 400, "invalid-event"),
    "a dash in a name": (binary(**{"my-ext": "x"}), 400, "invalid-event"),
    "no JSON": (binary(b"{", JSON), 400, "malformed-json"),
    "no JSON, without a content type": (binary(b"{"), 400, "malformed-json"),
    "too large": (binary(LARGE.encode() * 2, "text/plain"), 413, "too-large"),
    "an unknown format with headers": (
        binary(b"{}", "application/cloudevents+xml"), 415, "unsupported-media-type",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", BINARY)
def test_a_hostile_event_in_binary_mode_is_refused(untouched: Api, row: str):
    api, (request, status, slug) = untouched, BINARY[row]
    before = api.content()
    answer = api.post("/v1/events?namespace=shop", **request)
    assert (answer.status_code, problem(answer)) == (status, slug)
    assert api.content() == before


def test_a_place_in_a_batch_is_named(api: Api):
    answer = post(api, [event(), event("2", time="x")], BATCH)
    assert answer.json["errors"] == [
        {"pointer": "/1/time", "message": "time is not a time (RFC 3339)"}
    ]


def test_without_a_namespace_it_must_be_plain_which(api: Api):
    assert problem(post(api, event(), path="/v1/events")) == "invalid-request"
    assert problem(post(api, event(), path="/v1/events?namespace=A%20B")) == "invalid-query"
    assert problem(post(api, event(), path="/v1/events?namspace=shop")) == "invalid-query"


def test_binary_data_is_what_was_sent(api: Api):
    given = event(data_base64=base64.b64encode(bytes(range(256))).decode())
    assert post(api, given).status_code == 202
    assert stored(api) == [given]
