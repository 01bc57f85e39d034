"""Hostile inputs and their answers: exact status, exact type, and nothing changed.

What concerns connections is in `test_api_server`, keys in `test_api_auth`, queries and
Idempotency-Keys in `test_api_instances`.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.api import Api, document, problem

JSON = "application/json"
YAML = "application/yaml"
START = '{"workflow":{"namespace":"shop","name":"order"},"input":%s}'


def start(input: str) -> bytes:
    return (START % input).encode()


def keys(count: int) -> bytes:
    return start("{" + ",".join(f'"k{n}":0' for n in range(count)) + "}")


BODIES: dict[str, tuple[bytes | str, str | None, int, str]] = {
    "empty": (b"", JSON, 400, "malformed-json"),
    "truncated": (start("{"), JSON, 400, "malformed-json"),
    "two values": (start("1") + b"{}", JSON, 400, "malformed-json"),
    "duplicate key": (start('{"a":1,"a":2}'), JSON, 400, "malformed-json"),
    "duplicate key, escaped": (start('{"a":1,"\\u0061":2}'), JSON, 400, "malformed-json"),
    "duplicate key at the top": (b'{"input":1,"input":2}', JSON, 400, "malformed-json"),
    "NaN": (start("NaN"), JSON, 400, "malformed-json"),
    "Infinity": (start("[-Infinity]"), JSON, 400, "malformed-json"),
    "1e999": (start("1e999"), JSON, 400, "malformed-json"),
    "-1e999": (start("-1e999"), JSON, 400, "malformed-json"),
    "a 100,000-digit integer": (start("9" * 100_000), JSON, 400, "malformed-json"),
    "a 5,000-digit integer": (start("-" + "9" * 5_000), JSON, 400, "malformed-json"),
    "depth 10,000": (start("[" * 10_000 + "]" * 10_000), JSON, 400, "malformed-json"),
    "depth 10,000, objects": (
        start('{"a":' * 10_000 + "1" + "}" * 10_000), JSON, 400, "malformed-json",
    ),
    "depth 250": (start("[" * 250 + "]" * 250), JSON, 400, "malformed-json"),
    "comment": (b"/* hello */" + start("1"), JSON, 400, "malformed-json"),
    "trailing comma": (start("[1,]"), JSON, 400, "malformed-json"),
    "single quotes": (start("'a'"), JSON, 400, "malformed-json"),
    "leading zero": (start("01"), JSON, 400, "malformed-json"),
    "control character": (start('"a\tb"'), JSON, 400, "malformed-json"),
    "bare NUL": (start('"a\x00b"'), JSON, 400, "malformed-json"),
    "byte order mark": (b"\xef\xbb\xbf" + start("1"), JSON, 400, "malformed-json"),
    "bad UTF-8": (start('"x"').replace(b"x", b"\xff"), JSON, 400, "malformed-json"),
    "overlong UTF-8": (start('"x"').replace(b"x", b"\xc0\xaf"), JSON, 400, "malformed-json"),
    "UTF-8 surrogate": (start('"x"').replace(b"x", b"\xed\xa0\x80"), JSON, 400, "malformed-json"),
    "UTF-16": (start("1").decode().encode("utf-16"), JSON, 400, "malformed-json"),
    "escaped NUL": (b'{"workflow":{"name":"a\\u0000b"}}', JSON, 422, "invalid-request"),
    "escaped NUL in a key": (b'{"\\u0000":1}', JSON, 422, "invalid-request"),
    "escaped NUL beside a payload": (
        b'{"input":"\\u0000","business_id":"\\u0000"}', JSON, 422, "invalid-request",
    ),
    "lone surrogate": (start('"\\ud800"'), JSON, 422, "invalid-request"),
    "lone low surrogate": (start('["\\uDC00"]'), JSON, 422, "invalid-request"),
    "a million keys": (keys(1_000_000), JSON, 413, "too-large"),
    "an input over the limit": (start('"' + "x" * (1 << 20) + '"'), JSON, 413, "too-large"),
    "a body over the limit": (b" " * (10 << 20), JSON, 413, "too-large"),
    "an array where an object belongs": (b'[["a"]]', JSON, 422, "invalid-request"),
    "text": (b'"start"', JSON, 422, "invalid-request"),
    "null": (b"null", JSON, 422, "invalid-request"),
    "true": (b"true", JSON, 422, "invalid-request"),
    "nothing in it": (b"{}", JSON, 422, "invalid-request"),
    "unknown field": (start("1")[:-1] + b',"status":"completed"}', JSON, 422, "invalid-request"),
    "unknown field, its id": (start("1")[:-1] + b',"id":"x"}', JSON, 422, "invalid-request"),
    "unknown field within": (
        b'{"workflow":{"namespace":"shop","name":"order","x":1}}', JSON, 422, "invalid-request",
    ),
    "a name that is none": (
        b'{"workflow":{"namespace":"shop","name":7}}', JSON, 422, "invalid-request",
    ),
    "an empty name": (b'{"workflow":{"namespace":"shop","name":""}}', JSON, 422, "invalid-request"),
    "a long name": (
        start("1").replace(b"order", b"o" * 1001), JSON, 422, "invalid-request",
    ),
    "SQL in a name": (
        start("1").replace(b"order", b"' OR 1=1 --"), JSON, 404, "not-found",
    ),
    "a path as a name": (start("1").replace(b"order", b"../order"), JSON, 404, "not-found"),
    "another namespace": (start("1").replace(b"shop", b"other"), JSON, 404, "not-found"),
    "zero-width business_id": (
        start("1")[:-1] + b',"business_id":"a\\u200bb"}', JSON, 422, "invalid-request",
    ),
    "right-to-left business_id": (
        start("1")[:-1] + b',"business_id":"\\u202egnp"}', JSON, 422, "invalid-request",
    ),
    "newline in a business_id": (
        start("1")[:-1] + b',"business_id":"a\\nb"}', JSON, 422, "invalid-request",
    ),
    "a 1,001-character business_id": (
        start("1")[:-1] + b',"business_id":"' + b"x" * 1001 + b'"}', JSON, 422, "invalid-request",
    ),
    "labels that are no text": (
        start("1")[:-1] + b',"labels":{"a":1}}', JSON, 422, "invalid-request",
    ),
    "65 labels": (
        start("1")[:-1] + b',"labels":{' + b",".join(b'"k%d":""' % n for n in range(65)) + b"}}",
        JSON, 422, "invalid-request",
    ),
    "start_at without a zone": (
        start("1")[:-1] + b',"start_at":"2026-01-01T00:00:00"}', JSON, 422, "invalid-request",
    ),
    "start_at on 30 February": (
        start("1")[:-1] + b',"start_at":"2026-02-30T00:00:00Z"}', JSON, 422, "invalid-request",
    ),
    "1,001 starts": (b"[" + b",".join([start("1")] * 1001) + b"]", JSON, 422, "invalid-request"),
    "no starts": (b"[]", JSON, 422, "invalid-request"),
    "no content type": (start("1"), None, 415, "unsupported-media-type"),
    "XML": (b"<start/>", "application/xml", 415, "unsupported-media-type"),
    "plain text": (start("1"), "text/plain", 415, "unsupported-media-type"),
    "a form": (b"a=1", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
    "multipart of 100,000 parts": (
        b"--x\r\n\r\n\r\n" * 100_000 + b"--x--", "multipart/form-data; boundary=x",
        415, "unsupported-media-type",
    ),
}  # fmt: skip


@pytest.fixture
def shop(api: Api) -> Api:
    api.deploy(document())
    return api


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body(shop: Api, name: str):
    body, media_type, status, slug = BODIES[name]
    before = shop.checksums()
    answer = shop.post("/v1/instances", data=body, content_type=media_type)
    assert (answer.status_code, problem(answer)) == (status, slug), answer.text[:300]
    assert len(answer.data) < 100_000
    assert shop.checksums() == before


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"])
def test_an_encoded_body_is_never_decoded(shop: Api, coding: str):
    before = shop.checksums()
    bomb = gzip.compress(b" " * (64 << 20))
    headers = {"Content-Encoding": coding}
    answer = shop.post("/v1/instances", data=bomb, content_type=JSON, headers=headers)
    assert (answer.status_code, problem(answer)) == (415, "unsupported-media-type")
    assert shop.checksums() == before


HARMLESS = {
    "__proto__": '{"__proto__":{"polluted":true},"constructor":1}',
    "SQL": '"\'; drop table orchestrator.instances; --"',
    "a format string": '"%s %(x)s {0} ${jndi:ldap://x}"',
    "an expression": '"${ $ENV }"',
    "a template": '"{{ 7 * 7 }}"',
    "a tag": '"<img src=x onerror=alert(1)>"',
    "NUL": '{"a\\u0000b": ["\\u0000"]}',
    "a backslash before u0000": '"\\\\u0000"',
    "a pair of surrogates": '"\\ud83d\\ude00"',
    "the largest depth": "[" * 150 + "]" * 150,
    "a 1,000-digit integer": "9" * 1000,
    "a tiny number": "1e-400",
    "empty": '""',
}


@pytest.mark.parametrize("name", HARMLESS)
def test_data_stays_data(shop: Api, name: str):
    """What only looks dangerous is stored, and comes back, as it was sent."""
    answer = shop.post("/v1/instances", data=start(HARMLESS[name]), content_type=JSON)
    assert answer.status_code == 202
    found = shop.get(f"/v1/instances/{answer.json['id']}")
    assert found.json["input"] == json.loads(HARMLESS[name])


def with_task(task: dict[str, Any]) -> str:
    return json.dumps(document(do=[{"t": task}]))


def bomb() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{b}: &{b} [{', '.join(['*' + a] * 10)}]"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    return "\n".join(lines)


DOCUMENTS: dict[str, tuple[str | Callable[[], str], str, int, str]] = {
    "alias bomb": (bomb, YAML, 400, "malformed-document"),
    "1,100 levels": ("a: " + "[" * 1100 + "]" * 1100, YAML, 400, "malformed-document"),
    "1,100 levels of JSON": ("[" * 1100 + "]" * 1100, JSON, 400, "malformed-document"),
    "python tag": ("a: !!python/object/apply:os.system ['true']", YAML, 400, "malformed-document"),
    "unknown tag": ("a: !secret x", YAML, 400, "malformed-document"),
    "several documents": ("a: 1\n---\nb: 2\n", YAML, 400, "malformed-document"),
    "duplicate key": ("a: 1\na: 2\n", YAML, 400, "malformed-document"),
    "duplicate key in JSON": ('{"a":1,"a":2}', JSON, 400, "malformed-document"),
    "empty": ("", YAML, 400, "malformed-document"),
    "no mapping": ("- a\n- b\n", YAML, 422, "invalid-document"),
    "text": ("hello", YAML, 422, "invalid-document"),
    "NaN": ("a: .nan", YAML, 400, "malformed-document"),
    "unknown then": (with_task({"set": {}, "then": "nowhere"}), JSON, 422, "invalid-document"),
    "negative duration": (with_task({"wait": {"seconds": -1}}), JSON, 422, "invalid-document"),
    "$ENV": (with_task({"set": {"a": "${ $ENV }"}}), JSON, 422, "invalid-document"),
    "env": (with_task({"set": {"a": "${ env }"}}), JSON, 422, "invalid-document"),
    "{env}": (with_task({"set": {"a": "${ {env} }"}}), JSON, 422, "invalid-document"),
    "halt": (with_task({"set": {"a": "${ halt }"}}), JSON, 422, "invalid-document"),
    "input": (with_task({"set": {"a": "${ input }"}}), JSON, 422, "invalid-document"),
    "import": (with_task({"set": {"a": '${ import "a" as a; . }'}}), JSON, 422, "invalid-document"),
    "include": (with_task({"set": {"a": '${ include "a"; . }'}}), JSON, 422, "invalid-document"),
    "a broken expression": (with_task({"set": {"a": "${ .[ }"}}), JSON, 422, "invalid-document"),
    "a document over the limit": ("a: " + "x" * (2 << 20), YAML, 413, "too-large"),
    "XML": ("<a/>", "application/xml", 415, "unsupported-media-type"),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_hostile_document(api: Api, name: str):
    made, media_type, status, slug = DOCUMENTS[name]
    text = made if isinstance(made, str) else made()
    answer = api.post("/v1/workflows", data=text.encode(), content_type=media_type)
    assert (answer.status_code, problem(answer)) == (status, slug), answer.text[:300]
    assert sum(api.content().values()) == 1  # the migrations' own row


def test_a_method_that_is_not_there(shop: Api):
    before = shop.checksums()
    for method, path in (
        ("PUT", "/v1/instances"),
        ("DELETE", "/v1/instances"),
        ("PATCH", "/v1/workflows/shop/order"),
        ("TRACE", "/v1/instances"),
        ("GET", "/v1/dead-letters/x/retry"),
    ):
        answer = shop(method, path)
        assert (answer.status_code, problem(answer)) == (405, "method-not-allowed")
        assert "GET" in answer.headers["Allow"] or "POST" in answer.headers["Allow"]
    assert shop.checksums() == before


def test_an_escaped_slash_names_no_other_resource(shop: Api):
    id = shop.start()
    for path in (f"{id}%2Fsteps", f"{id}%2fsuspend", "..%2Fworkflows", f"{id}/steps%2F1"):
        for method in ("get", "post"):
            answer = shop(method, f"/v1/instances/{path}", json={} if method == "post" else None)
            assert (answer.status_code, problem(answer)) == (404, "not-found")
    assert shop.get("/v1/workflows/shop/order%2Fversions").status_code == 404
    assert shop.get(f"/v1/instances/{id}?wait=0").json["status"] == "pending"
    assert shop.get("/v1/instances?workflow=shop%2Forder").json["items"][0]["id"] == id


def test_a_method_cannot_be_smuggled(shop: Api):
    id = shop.start()
    for headers in ({"X-HTTP-Method-Override": "DELETE"}, {"X-Method-Override": "DELETE"}):
        assert shop.get("/v1/workflows/shop/order", headers=headers).status_code == 200
    assert shop.get("/v1/workflows/shop/order?_method=DELETE").status_code == 200
    assert shop.get(f"/v1/instances/{id}").status_code == 200


def test_every_answer_is_signed_and_safe(shop: Api):
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    for path in ("/v1/instances", "/v1/nothing", "/livez", "/v1/instances?limit=0"):
        answer: Any = shop.client.get(path, headers=headers)
        assert answer.headers["X-Request-Id"] == trace
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        if answer.status_code >= 400:
            assert answer.json["trace_id"] == trace
    other: Any = shop.client.get("/v1/nothing", headers={"traceparent": "00-<script>-x-01"})
    assert len(other.json["trace_id"]) == 32


def test_a_failure_of_ours_tells_nothing_of_its_inside(shop: Api, monkeypatch):
    def broken(*_: Any) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("orchestrator.database.instances.instance_lists.listed", broken)
    answer = shop.get("/v1/instances")
    assert (answer.status_code, problem(answer)) == (500, "internal-error")
    assert "hunter2" not in answer.text


def test_the_documentation_needs_nobody_else(shop: Api):
    page = shop.client.get("/docs")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert "://" not in page.text
    assert "<script>" not in page.text
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert shop.client.get(path).status_code == 200
    assert shop.client.get("/docs/assets/../app.py").status_code == 404
    assert shop.client.get("/docs/assets/..%2fapp.py").status_code == 404
