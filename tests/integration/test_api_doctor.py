"""GET /v1/doctor: the findings of the command line, by scope, and no examination for each asker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from api.http.rate_limiter import Rate
from api.resources.api_keys import new_key
from api.shared import doctor_reports
from orchestrator.database.access import api_key_queries
from orchestrator.doctor import examination
from orchestrator.doctor.report import report
from tests.integration.test_doctor import PAY, age, claimed, running, worker
from tests.support.api import Api, document


@pytest.fixture(scope="module")
def _application(module_database_url: str, module_broker_url: str) -> Iterator[Api]:
    made = Api.on(module_database_url, module_broker_url, authenticate=True, rate=Rate(0))
    yield made
    made.close()


@pytest.fixture
def api(_application: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setattr(examination, "ANSWER_TIMEOUT", 0.05)  # no Celery worker is there to answer
    monkeypatch.setattr(doctor_reports, "CACHE_TIME", 0.0)
    monkeypatch.setattr(doctor_reports, "_SHARE", 0.0)
    _application.headers = bearer(_application, "admin", "*")
    yield _application
    _application.empty()


def bearer(api: Api, role: str, *namespaces: str) -> dict[str, str]:
    row, shown = new_key({"name": role, "role": role, "namespaces": namespaces})
    api_key_queries.put(api.database, row)
    return {"Authorization": f"Bearer {shown}"}


def broken(api: Api) -> str:
    """A claimed attempt of a worker that died, and a queue without a worker."""
    api.deploy(document("stranded", do=[{"pay": {"call": "shop.nobody"}}]))
    dead = worker(api, "celery")
    id = running(api, PAY)
    claimed(api, id, dead)
    api.all("update orchestrator.workers set stopped_at = now()")
    stranded = api.start("stranded")
    api.client.application.extensions["orchestrator"].services.state.process_inbox(stranded)
    age(api)
    return id


def test_it_finds_what_the_command_line_finds(api: Api):
    id = broken(api)
    told = api.get("/v1/doctor").json
    with examination.examine(services(api).settings) as one:
        expected = {(each.check, each.found, each.advice) for each in report(one)}
    found = [(each["kind"], each["message"], each["advice"]) for each in told["findings"]]
    passed = {each["kind"] for each in told["passed"]}
    assert set(found) == {each for each in expected if each[0] not in passed}
    lost = next(each for each in told["findings"] if each["kind"] == "lease-without-worker")
    assert (lost["severity"], lost["instance"], lost["step"]) == ("warning", id, 1)
    dead = next(each for each in told["findings"] if each["kind"] == "workers")
    assert dead["severity"] == "error"
    assert {"versions", "database", "broker"} <= passed


def services(api: Api) -> Any:
    return api.client.application.extensions["orchestrator"].services


def test_a_namespace_sees_its_own_instances_and_the_processes(api: Api):
    id = broken(api)
    own = api.get("/v1/doctor", headers=bearer(api, "operator", "shop")).json["findings"]
    assert [each["kind"] for each in own if each["instance"] == id] == ["lease-without-worker"]
    answer = api.get("/v1/doctor", headers=bearer(api, "operator", "other"))
    assert {each["kind"] for each in answer.json["findings"]} == {"workers", "control", "beat"}
    assert id not in answer.text
    assert "shop" not in answer.text
    assert api.get("/v1/doctor", headers=bearer(api, "viewer", "shop")).status_code == 403


def test_many_of_one_kind_are_counted(api: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.resources.doctor._MOST", 2)
    dead = worker(api, "celery")
    for number in range(4):
        claimed(api, running(api, PAY, f"order-{number}"), dead)
    api.all("update orchestrator.workers set stopped_at = now()")
    found = api.get("/v1/doctor").json["findings"]
    of_kind = [each["message"] for each in found if each["kind"] == "lease-without-worker"]
    assert (len(of_kind), of_kind[2]) == (3, "and 2 more of this kind")


def test_askers_share_one_examination(api: Api, monkeypatch: pytest.MonkeyPatch):
    """A report is served again, also while the next one is being made."""
    first = api.get("/v1/doctor").json["checked_at"]
    entered, go_on = threading.Event(), threading.Event()

    def slow(one: Any) -> Any:
        entered.set()
        assert go_on.wait(30)
        return report(one)

    monkeypatch.setattr("orchestrator.doctor.report.report", slow)
    answers: list[str] = []
    other = api.client.application.test_client()

    def ask() -> None:
        told: Any = other.get("/v1/doctor", headers=api.headers).json
        answers.append(told["checked_at"])

    thread = threading.Thread(target=ask)
    thread.start()
    assert entered.wait(30)
    assert api.get("/v1/doctor").json["checked_at"] == first
    go_on.set()
    thread.join(30)
    assert answers[0] > first
    monkeypatch.setattr("orchestrator.doctor.report.report", None)  # nobody asks it
    reports = api.client.application.extensions["orchestrator"].doctor
    monkeypatch.setattr(reports, "_until", float("inf"))
    assert api.get("/v1/doctor").json["checked_at"] == answers[0]


def test_without_a_broker_it_says_so(database_url: str):
    made = Api.on(database_url, "redis://127.0.0.1:1/0")
    try:
        told = made.get("/v1/doctor").json
        broker = next(each for each in told["findings"] if each["kind"] == "broker")
        assert broker["severity"] == "error"
        assert "ORCHESTRATOR_BROKER_URL" in broker["advice"]
    finally:
        made.close()


def test_without_postgres_it_says_so():
    made = Api.on("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1/0")
    try:
        told = made.get("/v1/doctor").json
        assert [each["kind"] for each in told["findings"]] == ["database", "broker"]
    finally:
        made.close()
