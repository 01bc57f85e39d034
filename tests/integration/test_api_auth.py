"""API keys: who is let in, what each role may do, and what a foreign namespace looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from api.http import refused_keys
from api.http.authentication import Authenticator
from api.http.rate_limiter import Rate
from api.http.refused_keys import RefusedKeys
from api.resources.api_keys import new_key
from orchestrator import clock
from orchestrator.cli import main
from orchestrator.database.access import api_key_queries
from orchestrator.database.access.api_key_queries import KeyRow
from orchestrator.database.connection.database import Database
from orchestrator.ids import new_id
from tests.support.api import Api, document, problem

Bearer = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def _guarded(module_database_url: str) -> Iterator[Api]:
    made = Api.on(module_database_url, "redis://127.0.0.1:1/0", authenticate=True)
    yield made
    made.close()


@pytest.fixture
def api(_guarded: Api) -> Iterator[Api]:
    """The application with authentication on; requests carry no key unless told."""
    yield _guarded
    _guarded.empty()


@pytest.fixture
def bearer(api: Api) -> Bearer:
    """Makes a key straight in the database; returns the header that shows it."""

    def make(role: str = "admin", *namespaces: str, **more: Any) -> dict[str, str]:
        asked = {"name": f"{role}-{new_id()}", "role": role, "namespaces": namespaces or ("*",)}
        row, shown = new_key({**asked, **more})
        api_key_queries.put(api.database, row)
        return {"Authorization": f"Bearer {shown}"}

    return make


@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Bearer ", "Bearer a", "Bearer a.b", "Basic YTpi", "bearer a.b.c",
        "Bearer 000000000000." + "A" * 43, "Bearer " + "a" * 5000, "Bearer a.b\x00",
    ],
)  # fmt: skip
def test_without_a_key_nobody_is_let_in(api: Api, header: str | None):
    headers = {} if header is None else {"Authorization": header}
    for method, path in (("get", "/v1/instances"), ("post", "/v1/workflows"), ("get", "/v1/keys")):
        answer = api(method, path, headers=headers)
        assert (answer.status_code, problem(answer)) == (401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_forged_keys_are_a_429_before_the_database_is_asked(
    api: Api, bearer: Bearer, monkeypatch: pytest.MonkeyPatch
):
    state = api.client.application.extensions["orchestrator"]
    monkeypatch.setattr(state.authenticator, "_refused", RefusedKeys())
    moment = clock.monotonic()
    monkeypatch.setattr(clock, "monotonic", lambda: moment)
    known, unknown = bearer(), bearer()
    assert api.get("/v1/instances", headers=known).status_code == 200
    looked: list[str] = []
    find = api_key_queries.find_valid

    def find_valid(database: Database, prefix: str) -> KeyRow | None:
        looked.append(prefix)
        return find(database, prefix)

    monkeypatch.setattr(api_key_queries, "find_valid", find_valid)
    statuses = []
    for n in range(refused_keys.AT_ONCE + 20):
        forged = {"Authorization": f"Bearer {n:012x}.{'A' * 43}"}
        answer = api.get("/v1/instances", headers=forged)
        statuses.append(answer.status_code)
    assert statuses == [401] * refused_keys.AT_ONCE + [429] * 20
    assert answer.headers["Retry-After"] == "1"
    assert len(looked) == refused_keys.AT_ONCE
    assert api.get("/v1/instances", headers=known).status_code == 200, "an accepted key goes on"
    assert api.get("/v1/instances", headers=unknown).status_code == 429
    assert api.get("/v1/instances").status_code == 401
    moment += 1
    assert api.get("/v1/instances", headers=unknown).status_code == 200


def test_probes_and_the_description_are_open(api: Api):
    for path in ("/livez", "/readyz", "/openapi.json"):
        assert api.client.get(path).status_code == 200


def test_things_named_like_probes_are_guarded(api: Api):
    for name in ("health", "ready", "metrics", "livez", "openapi.json"):
        for path in (f"/v1/instances/{name}", f"/v1/workflows/shop/{name}"):
            assert api.get(path).status_code == 401


def test_each_role_may_do_its_part(api: Api, bearer: Bearer):
    viewer, operator, admin = (bearer(role) for role in ("viewer", "operator", "admin"))
    asked: list[tuple[str, str, dict[str, Any], int]] = [
        ("get", "/v1/instances", {}, 1),
        ("get", "/v1/dead-letters", {}, 1),
        ("post", "/v1/workflows", {"json": document()}, 2),
        ("get", "/v1/workers", {}, 2),
        ("get", "/v1/queues", {}, 2),
        ("get", "/v1/audit", {}, 3),
        ("get", "/v1/keys", {}, 3),
        ("post", "/v1/keys", {"json": {"name": "k", "role": "viewer", "namespaces": ["a"]}}, 3),
    ]
    for method, path, options, least in asked:
        for rank, headers in enumerate((viewer, operator, admin), start=1):
            answer = api(method, path, headers=headers, **options)
            if rank < least:
                assert (path, answer.status_code, problem(answer)) == (path, 403, "forbidden")
            else:
                assert (path, answer.status_code < 300) == (path, True)


def test_a_foreign_namespace_is_a_404_everywhere(api: Api, bearer: Bearer):
    admin, stranger = bearer("admin"), bearer("admin", "other")
    assert api.post("/v1/workflows", json=document(), headers=admin).status_code == 201
    start = {"workflow": {"namespace": "shop", "name": "order"}, "business_id": "o-1"}
    id = api.post("/v1/instances", json=start, headers=admin).json["id"]
    before = api.content()
    for method, path, options in (
        ("get", f"/v1/instances/{id}", {}),
        ("get", f"/v1/instances/{id}/steps", {}),
        ("get", f"/v1/instances/{id}/steps/1", {}),
        ("get", f"/v1/instances/{id}/history", {}),
        ("get", f"/v1/instances/{id}/compensation", {}),
        ("post", f"/v1/instances/{id}/cancel", {}),
        ("get", "/v1/instances?namespace=shop", {}),
        ("get", "/v1/workflows?namespace=shop", {}),
        ("get", "/v1/workflows/shop/order", {}),
        ("get", "/v1/workflows/shop/order/versions", {}),
        ("get", "/v1/workflows/shop/order/versions/1.0.0", {}),
        ("delete", "/v1/workflows/shop/order", {}),
        ("delete", "/v1/workflows/shop/order/versions/1.0.0", {}),
        ("post", "/v1/instances", {"json": start}),
        ("post", "/v1/instances", {"json": [start]}),
        ("post", "/v1/workflows", {"json": document(version="2.0.0")}),
        ("post", "/v1/keys", {"json": {"name": "k", "role": "viewer", "namespaces": ["shop"]}}),
        ("post", "/v1/keys", {"json": {"name": "k", "role": "viewer", "namespaces": ["*"]}}),
    ):
        answer = api(method, path, headers=stranger, **options)
        assert (path, answer.status_code, problem(answer)) == (path, 404, "not-found")
    for path in ("instances", "workflows", "namespaces", "timers", "listeners", "dead-letters"):
        assert api.get(f"/v1/{path}", headers=stranger).json["items"] == []
    assert api.get("/v1/keys", headers=stranger).json["items"][0]["namespaces"] == ["other"]
    assert api.get("/v1/audit", headers=stranger).json["items"] == []
    assert api.content() == before


def test_a_key_is_shown_once_and_works_until_it_is_revoked(api: Api, bearer: Bearer):
    admin = bearer("admin")
    asked = {"name": "ci", "role": "viewer", "namespaces": ["shop"]}
    keyed = {**admin, "Idempotency-Key": "k-1"}
    made = api.post("/v1/keys", json=asked, headers=keyed)
    assert made.status_code == 201
    repeated = api.post("/v1/keys", json=asked, headers=keyed).json
    assert (repeated["id"], repeated["key"]) == (made.json["id"], None)
    shown = {"Authorization": f"Bearer {made.json['key']}"}
    assert api.get("/v1/instances", headers=shown).status_code == 200
    listed = api.get("/v1/keys", headers=admin).data
    for hidden in (made.json["key"], made.json["key"].partition(".")[2]):
        assert hidden.encode() not in listed
        assert not api.all(
            "select 1 from orchestrator.idempotency_records where body::text like %s", f"%{hidden}%"
        )
    assert api.delete(f"/v1/keys/{made.json['id']}", headers=admin).status_code == 204
    assert api.get("/v1/instances", headers=shown).status_code == 401
    assert api.delete(f"/v1/keys/{made.json['id']}", headers=admin).status_code == 404


def test_another_process_learns_of_a_revocation(api: Api, bearer: Bearer, monkeypatch):
    viewer = bearer("viewer")
    assert api.get("/v1/instances", headers=viewer).status_code == 200
    api.all("update orchestrator.api_keys set revoked_at = now()")
    monkeypatch.setattr(
        "api.http.authentication.CACHE_TIME", 0.0
    )  # the time after which it asks again
    assert api.get("/v1/instances", headers=viewer).status_code == 401


def test_an_expired_key_is_refused_at_its_moment(api: Api, bearer: Bearer):
    def expiring(seconds: float) -> dict[str, str]:
        return bearer("viewer", expires_at=(clock.now() + timedelta(seconds=seconds)).isoformat())

    assert api.get("/v1/instances", headers=expiring(-1)).status_code == 401
    assert api.get("/v1/instances", headers=expiring(60)).status_code == 200


def test_two_keys_of_a_name_live_at_once_and_no_more(api: Api, bearer: Bearer):
    admin = bearer("admin")
    asked = {"name": "shop", "role": "operator", "namespaces": ["shop"]}
    first, second = (api.post("/v1/keys", json=asked, headers=admin).json for _ in range(2))
    third = api.post("/v1/keys", json=asked, headers=admin)
    assert (third.status_code, problem(third)) == (409, "conflict")
    for key in (first, second):
        shown = {"Authorization": f"Bearer {key['key']}"}
        assert api.get("/v1/instances", headers=shown).status_code == 200
    api.delete(f"/v1/keys/{first['id']}", headers=admin)
    assert api.post("/v1/keys", json=asked, headers=admin).status_code == 201


def test_a_name_is_its_namespaces_own(api: Api, bearer: Bearer):
    """What others call their keys neither stands in the way of a rotation, nor gives them this
    one's answers; the key that replaces it has them all."""
    mine, theirs = bearer("admin", "shop", name="ci"), bearer("admin", "other", name="ci")
    for opens, who in (("other", theirs), ("shop", mine)):
        asked = {"name": "ci", "role": "operator", "namespaces": [opens, opens]}
        made = api.post("/v1/keys", json=asked, headers=who)
        assert (made.status_code, made.json["namespaces"]) == (201, [opens])
        third = api.post("/v1/keys", json=asked, headers=who)
        assert (third.status_code, problem(third)) == (409, "conflict")
    rotated = {"Authorization": f"Bearer {made.json['key']}"}
    api.post("/v1/workflows", json=document(), headers=mine)
    start = {"workflow": {"namespace": "shop", "name": "order"}}
    first, stranger, again = (
        api.post("/v1/instances", json=start, headers={**who, "Idempotency-Key": "k"})
        for who in (mine, theirs, rotated)
    )
    assert (stranger.status_code, problem(stranger)) == (404, "not-found")
    assert again.json == first.json
    assert api.content()["instances"] == 1


def test_one_tenants_operations_leave_the_others_their_share(
    api: Api, bearer: Bearer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("api.resources.bulk_operations.MOST_OPEN", 2)
    first, second = bearer("operator", "other"), bearer("operator", "shop")
    asked = {"action": "cancel", "filter": {"status": "running"}}
    statuses = [
        api.post("/v1/operations", json=asked, headers=who).status_code
        for who in (first, first, first, second)
    ]
    assert statuses == [202, 202, 409, 202]


def test_what_was_changed_by_whom_is_in_the_audit_log(api: Api, bearer: Bearer):
    admin = bearer("admin", name="alice")
    api.post("/v1/workflows", json=document(), headers=admin)
    asked = {"name": "ci", "role": "viewer", "namespaces": ["shop"]}
    id = api.post("/v1/keys", json=asked, headers=admin).json["id"]
    api.delete(f"/v1/keys/{id}", headers=admin)
    told = api.get("/v1/audit", headers=admin).json["items"]
    assert [(each["actor"], each["action"]) for each in told] == [
        ("alice", "key.revoke"), ("alice", "key.make"), ("alice", "workflow.deploy"),
    ]  # fmt: skip
    assert told[1]["details"] == {"name": "ci", "role": "viewer", "opens": ["shop"]}
    assert {each["address"] for each in told} == {"127.0.0.1"}
    assert len(api.get("/v1/audit?action=key.make", headers=admin).json["items"]) == 1


def test_who_started_an_instance_is_in_its_history(api: Api, bearer: Bearer):
    admin = bearer("admin", name="bob")
    api.post("/v1/workflows", json=document(), headers=admin)
    start = {"workflow": {"namespace": "shop", "name": "order"}}
    api.post("/v1/instances", json=start, headers=admin)
    assert api.all("select data from orchestrator.stimuli") == [({"by": "bob"},)]


def test_keys_of_two_callers_do_not_meet(api: Api, bearer: Bearer):
    """An Idempotency-Key belongs to whom it was sent by."""
    first, second = bearer("admin"), bearer("admin")
    api.post("/v1/workflows", json=document(), headers=first)
    start = {"workflow": {"namespace": "shop", "name": "order"}}
    ids = {
        api.post("/v1/instances", json=start, headers={**who, "Idempotency-Key": "k"}).json["id"]
        for who in (first, second, first)
    }
    assert len(ids) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "root"}, {"name": ""}, {"name": "x\u200by"}, {"name": "\u202eevil"},
        {"namespaces": []}, {"namespaces": ["Shop"]}, {"namespaces": "shop"},
        {"expires_at": "soon"}, {"hash": "x"},
    ],
)  # fmt: skip
def test_a_wrong_key_is_not_made(api: Api, bearer: Bearer, wrong: dict[str, Any]):
    asked = {"name": "k", "role": "viewer", "namespaces": ["shop"], **wrong}
    answer = api.post("/v1/keys", json=asked, headers=bearer("admin"))
    assert (answer.status_code, problem(answer)) == (422, "invalid-request")


def test_a_burst_is_a_429_that_says_when(api: Api, bearer: Bearer, broker_url: str):
    """Two processes count together where there is Redis, each for itself where not."""
    first, second, alone = (
        Api.on(api.database.url, url, authenticate=True, rate=Rate(per_second=0.5, burst=4))
        for url in (broker_url, broker_url, "redis://127.0.0.1:1/0")
    )
    one, other = bearer("viewer"), bearer("viewer")
    for _ in range(2):
        for process in (first, second):
            assert process.get("/v1/instances", headers=one).status_code == 200
    for process in (first, second):
        answer = process.get("/v1/instances", headers=one)
        assert (answer.status_code, problem(answer)) == (429, "too-many-requests")
        assert 1 <= int(answer.headers["Retry-After"]) <= 2
        assert process.get("/v1/instances", headers=other).status_code == 200
    statuses = [alone.get("/v1/instances", headers=one).status_code for _ in range(6)]
    assert statuses == [200] * 4 + [429] * 2
    namesakes = [bearer("viewer", opens, name="n") for opens in ("shop", "other", "shop")]
    statuses = [
        alone.get("/v1/instances", headers=namesakes[at]).status_code for at in (0, 0, 0, 2, 2, 1)
    ]
    assert statuses == [200] * 4 + [429, 200], "a rotated key has what is left; a namesake its own"
    for process in (first, second, alone):
        process.close()


def test_what_a_process_knows_of_keys_is_bounded(api: Api, bearer: Bearer, monkeypatch):
    monkeypatch.setattr("api.http.authentication._MAX_CACHED", 3)
    known: Authenticator = api.client.application.extensions["orchestrator"].authenticator
    for _ in range(9):
        assert api.get("/v1/instances", headers=bearer("viewer")).status_code == 200
    assert len(known._cached) <= 3


def test_the_first_key_is_made_without_the_api(api: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", api.database.url)
    command = ["key", "create", "first", "--role", "admin", "--in-database"]
    made = CliRunner().invoke(main, command)
    assert made.exit_code == 0, made.output
    headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
    (listed,) = api.get("/v1/keys", headers=headers).json["items"]
    assert (listed["name"], listed["role"], listed["namespaces"]) == ("first", "admin", ["*"])
    (told,) = api.get("/v1/audit", headers=headers).json["items"]
    assert (told["action"], told["actor"]) == ("key.make", "command line")
    assert CliRunner().invoke(main, command).exit_code == 0
    third = CliRunner().invoke(main, command)
    assert (third.exit_code, "2 keys with the name" in third.output) == (2, True)
