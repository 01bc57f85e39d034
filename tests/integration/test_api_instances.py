"""Starting instances, looking at them, waiting for them, through the API."""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from orchestrator import clock
from orchestrator.database.connection import database as database_module
from orchestrator.database.connection.database import UNBOUNDED
from orchestrator.ids import new_id
from tests.support.api import Api, document, problem

NO_BROKER = "redis://127.0.0.1:1/0"
START = {"workflow": {"namespace": "shop", "name": "order"}}
SCHEMA = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}


@pytest.fixture
def shop(api: Api) -> Api:
    api.deploy(document())
    return api


def test_a_start_is_durable_and_pending(shop: Api):
    body = json.dumps({**START, "input": {"b": 1, "a": 2}, "labels": {"k": "v"}})
    answer = shop.post("/v1/instances", data=body, content_type="application/json")
    assert answer.status_code == 202
    id = answer.json["id"]
    assert answer.headers["Location"] == f"/v1/instances/{id}"
    assert answer.json["workflow"] == {"namespace": "shop", "name": "order", "version": "1.0.0"}
    found = shop.get(f"/v1/instances/{id}").json
    assert found == {
        **answer.json,
        "input": {"b": 1, "a": 2},
        "output": None,
        "error": None,
        "context": None,
        "waiting_for": [],
        "steps": [],
        "why": found["why"],
        "changed_at": None,
    }
    assert found["why"]["kind"] == "no-control"
    assert list(found["input"]) == ["b", "a"]  # the order of keys is kept
    assert shop.all("select instance_id::text, kind from orchestrator.stimuli") == [(id, "start")]


def test_a_start_takes_the_newest_version_unless_told(shop: Api):
    assert shop.get(f"/v1/instances/{shop.start()}").json["workflow"]["version"] == "1.0.0"
    shop.deploy(document(version="1.1.0"))
    assert shop.get(f"/v1/instances/{shop.start()}").json["workflow"]["version"] == "1.1.0"
    told = {"workflow": {**START["workflow"], "version": "1.0.0"}}
    assert shop.post("/v1/instances", json=told).json["workflow"]["version"] == "1.0.0"


def test_another_process_that_deployed_a_version_is_noticed(shop: Api):
    shop.start()  # this process has now seen 1.0.0 as the newest
    other = Api.on(shop.database.url, NO_BROKER)
    other.deploy(document(version="3.0.0"))
    other.close()
    assert shop.get(f"/v1/instances/{shop.start()}").json["workflow"]["version"] == "3.0.0"


def test_an_unknown_workflow_is_a_404(shop: Api):
    for workflow in (
        {"namespace": "shop", "name": "nothing"},
        {"namespace": "other", "name": "order"},
        {"namespace": "shop", "name": "order", "version": "9.0.0"},
    ):
        answer = shop.post("/v1/instances", json={"workflow": workflow})
        assert (answer.status_code, problem(answer)) == (404, "not-found")
        assert answer.json["errors"][0]["pointer"] == "/workflow"
    assert shop.content()["instances"] == 0


def test_the_input_is_checked_by_the_workflows_schema(api: Api):
    api.deploy(document(input={"schema": {"format": "json", "document": SCHEMA}}))
    for input in ({"id": 7}, {}, None, "text"):
        answer = api.post("/v1/instances", json={**START, "input": input})
        assert (answer.status_code, problem(answer)) == (422, "invalid-input")
        assert answer.json["errors"][0]["pointer"].startswith("/input")
    assert api.post("/v1/instances", json={**START, "input": {"id": "o-1"}}).status_code == 202
    assert api.content()["instances"] == 1


def test_an_input_over_the_limit_is_a_413(shop: Api):
    api = Api.on(shop.database.url, NO_BROKER, max_payload=2048)
    answer = api.post("/v1/instances", json={**START, "input": "x" * 2048})
    assert (answer.status_code, problem(answer)) == (413, "too-large")
    assert "ORCHESTRATOR_MAX_PAYLOAD of the API bounds it" in answer.json["detail"]
    assert api.post("/v1/instances", json={**START, "input": "x" * 2046}).status_code == 202
    assert api.content()["instances"] == 1
    api.close()


def test_a_batch_starts_all_in_order(shop: Api):
    shop.deploy(document("other"))
    batch = [
        {**START, "input": 1, "business_id": "a"},
        {"workflow": {"namespace": "shop", "name": "other"}, "input": 2},
        {**START, "input": 3},
    ]
    answer = shop.post("/v1/instances", json=batch)
    assert answer.status_code == 202
    assert [each["workflow"]["name"] for each in answer.json] == ["order", "other", "order"]
    inputs = [shop.get(f"/v1/instances/{each['id']}").json["input"] for each in answer.json]
    assert inputs == [1, 2, 3]
    assert shop.content()["stimuli"] == 3


def test_a_batch_starts_all_or_none(shop: Api):
    for wrong, status, pointer in (
        ({"workflow": {"namespace": "shop", "name": "nothing"}}, 404, "/1/workflow"),
        ({**START, "status": "completed"}, 422, "/1"),
        ({**START, "start_at": "soon"}, 422, "/1/start_at"),
        ("text", 422, "/1"),
    ):
        answer = shop.post("/v1/instances", json=[START, wrong])
        assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (status, pointer)
    assert shop.post("/v1/instances", json=[]).status_code == 422
    assert shop.post("/v1/instances", json=[START] * 1001).status_code == 422
    assert shop.content()["instances"] == 0
    assert len(shop.post("/v1/instances", json=[START] * 1000).json) == 1000


def test_a_business_id_is_unique_in_its_namespace(shop: Api):
    first = shop.start(business_id="o-1")
    answer = shop.post("/v1/instances", json={**START, "business_id": "o-1"})
    assert (answer.status_code, problem(answer)) == (409, "business-id-in-use")
    assert answer.headers["Location"] == f"/v1/instances/{first}"
    assert answer.json["detail"] == (
        f"the business_id 'o-1' is taken by the instance {first};"
        " it stays taken after the end, for instances are kept: see ORCHESTRATOR_INSTANCE_RETENTION"
    )
    batch = [{**START, "business_id": id} for id in ("o-2", "o-1", "o-2")]
    answer = shop.post("/v1/instances", json=batch)
    assert [error["pointer"] for error in answer.json["errors"]] == [
        "/0/business_id", "/1/business_id", "/2/business_id",
    ]  # fmt: skip
    assert shop.content()["instances"] == 1


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
def test_the_input_of_a_refused_start_is_no_statement_of_an_error(shop: Api, headers, monkeypatch):
    """Postgres logs the statement of each error, with all that is in it."""
    shop.start(business_id="o-1")
    errors: list[BaseException] = []
    real = database_module.translated

    def translated(error: Any) -> Exception:
        errors.append(error)
        return real(error)

    monkeypatch.setattr(database_module, "translated", translated)
    answer = shop.post("/v1/instances", json={**START, "business_id": "o-1"}, headers=headers)
    assert (answer.status_code, errors) == (409, [])


def test_a_taken_business_id_says_when_it_becomes_free(shop: Api):
    more = {"instance_retention": 2 * 86400.0, "archive_dir": "/somewhere"}
    api = Api.on(shop.database.url, NO_BROKER, **more)
    api.start(business_id="o-1")
    answer = api.post("/v1/instances", json={**START, "business_id": "o-1"})
    api.close()
    told = "it becomes free when that is archived, 2 days after its end"
    assert f"{told} (ORCHESTRATOR_INSTANCE_RETENTION)" in answer.json["detail"]


def test_a_start_can_be_put_off(shop: Api):
    due = clock.now() + timedelta(hours=1)
    id = shop.start(start_at=due.isoformat())
    found = shop.get(f"/v1/instances/{id}").json
    (waiting,) = found["waiting_for"]
    assert (found["status"], waiting["kind"], waiting["timer"]) == ("pending", "timer", "start")
    assert datetime.fromisoformat(waiting["due_at"]) == due
    assert shop.content()["stimuli"] == 0


def test_an_answer_is_given_without_the_broker_within_a_second(shop: Api):
    began = time.monotonic()
    id = shop.start()
    assert time.monotonic() - began < 1
    assert shop.all("select instance_id::text from orchestrator.stimuli") == [(id,)]


def test_the_same_key_gives_the_same_answer(shop: Api):
    headers = {"Idempotency-Key": "k-1"}
    first = shop.post("/v1/instances", json=START, headers=headers)
    again = shop.post("/v1/instances", json=START, headers=headers)
    assert (again.status_code, again.data) == (first.status_code, first.data)
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    other = shop.post("/v1/instances", json={**START, "input": 1}, headers=headers)
    assert (other.status_code, problem(other)) == (422, "idempotency-key-reused")
    assert shop.content()["instances"] == 1


@pytest.mark.parametrize("many", [False, True])
def test_a_repeat_gets_its_first_answer_whatever_became_of_the_workflow(shop: Api, many: bool):
    headers = {"Idempotency-Key": "k-1"}
    asked = [START] if many else START
    first = shop.post("/v1/instances", json=asked, headers=headers)
    stricter = {"schema": {"format": "json", "document": SCHEMA}}
    shop.deploy(document(version="2.0.0", input=stricter))
    for _ in range(2):
        again = shop.post("/v1/instances", json=asked, headers=headers)
        assert (again.status_code, again.data) == (202, first.data)
        assert again.headers["Idempotency-Replayed"] == "true"
        # Once more when it is gone.
        shop.all("update orchestrator.instances set status = 'completed'")
        assert shop.delete("/v1/workflows/shop/order").status_code in {204, 404}
    refused = shop.post("/v1/instances", json=asked, headers={"Idempotency-Key": "k-2"})
    assert (refused.status_code, problem(refused)) == (404, "not-found")
    assert shop.content()["instances"] == 1


def test_a_refusal_waits_for_the_first_answer_to_its_key(shop: Api):
    held = "select pg_advisory_xact_lock(hashtextextended('anonymous k-3', 0))"
    gone = {"workflow": {"namespace": "shop", "name": "gone"}}
    with shop.database.transaction(UNBOUNDED) as first:
        first.all(held)
        answer = shop.post("/v1/instances", json=gone, headers={"Idempotency-Key": "k-3"})
    assert (answer.status_code, problem(answer)) == (409, "idempotency-in-flight")


def test_a_keyed_batch_is_repeated_whole(shop: Api):
    headers = {"Idempotency-Key": "k-2"}
    first = shop.post("/v1/instances", json=[START] * 3, headers=headers)
    assert shop.post("/v1/instances", json=[START] * 3, headers=headers).data == first.data
    assert shop.content()["instances"] == 3


def test_a_request_whose_key_is_in_flight_is_a_409(shop: Api):
    held = "select pg_advisory_xact_lock(hashtextextended('anonymous k-3', 0))"
    with shop.database.transaction(UNBOUNDED) as first:
        first.all(held)
        answer = shop.post("/v1/instances", json=START, headers={"Idempotency-Key": "k-3"})
    assert (answer.status_code, problem(answer)) == (409, "idempotency-in-flight")
    assert answer.headers["Retry-After"] == "1"
    assert shop.content()["instances"] == 0


@pytest.mark.parametrize("key", ["", "x" * 10_240, "with space", "ümlaut"])
def test_a_bad_key_is_a_400(shop: Api, key: str):
    answer = shop.post("/v1/instances", json=START, headers={"Idempotency-Key": key})
    assert (answer.status_code, problem(answer)) == (400, "invalid-idempotency-key")


def test_many_racing_repeats_make_one_instance(shop: Api):
    answers = []

    def start() -> None:
        client = shop.client.application.test_client()
        headers = {"Idempotency-Key": "k-4"}
        answers.append(client.post("/v1/instances", json=START, headers=headers))

    racers = [threading.Thread(target=start) for _ in range(12)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert shop.content()["instances"] == 1
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.data for answer in answers if answer.status_code == 202}) == 1


def finish(api: Api, id: str, status: str = "completed") -> None:
    """What a worker's transition would leave behind."""
    api.all(
        "update orchestrator.instances set status = %s, sequence = sequence + 1,"
        " output = '{\"done\": true}', ended_at = now() where id = %s",
        status,
        id,
    )


def test_a_wait_ends_with_the_instance(shop: Api):
    id = shop.start()
    later = threading.Timer(0.2, finish, (shop, id))
    began = time.monotonic()
    later.start()
    answer = shop.get(f"/v1/instances/{id}?wait=20")
    later.join()
    assert 0.2 <= time.monotonic() - began < 2
    assert (answer.json["status"], answer.json["output"]) == ("completed", {"done": True})


def test_a_wait_that_is_over_gives_the_state_of_then(shop: Api):
    id = shop.start()
    began = time.monotonic()
    assert shop.get(f"/v1/instances/{id}?wait=0.3").json["status"] == "pending"
    assert 0.3 <= time.monotonic() - began < 1


def test_a_start_can_prefer_to_wait(shop: Api):
    preferring = {"Prefer": "respond-async, wait=1"}
    answer = shop.post("/v1/instances", json=START, headers=preferring)
    assert (answer.status_code, answer.json["status"]) == (202, "pending")
    assert answer.headers["Preference-Applied"] == "wait=1"
    # The same key waits on for the same instance.
    keyed = {"Prefer": "wait=20", "Idempotency-Key": "k-5"}
    first = shop.post("/v1/instances", json=START, headers={**keyed, "Prefer": "wait=0"})
    finish(shop, first.json["id"])
    again = shop.post("/v1/instances", json=START, headers=keyed)
    assert (again.status_code, again.json["id"]) == (200, first.json["id"])
    assert again.json["output"] == {"done": True}


def test_waiting_is_one_query_for_all(shop: Api):
    """Twenty who wait cost no more looks than one does."""
    ids = [shop.start() for _ in range(4)]
    api = Api.on(shop.database.url, NO_BROKER)
    done: list[Any] = []
    before = threading.active_count()

    def wait(id: str) -> None:
        done.append(api.client.application.test_client().get(f"/v1/instances/{id}?wait=20").json)

    waiting = [threading.Thread(target=wait, args=(id,)) for id in ids * 5]
    for each in waiting:
        each.start()
    waiters = api.client.application.extensions["orchestrator"].waiters
    while len(waiters._waits) < 20:
        time.sleep(0.01)
    for id in ids:
        finish(shop, id)
    for each in waiting:
        each.join()
    assert {each["status"] for each in done} == {"completed"}
    assert threading.active_count() < before + 20
    api.close()


def test_when_no_place_to_wait_is_left_the_answer_comes_at_once(shop: Api):
    api = Api.on(shop.database.url, NO_BROKER, waits=1)
    id = shop.start()
    first = threading.Thread(
        target=api.client.application.test_client().get, args=(f"/v1/instances/{id}?wait=20",)
    )
    first.start()
    waiters = api.client.application.extensions["orchestrator"].waiters
    while not waiters._waits:
        time.sleep(0.01)
    began = time.monotonic()
    assert api.get(f"/v1/instances/{id}?wait=20").json["status"] == "pending"
    assert time.monotonic() - began < 1
    finish(shop, id)
    first.join()
    api.close()


def test_an_etag_changes_with_each_transition(shop: Api):
    id = shop.start()
    tag = shop.get(f"/v1/instances/{id}").headers["ETag"]
    unchanged = shop.get(f"/v1/instances/{id}", headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.data) == (304, b"")
    finish(shop, id)
    changed = shop.get(f"/v1/instances/{id}", headers={"If-None-Match": tag})
    assert (changed.status_code, changed.headers["ETag"] != tag) == (200, True)


def test_instances_are_found_by_what_they_are(shop: Api):
    shop.deploy(document("other"))
    first = shop.start(business_id="order-1", labels={"team": "a", "kind": "x"})
    second = shop.start("other", labels={"team": "a"})
    third = shop.start(labels={"team": "b"})
    finish(shop, third)
    shop.all("update orchestrator.instances set started_at = created_at where id = %s", first)

    def found(query: str) -> list[str]:
        return [each["id"] for each in shop.get(f"/v1/instances?{query}").json["items"]]

    assert found("") == [third, second, first]
    assert found("sort=created_at") == [first, second, third]
    assert found("status=pending,running") == [second, first]
    assert found("status=completed&compensation=none") == [third]
    assert found("label.team=a") == [second, first]
    assert found("label.team=a&label.kind=x") == [first]
    assert found("workflow=order") == [third, first]
    assert found("workflow=shop/other") == found("workflow=shop/other/1.0.0") == [second]
    assert found("workflow=elsewhere/other") == []
    assert found("business_id=order-1") == found("q=order-") == found(f"q={first}") == [first]
    assert found("q=order%25") == []
    assert found("started_after=2000-01-01T00:00:00Z") == [first]
    assert found("started_before=2000-01-01T00:00:00Z") == []
    assert found("started_before=0070-07-20T09:24:32-23:09") == []
    assert found("namespace=shop") == [third, second, first]


def test_pages_of_instances_neither_miss_nor_repeat(shop: Api):
    ids = [each["id"] for each in shop.post("/v1/instances", json=[START] * 25).json]
    seen, query = [], "limit=10"
    while True:
        page = shop.get(f"/v1/instances?{query}").json
        seen += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        shop.start()  # what comes in meanwhile is newer, and disturbs nothing
        query = f"limit=10&cursor={page['next']}"
    assert sorted(seen) == sorted(ids)


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1", "limit=0", "limit=1e9", "limit=1001", "sort=input", "limit=1&limit=2",
        "cursor=abc", "cursor=AAAA", "unknown=1", "status=done", "started_after=yesterday",
        "started_after=2026-01-01T00:00:00", "q=%00", "q=", "workflow=a/b/c/d", "label.k=%00",
        "namespace=' OR 1=1", "started_after=0001-01-01T00:00:00%2B23:59",
    ],
)  # fmt: skip
def test_a_wrong_query_is_a_400(shop: Api, query: str):
    answer = shop.get(f"/v1/instances?{query}")
    assert (answer.status_code, problem(answer)) == (400, "invalid-query")
    assert answer.json["errors"][0]["parameter"] == query.partition("=")[0]


def test_a_cursor_is_good_for_its_own_question_only(shop: Api):
    shop.post("/v1/instances", json=[START] * 3)
    cursor = shop.get("/v1/instances?limit=1").json["next"]
    assert shop.get(f"/v1/instances?limit=2&cursor={cursor}").status_code == 200
    assert shop.get(f"/v1/instances?status=pending&cursor={cursor}").status_code == 400
    mangled = cursor[:-2] + ("A" if cursor[-2] != "A" else "B") + cursor[-1]
    assert shop.get(f"/v1/instances?limit=1&cursor={mangled}").status_code == 400


def test_an_id_that_is_none(shop: Api):
    assert shop.get(f"/v1/instances/{new_id()}").status_code == 404
    assert problem(shop.get("/v1/instances/order-1")) == "invalid-id"
    assert problem(shop.get("/v1/instances/' OR 1=1")) == "invalid-id"
    assert shop.get("/v1/instances/" + "x" * 1001).status_code == 422


def test_integers_of_any_size_pass(shop: Api):
    body = json.dumps({**START, "input": {"n": 2**200}})
    answer = shop.post("/v1/instances", data=body, content_type="application/json")
    assert answer.status_code == 202
    found = shop.get(f"/v1/instances/{answer.json['id']}")
    assert found.json["input"]["n"] == 2**200


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("input.customer.id=7", "ab"),
        ('input.customer.id="7"', "b"),
        ("input.customer.name=7", ""),
        ("input.paid=true", "a"),
        ("input.note=null", "a"),
        ("input.items[].sku=b-7", "b"),
        ("input.items.sku=b-7", ""),
        ("input.customer.id=7&input.paid=true", "a"),
        ("input.huge=1e999", ""),
    ],
)
def test_instances_are_found_by_members_of_their_input(shop: Api, query: str, found: str):
    ids = {
        shop.start(input={"customer": {"id": 7}, "paid": True, "note": None}): "a",
        shop.start(input={"customer": {"id": "7"}, "items": [{"sku": "a"}, {"sku": "b-7"}]}): "b",
        shop.start(input=[7]): "c",
        shop.start(): "d",
    }
    unsearchable = shop.start()
    shop.all(
        "update orchestrator.instances set input = %s where id = %s",
        '{"customer": {"id": 7}, "text": "\\u0000"}',
        unsearchable,
    )
    items = shop.get(f"/v1/instances?{query}").json["items"]
    assert "".join(sorted(ids[each["id"]] for each in items)) == found


@pytest.mark.parametrize(
    "name", ["input.", "input.a[0]", "input.a.", 'input."a"', "input." + ".".join("abcdefghi")]
)
def test_paths_that_are_none_are_refused(shop: Api, name: str):
    answer = shop.get("/v1/instances", query_string={name: "x"})
    assert (answer.status_code, problem(answer)) == (400, "invalid-query")
    assert answer.json["errors"][0]["parameter"] == name


def test_every_post_takes_an_idempotency_key(shop: Api):
    """The header is described, and looked at, before anything else of the request."""
    for path, operations in shop.description.spec["paths"].items():
        if "post" not in operations:
            continue
        described = [each["name"] for each in operations["post"]["parameters"]]
        assert described.count("Idempotency-Key") == 1, path
        real = path.replace("{step}", "1").replace("{", "").replace("}", "")
        answer = shop.post(real, headers={"Idempotency-Key": "a b"})
        assert (answer.status_code, problem(answer)) == (400, "invalid-idempotency-key"), path
