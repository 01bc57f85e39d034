"""What is refused is refused everywhere: hostile ids, queries and bodies to every operation
that the description has, and more hostile documents. Exact status, exact type; no row changes,
and nobody is connected to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.outbound import guarded_transport
from tests.support.api import Api, document, problem
from tests.support.api_examples import ID
from tests.support.api_page import body_of, operations_of

JSON = "application/json"

pytestmark = pytest.mark.slow  # `test_api_hostile` is the quick one


@pytest.fixture(autouse=True)
def connected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every address that the outbound client connects to: none, in all of these tests."""
    found: list[str] = []
    plain = guarded_transport._Backend._connect

    def spy(self: Any, host: str, *rest: Any) -> Any:
        found.append(host)
        return plain(self, host, *rest)

    monkeypatch.setattr(guarded_transport._Backend, "_connect", spy)
    yield found
    assert found == []


@pytest.fixture
def shop(api: Api) -> Api:
    api.deploy(document())
    api.start()
    return api


def filled(path: str, id: str = ID) -> str:
    """The path with something in each of its places; `id` where an id should be."""
    path = re.sub(r"\{(id|delivery)\}", lambda _: id, path)
    return re.sub(r"\{\w+\}", "1", path)


IDS = {
    "SQL": ("' OR 1=1", 400, "invalid-id"),
    "a quote": ("'", 400, "invalid-id"),
    "a number": ("1", 400, "invalid-id"),
    "null": ("null,null", 400, "invalid-id"),
    "braces": ("{" + ID + "}", 400, "invalid-id"),
    "without hyphens": (ID.replace("-", ""), 400, "invalid-id"),
    "zero-width": (ID + "%E2%80%8B", 400, "invalid-id"),
    "a full stop behind": (ID + ".", 400, "invalid-id"),
    "NUL": (ID + "%00", 400, "malformed-request"),
    "1,001 characters": ("a" * 1001, 422, "invalid-request"),
    "an object's own": ("__proto__", 400, "invalid-id"),
    "a line break": (ID + "%0A", 400, "invalid-id"),
}


@pytest.mark.parametrize("name", IDS)
def test_an_id_that_is_none(shop: Api, name: str):
    id, status, slug = IDS[name]
    before = shop.checksums()
    asked = 0
    for path, method, _ in operations_of(shop.description.spec):
        if "{id}" in path:
            answer = shop.client.open(filled(path, id), method=method.upper(), json={})
            told: Any = answer.json
            assert (answer.status_code, problem(answer)) == (status, slug), (method, path, told)
            asked += 1
    assert asked > 20
    assert shop.checksums() == before


def test_an_id_of_nothing_is_not_found(shop: Api):
    for path, method, operation in operations_of(shop.description.spec):
        if "{id}" in path and body_of(operation) is None:
            answer = shop.client.open(filled(path), method=method.upper())
            assert (answer.status_code, problem(answer)) == (404, "not-found"), (method, path)


TRAVERSALS = [
    *("/v1/instances/../keys/x", "/v1/instances/..%2f..%2fetc%2fpasswd"),
    *("/v1/workflows/shop/../../keys/y/z/a", "/v1//instances//..//x"),
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_traversal_is_not_found(shop: Api, path: str):
    answer: Any = shop.client.get(path)
    assert (answer.status_code, problem(answer)) == (404, "not-found")


QUERIES = [
    *("limit=-1", "limit=0", "limit=1e9", "limit=1000000000", "limit=abc", "limit=", "limit=1.5"),
    *("cursor=AAAA", "cursor=%00", "cursor=e30", f"cursor={'A' * 2001}", "cursor=' OR 1=1"),
    *("limit=1&limit=2", "unknown=1", "%00=1", "$where=1", "limit[]=1"),
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_that_is_wrong(shop: Api, query: str):
    before = shop.checksums()
    asked = 0
    for path, method, operation in operations_of(shop.description.spec):
        names = {each["name"] for each in operation["parameters"]}
        if method == "get" and {"limit", "cursor"} <= names and "{" not in path:
            answer: Any = shop.client.get(f"{path}?{query}")
            assert (answer.status_code, problem(answer)) == (400, "invalid-query"), path
            asked += 1
    assert asked >= 8
    assert shop.checksums() == before


BODIES = {
    "truncated": (b'{"', JSON, 400, "malformed-json"),
    "NaN": (b'{"a":NaN}', JSON, 400, "malformed-json"),
    "1e999": (b'{"a":1e999}', JSON, 400, "malformed-json"),
    "a duplicate key": (b'{"a":1,"a":1}', JSON, 400, "malformed-json"),
    "depth 10,000": (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", JSON, 400, "malformed-json"),
    "bad UTF-8": (b'{"a":"\xff"}', JSON, 400, "malformed-json"),
    "NUL": (b'{"a":"\\u0000"}', JSON, 422, "invalid-request"),
    "a lone surrogate": (b'{"a":"\\ud800"}', JSON, 422, "invalid-request"),
    "a text": (b'"x"', JSON, 422, "invalid-request"),
    "a number": (b"1", JSON, 422, "invalid-request"),
    "unknown fields": (b'{"isAdmin":true,"__proto__":{}}', JSON, 422, "invalid-request"),
    "XML": (b"<a/>", "application/xml", 415, "unsupported-media-type"),
    "a form": (b"a=1", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
}
#: These take documents and CloudEvents, which have tables of their own.
OTHERS = re.compile(r"/v1/workflows|.*/events$")


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_wrong(shop: Api, name: str):
    body, media_type, status, slug = BODIES[name]
    (id,) = shop.all("select id::text from orchestrator.instances")[0]
    before = shop.checksums()
    asked = 0
    for path, method, operation in operations_of(shop.description.spec):
        if body_of(operation) is not None and not OTHERS.fullmatch(path):
            answer: Any = shop.client.open(
                filled(path, id), method=method.upper(), data=body, content_type=media_type
            )
            told = (method, path, answer.json)
            assert (answer.status_code, problem(answer)) == (status, slug), told
            asked += 1
    assert asked >= 12
    assert shop.checksums() == before


def doing(task: dict[str, Any], **document_more: Any) -> str:
    return json.dumps(document(do=[{"t": task}], **document_more))


DOCUMENTS: dict[str, str] = {
    "a duration of 9,999 years": doing({"wait": "P9999Y"}),
    "a negative duration in words": doing({"wait": "-PT1S"}),
    "30 February": doing({"set": {}}, schedule={"cron": "0 0 30 2 *"}),
    "a cron of nonsense": doing({"set": {}}, schedule={"cron": "* * * * * * * *"}),
    "10^9 retries": doing(
        {"try": [{"a": {"set": {}}}],
         "catch": {"retry": {"limit": {"attempt": {"count": 10**9}}}}}
    ),
    "unknown retry": doing({"try": [{"a": {"set": {}}}], "catch": {"retry": "none"}}),
    "a line break in a header": doing(
        {"call": "http", "with": {"method": "get", "endpoint": "http://x.example",
                                  "headers": {"a": "b\r\nc: d"}}}
    ),
    "a program of 5 MB is a document over the limit, one of 100 kB is too long": doing(
        {"set": {"a": "${ " + "1+" * 50_000 + "1 }"}}
    ),
    "a name with a line break": json.dumps(document(name="a\nb")),
    "a name that runs right to left": json.dumps(document(name="\u202eorder")),
    "a name of 1,001 characters": json.dumps(document(name="a" * 1001)),
    "a version that is none": json.dumps(document(version="1")),
    "$ENV in a switch": doing({"switch": [{"a": {"when": "$ENV.HOME", "then": "end"}}]}),
    "input_filename": doing({"set": {"a": "${ input_filename }"}}),
    "a modulemeta": doing({"set": {"a": '${ "a" | modulemeta }'}}),
    "an expression without an end": doing({"set": {"a": '${ "abc }'}}),
    "two tasks of a name": json.dumps(document(do=[{"a": {"set": {}}}, {"a": {"set": {}}}])),
    "an unknown kind of task": doing({"explode": {}}),
    "an unknown key": doing({"set": {}, "sett": {}}),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_is_wrong(api: Api, name: str):
    before = api.checksums()
    answer = api.post("/v1/workflows", data=DOCUMENTS[name].encode(), content_type=JSON)
    assert (answer.status_code, problem(answer)) == (422, "invalid-document"), answer.text[:500]
    assert api.checksums() == before


def test_a_version_can_not_be_changed(shop: Api):
    before = shop.checksums()
    changed = document(do=[{"other": {"set": {"a": 1}}}])
    answer = shop.post("/v1/workflows", json=changed)
    assert answer.status_code == 409
    assert shop.checksums() == before


@pytest.mark.parametrize("address", [
    "http://169.254.169.254/latest/meta-data", "http://127.0.0.1:1", "http://2130706433",
    "http://0177.0.0.1", "http://[::1]", "http://[::ffff:127.0.0.1]", "http://10.0.0.1",
    "http://100.64.0.1", "http://[fc00::1]", "http://[64:ff9b::7f00:1]", "http://user@127.0.0.1",
    "file:///etc/passwd", "gopher://127.0.0.1:6379/_x",
])  # fmt: skip
def test_a_private_address_is_nobody_s_webhook(shop: Api, address: str):
    """Documents may name one, since it is the workers' guard that says what is private there."""
    before = shop.checksums()
    hook = {"filter": {"type": "x"}, "webhook": {"url": address}}
    answer = shop.post("/v1/subscriptions", json=hook)
    assert (answer.status_code, problem(answer)) == (422, "invalid-request")
    call = {"call": "http", "with": {"method": "get", "endpoint": address}}
    text = doing(call).encode()
    checked = shop.post("/v1/workflows?dry_run=true", data=text, content_type=JSON)
    assert checked.status_code == 200
    assert shop.checksums() == before
