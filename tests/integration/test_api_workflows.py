"""Deploying documents and reading them back, through the API."""

from __future__ import annotations

import threading

import pytest

from orchestrator.database.connection.database import UNBOUNDED
from orchestrator.database.workers import worker_queries
from orchestrator.database.workers.worker_queries import WorkerRow
from orchestrator.document.version_order import version_key
from orchestrator.ids import new_id
from tests.support.api import Api, document, problem

YAML = """\
# how an order is handled
document:
  dsl: '1.0.3'
  namespace: shop
  name: order
  version: '1.0.0'
do:
  - note:
      set: { seen: true }
"""


def deploy(api: Api, text: str, query: str = ""):
    return api.post("/v1/workflows" + query, data=text, content_type="application/yaml")


def test_a_document_is_deployed_once(api: Api):
    first = deploy(api, YAML)
    assert (first.status_code, first.json["outcome"]) == (201, "created")
    assert first.headers["Location"] == "/v1/workflows/shop/order/versions/1.0.0"
    again = api.post("/v1/workflows", json=document())
    assert (again.status_code, again.json["outcome"]) == (200, "unchanged")
    assert again.json["digest"] == first.json["digest"]
    assert api.all("select action, target from orchestrator.audit_log") == [
        ("workflow.deploy", "shop/order/1.0.0")
    ]


def test_a_version_never_changes(api: Api):
    api.deploy(document())
    other = api.post("/v1/workflows", json=document(do=[{"note": {"set": {"seen": False}}}]))
    assert (other.status_code, problem(other)) == (409, "version-exists")
    assert other.json["detail"].endswith("give the document a new version")
    assert api.get("/v1/workflows/shop/order").json["document"] == document()


def test_the_source_comes_back_as_it_was_sent(api: Api):
    deploy(api, YAML)
    for path in ("/v1/workflows/shop/order", "/v1/workflows/shop/order/versions/1.0.0"):
        answer = api.get(path, headers={"Accept": "application/yaml"})
        assert (answer.mimetype, answer.text) == ("application/yaml", YAML)
    assert api.get("/v1/workflows/shop/order").json["document"] == document()


def test_an_invalid_document_is_refused_with_its_place(api: Api):
    answer = deploy(api, YAML.replace("set:", "sett:"))
    assert (answer.status_code, problem(answer)) == (422, "invalid-document")
    (error,) = answer.json["errors"]
    assert (error["line"], error["column"]) == (9, 7)
    assert error["pointer"] == "/do/0/note/sett"
    assert "set" in error["message"]
    assert api.content()["workflows"] == 0


@pytest.mark.parametrize("text", ["do: [", "a: 1\na: 2\n", "--- 1\n--- 2\n", "a: !!python/x 1"])
def test_a_text_that_cannot_be_read_is_malformed(api: Api, text: str):
    answer = deploy(api, text)
    assert (answer.status_code, problem(answer)) == (400, "malformed-document")
    assert answer.json["errors"][0]["line"] >= 1


def test_a_dry_run_keeps_nothing(api: Api):
    answer = deploy(api, YAML, "?dry_run=true")
    assert (answer.status_code, answer.json["outcome"]) == (200, "created")
    assert api.content()["workflows"] == 0
    deploy(api, YAML)
    assert deploy(api, YAML, "?dry_run=true").json["outcome"] == "unchanged"
    assert deploy(api, YAML.replace("true", "1"), "?dry_run=true").json["outcome"] == "conflict"
    assert deploy(api, YAML.replace("set:", "sett:"), "?dry_run=true").status_code == 422


def test_an_unknown_call_is_a_warning_and_in_strict_an_error(api: Api):
    calling = document(do=[{"pay": {"call": "shop.pay"}}])
    strict = api.post("/v1/workflows?strict=true", json=calling)
    assert (strict.status_code, problem(strict)) == (422, "invalid-document")
    assert strict.json["errors"][0]["pointer"] == "/do/0/pay/call"
    answer = api.post("/v1/workflows", json=calling)
    assert answer.status_code == 201
    (warning,) = answer.json["warnings"]
    assert (warning["pointer"], "shop.pay" in warning["message"]) == ("/do/0/pay/call", True)
    assert api.get("/v1/workflows/shop/order").json["warnings"] == [warning]
    row = WorkerRow(new_id(), "w", 7, "prefork", 1, ("celery",), ("shop.pay",))
    worker_queries.register(api.database, row)
    assert api.post("/v1/workflows?strict=true&dry_run=true", json=calling).json["warnings"] == []


def test_the_newest_version_is_by_semantic_versioning(api: Api):
    for version in ("1.2.0", "1.10.0", "1.10.0-rc.2", "1.9.9"):
        api.deploy(document(version=version))
    assert api.get("/v1/workflows/shop/order").json["version"] == "1.10.0"
    versions = [
        each["version"] for each in api.get("/v1/workflows/shop/order/versions").json["items"]
    ]
    assert versions == ["1.10.0", "1.10.0-rc.2", "1.9.9", "1.2.0"]


def test_version_keys_sort_as_the_specification_orders():
    # The example of semver.org, section 11, and numbers beyond any machine word.
    ordered = [
        "no-version", "0.0.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta",
        "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "2.0.0", "10.0.0",
        "99999999999999999999999.0.0",
    ]  # fmt: skip
    assert sorted(ordered, key=lambda version: version_key(version).encode()) == ordered
    assert version_key("1.0.0+build") == version_key("1.0.0")


def test_workflows_are_listed_in_pages(api: Api):
    for name in ("b", "a", "c"):
        api.deploy(document(name))
        api.deploy(document(name, "2.0.0"))
    first = api.get("/v1/workflows?limit=2").json
    assert [(each["name"], each["version"]) for each in first["items"]] == [
        ("a", "2.0.0"), ("b", "2.0.0"),
    ]  # fmt: skip
    second = api.get(f"/v1/workflows?limit=2&cursor={first['next']}").json
    assert [each["name"] for each in second["items"]] == ["c"]
    assert second["next"] is None
    assert [each["name"] for each in api.get("/v1/workflows?q=B").json["items"]] == ["b"]


def test_what_is_not_there_is_a_404(api: Api):
    api.deploy(document())
    for path in ("shop/nothing", "other/order", "shop/order/versions/9.9.9", "shop/x/versions"):
        answer = api.get(f"/v1/workflows/{path}")
        assert (answer.status_code, problem(answer)) == (404, "not-found")


def test_a_version_in_use_cannot_be_removed(api: Api):
    api.deploy(document())
    api.deploy(document(version="2.0.0"))
    id = api.start()
    answer = api.delete("/v1/workflows/shop/order")
    assert (answer.status_code, problem(answer)) == (409, "in-use")
    assert api.delete("/v1/workflows/shop/order/versions/1.0.0").status_code == 204
    api.all("update orchestrator.instances set status = 'completed' where id = %s", id)
    assert api.delete("/v1/workflows/shop/order").status_code == 204
    assert api.get("/v1/workflows/shop/order").status_code == 404
    gone = api.post("/v1/instances", json={"workflow": {"namespace": "shop", "name": "order"}})
    assert gone.status_code == 404
    assert api.get(f"/v1/instances/{id}").status_code == 200


def test_a_version_that_may_have_to_undo_something_cannot_be_removed(api: Api):
    """The parent waits, its sub-workflow has ended: a cancel would need both documents."""
    undo = {"compensate": {"set": {"undone": True}}}
    about = {"namespace": "shop", "name": "child", "version": "1.0.0"}
    steps = {
        "child": [{"a": {"set": {"x": 1}, "metadata": undo}}],
        "plain": [{"a": {"set": {"x": 1}}}],
        "parent": [
            {"sub": {"run": {"workflow": about}}},
            {"other": {"run": {"workflow": {**about, "name": "plain"}}}},
            {"pause": {"wait": {"hours": 1}}},
        ],
    }
    for name, do in steps.items():
        api.deploy(document(name, do=do))
    state = api.client.application.extensions["orchestrator"].services.state
    parent = api.start("parent")
    state.process_inbox(parent)
    for _ in ("child", "plain"):
        ((child,),) = api.all(
            "select id::text from orchestrator.instances where status = 'pending'"
        )
        state.process_inbox(child)
        state.process_inbox(parent)
    assert api.get(f"/v1/instances/{parent}").json["status"] == "waiting"
    for name in steps:
        answer = api.delete(f"/v1/workflows/shop/{name}")
        assert (answer.status_code, problem(answer)) == (409, "in-use"), name
    # Once all is undone, nobody needs them any more.
    api.post(f"/v1/instances/{parent}/cancel")
    for (id,) in api.all("select id::text from orchestrator.instances order by id desc") * 3:
        state.process_inbox(id)
    assert api.get(f"/v1/instances/{parent}").json["compensation"] == "completed"
    for name in steps:
        assert api.delete(f"/v1/workflows/shop/{name}").status_code == 204, name


@pytest.mark.slow  # it waits for as long as a lock is waited for
def test_a_removal_gives_up_rather_than_hold_everybody_up(api: Api):
    """While it waits for a VACUUM, say, whoever starts or moves an instance waits behind it."""
    api.deploy(document())
    with api.database.transaction(UNBOUNDED) as vacuum:
        vacuum.all("lock table orchestrator.instances in share update exclusive mode")
        answer = api.delete("/v1/workflows/shop/order")
    assert (answer.status_code, problem(answer)) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert api.start()


def test_a_start_and_a_removal_never_leave_an_orphan(api: Api):
    """A start that checked the workflow before it was removed must not come in after."""
    api.deploy(document())
    version = api.all("select id::text from orchestrator.workflows")[0][0]
    with api.database.transaction(UNBOUNDED) as removal:
        removal.all("lock table orchestrator.instances in share row exclusive mode")
        removal.all("delete from orchestrator.workflows where id = %s", (version,))
        answers: list[int] = []

        def start() -> None:
            body = {"workflow": {"namespace": "shop", "name": "order"}}
            answers.append(api.client.post("/v1/instances", json=body).status_code)

        racer = threading.Thread(target=start)
        racer.start()
        while not api.all("select 1 from pg_locks where not granted"):
            pass  # until the start stands before the lock
    racer.join()
    assert answers == [404]
    assert api.content()["instances"] == 0


def test_a_sub_workflow_and_a_removal_never_leave_a_parent_waiting(api: Api):
    """A transition that chose a version before it was removed must not be saved after."""
    api.deploy(document("child"))
    about = {"namespace": "shop", "name": "child", "version": "latest"}
    api.deploy(document("parent", do=[{"sub": {"run": {"workflow": about}}}]))
    state = api.client.application.extensions["orchestrator"].services.state
    parent = api.start("parent")
    with api.database.transaction(UNBOUNDED) as removal:
        removal.all("lock table orchestrator.instances in exclusive mode")
        racer = threading.Thread(target=state.process_inbox, args=[parent])
        racer.start()
        while not api.all("select 1 from pg_locks where not granted"):
            pass  # until the transition stands before the lock
        removal.all("delete from orchestrator.workflows where name = 'child'")
    racer.join()
    found = api.get(f"/v1/instances/{parent}").json
    assert found["status"] == "faulted"
    assert found["error"]["type"].endswith("/configuration")


def test_a_workflow_that_is_not_there_may_be_misspelt(api: Api):
    api.deploy(document("order"))
    for name, version, said in (
        ("ordr", None, "there is no workflow shop/ordr, did you mean 'order'?"),
        ("else", None, "there is no workflow shop/else"),
        ("order", "9.9.9", "there is no workflow shop/order/9.9.9; its newest version is 1.0.0"),
    ):
        workflow = {"namespace": "shop", "name": name}
        if version:
            workflow["version"] = version
        answer = api.post("/v1/instances", json={"workflow": workflow})
        assert (answer.status_code, answer.json["detail"]) == (404, said)
    answer = api.get("/v1/workflows/shop/ordr")
    assert answer.json["detail"] == "there is no workflow shop/ordr, did you mean 'order'?"


def test_a_sub_workflow_that_its_namespace_lacks_is_a_warning(api: Api):
    api.deploy(document("order"))
    parent = document("parent")
    target = {"namespace": "shop", "name": "ordr", "version": "latest"}
    parent["do"] = [{"x": {"run": {"workflow": target}}}]
    said = "no workflow 'ordr' is deployed in the namespace 'shop', did you mean 'order'?"
    answer = api.post("/v1/workflows?dry_run=true", json=parent)
    assert [warning["message"] for warning in answer.json["warnings"]] == [said]
    refused = api.post("/v1/workflows?strict=true", json=parent)
    assert (refused.status_code, refused.json["detail"]) == (422, said)


def test_a_schedule_is_held_to_the_shortest_pause(api: Api):
    fast = document("fast", schedule={"every": {"milliseconds": 10}})
    answer = api.post("/v1/workflows", json=fast)
    assert [warning["message"] for warning in answer.json["warnings"]] == [
        "fires every 1 s at most here (ORCHESTRATOR_SHORTEST_INTERVAL)"
    ]
    assert api.all("select timing from orchestrator.schedules") == [({"every": 1.0},)]
