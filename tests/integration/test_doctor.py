"""The doctor finds what somebody broke by hand, says so, and its repair mends it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from orchestrator.cli import main
from orchestrator.core.model import AttemptEnd, AttemptState
from orchestrator.database.access import outbox_grants
from orchestrator.database.workers import worker_queries
from orchestrator.database.workers.worker_queries import WorkerRow
from orchestrator.doctor import examination
from orchestrator.ids import new_id
from orchestrator.state_manager import LeaseOwner
from tests.support.api import Api, document

PAY = [{"pay": {"call": "shop.pay"}}]
WAIT = [{"pause": {"wait": {"hours": 1}}}]
LISTEN = [{"paid": {"listen": {"to": {"one": {"with": {"type": "shop.paid"}}}}}}]

Doctor = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def _application(module_database_url: str, module_broker_url: str) -> Iterator[Api]:
    made = Api.on(module_database_url, module_broker_url)
    yield made
    made.close()


@pytest.fixture
def doctor(
    api: Api, module_broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[dict[str, Any]]]:
    """The findings of one visit that are not about the installation itself."""
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", api.database.url)
    monkeypatch.setenv("ORCHESTRATOR_BROKER_URL", module_broker_url)
    monkeypatch.setattr(examination, "ANSWER_TIMEOUT", 0.05)  # no Celery worker is there to answer
    with redis.Redis.from_url(module_broker_url) as client:
        client.flushall()

    def visit(*options: str) -> list[dict[str, Any]]:
        result = CliRunner().invoke(main, ["doctor", "-o", "json", *options])
        assert result.exit_code in (0, 1, 5), result.output
        about = ("versions", "database", "broker", "API", "tasks", "workers", "control", "beat")
        return [each for each in json.loads(result.stdout) if each["check"] not in about]

    return visit


def state(api: Api) -> Any:
    return api.client.application.extensions["orchestrator"].services.state


def worker(
    api: Api, *queues: str, tasks: tuple[str, ...] = ("shop.pay",), name: str = "w@here"
) -> str:
    row = WorkerRow(new_id(), name, 7, "prefork", 2, queues, tasks)
    worker_queries.register(api.database, row)
    return row.id


def running(api: Api, do: list[dict[str, Any]], name: str = "order", **more: Any) -> str:
    """An instance that has taken its first transition, an hour ago."""
    api.deploy(document(name, do=do, **more))
    id = api.start(name)
    state(api).process_inbox(id)
    age(api)
    return id


def claimed(api: Api, id: str, worker: str) -> Any:
    attempt, task = api.all(
        "select id::text, task from orchestrator.attempts where instance_id = %s"
        " and state = 'ready' order by id desc limit 1",
        id,
    )[0]
    return state(api).claim_attempt(attempt, id, task, LeaseOwner(worker, 7))


def age(api: Api) -> None:
    """All that was done was done an hour ago, but for the workers' beats."""
    for table, columns in {
        "instances": ("created_at", "started_at", "ended_at"),
        "history": ("at",),
        "attempts": ("created_at", "published_at", "claimed_at", "ended_at"),
        "timers": ("created_at",),
        "listeners": ("created_at",),
        "stimuli": ("created_at",),
        "schedules": ("created_at",),
        "events": ("created_at",),
    }.items():
        changes = ", ".join(f"{name} = {name} - interval '1 h'" for name in columns)
        api.all(f"update orchestrator.{table} set {changes}")


def only(findings: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(findings) == 1, findings
    return findings[0]


def mends(doctor: Doctor, kind: str) -> dict[str, Any]:
    """A visit finds one ailment and changes nothing; a repair mends it; all is well then."""
    found = only(doctor())
    assert (found["check"], found["state"]) == (kind, "inconsistent"), found
    mended = only(doctor("--repair"))
    assert (mended["check"], mended["state"]) == (kind, "repaired"), mended
    assert doctor() == []
    return found


def serving(api: Api) -> str:
    """A worker that has the task. Nobody serves control: the doctor brings its notes itself."""
    return worker(api, "celery")


def status(api: Api, id: str) -> str:
    return str(api.get(f"/v1/instances/{id}").json["status"])


def test_nothing_is_wrong_with_what_is_well(api: Api, doctor: Doctor):
    able = serving(api)
    running(api, WAIT, "waiting")
    running(api, LISTEN, "listening")
    id = running(api, PAY, "paying")
    taken = claimed(api, id, able)
    worker_queries.heartbeat(api.database, able, [taken.attempt.id], 1)
    assert doctor() == []


def test_a_lost_message_is_sent_again(api: Api, doctor: Doctor, module_broker_url: str):
    serving(api)
    id = running(api, PAY)
    with redis.Redis.from_url(module_broker_url) as client:
        assert client.llen("celery.orchestrator") == 1
        assert doctor() == []
        client.delete("celery.orchestrator")
        found = mends(doctor, "lost-message")
        assert client.llen("celery.orchestrator") == 1
    assert found["instance"] == id


@pytest.mark.parametrize("gone", ["deleted", "stopped", "silent"])
def test_a_lease_whose_worker_is_gone_ends(
    api: Api, doctor: Doctor, gone: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ORCHESTRATOR_LEASE", "2")
    able = serving(api)
    id = running(api, PAY)
    taken = claimed(api, id, able)
    age(api)
    if gone == "deleted":
        api.all("delete from orchestrator.workers where id = %s", able)
    elif gone == "stopped":
        worker_queries.stop(api.database, able)
    else:
        api.all(
            "update orchestrator.workers set last_heartbeat_at = now() - interval '1 h'"
            " where id = %s",
            able,
        )
    found = [each for each in doctor("--repair") if each["check"] == "lease-without-worker"]
    assert only(found)["state"] == "repaired"
    ((state, number),) = api.all(
        "select state, number from orchestrator.attempts where state = 'ready'"
    )
    assert (state, number) == ("ready", taken.attempt.number + 1)


def test_a_worker_that_speaks_up_keeps_its_lease(
    api: Api, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ORCHESTRATOR_LEASE", "2")
    able = serving(api)
    claimed(api, running(api, PAY), able)
    api.all(
        "update orchestrator.workers set last_heartbeat_at = now() - interval '1 h' where id = %s",
        able,
    )
    assert [each["check"] for each in doctor()] == ["lease-without-worker"]
    over = threading.Event()

    def beat() -> None:
        while not over.wait(0.1):
            api.all("update orchestrator.workers set heartbeat_count = heartbeat_count + 1")

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        doctor("--repair")
    finally:
        over.set()
        beating.join()
    assert api.all("select state from orchestrator.attempts") == [("claimed",)]


def test_a_step_claimed_by_a_vanished_child_is_lost(api: Api, doctor: Doctor):
    able = serving(api)
    claimed(api, running(api, PAY), able)
    age(api)
    worker_queries.heartbeat(api.database, able, [], 2)
    mends(doctor, "vanished-process")


def test_a_timer_overdue_fires(api: Api, doctor: Doctor):
    serving(api)
    id = running(api, WAIT)
    api.all("update orchestrator.timers set due_at = now() - interval '1 min'")
    mends(doctor, "overdue-timer")
    state(api).process_inbox(id)
    assert status(api, id) == "completed"


@pytest.mark.parametrize("do", [PAY, WAIT, LISTEN], ids=["call", "wait", "listen"])
def test_an_instance_with_nothing_to_wait_for_waits_again(api: Api, doctor: Doctor, do: Any):
    serving(api)
    id = running(api, do)
    for table in ("attempts", "timers", "listeners"):
        api.all(f"delete from orchestrator.{table}")
    found = mends(doctor, "stalled-step")
    assert found["instance"] == id
    assert status(api, id) in ("running", "waiting")
    assert api.get(f"/v1/instances/{id}").json["waiting_for"]


def test_an_instance_whose_start_is_lost_starts(api: Api, doctor: Doctor):
    serving(api)
    api.deploy(document())
    id = api.start()
    api.all("delete from orchestrator.stimuli")
    age(api)
    mends(doctor, "stalled-instance")
    assert status(api, id) == "completed"


def test_an_instance_whose_open_step_is_gone_goes_on(api: Api, doctor: Doctor):
    serving(api)
    id = running(api, [{"a": {"set": {"x": 1}}}, *WAIT])
    api.all("delete from orchestrator.timers")
    api.all("delete from orchestrator.steps where kind = 'wait'")
    mended = {each["state"] for each in doctor("--repair")}
    assert mended == {"repaired"}
    assert status(api, id) == "waiting"


@pytest.mark.parametrize("there", [True, False])
def test_the_report_of_a_sub_workflow_is_told_again(api: Api, doctor: Doctor, there: bool):
    serving(api)
    api.deploy(document("child", do=[{"note": {"set": {"done": True}}}]))
    child = {"namespace": "shop", "name": "child", "version": "1.0.0"}
    id = running(api, [{"sub": {"run": {"workflow": child}}}], "parent")
    ((started,),) = api.all(
        "select id::text from orchestrator.instances where parent_instance is not null"
    )
    state(api).process_inbox(started)
    api.all("delete from orchestrator.stimuli where instance_id = %s", id)
    if not there:
        for table in ("instances", "steps", "history"):
            key = "id" if table == "instances" else "instance_id"
            api.all(f"delete from orchestrator.{table} where {key} = %s", started)
    age(api)
    mends(doctor, "stalled-step")
    assert status(api, id) == ("completed" if there else "faulted")


def test_a_report_that_is_told_again_says_what_can_be_undone(api: Api, doctor: Doctor):
    """A sub-workflow that faulted and kept its effects is undone with its parent."""
    able = serving(api)
    undo = {"compensate": {"call": "shop.pay"}}
    fail = {"raise": {"error": {"type": "https://shop.example/no", "status": 500}}}
    pay = {"pay": {"call": "shop.pay", "metadata": undo}}
    body = document("child", do=[pay, {"fail": fail}])
    body["document"]["metadata"] = {"onFault": "hold"}
    api.deploy(body)
    child = {"namespace": "shop", "name": "child", "version": "1.0.0"}
    id = running(api, [pay, {"sub": {"run": {"workflow": child}}}], "parent")
    taken = claimed(api, id, able)
    state(api).commit_result(taken, AttemptEnd(taken.attempt.id, AttemptState.SUCCEEDED))
    ((started,),) = api.all(
        "select id::text from orchestrator.instances where parent_instance is not null"
    )
    state(api).process_inbox(started)
    taken = claimed(api, started, able)
    state(api).commit_result(taken, AttemptEnd(taken.attempt.id, AttemptState.SUCCEEDED))
    told = "select data->>'held' from orchestrator.stimuli where instance_id = %s"
    assert api.all(told, id) == [("true",)]
    api.all("delete from orchestrator.stimuli where instance_id = %s", id)
    age(api)
    mends(doctor, "stalled-step")
    assert api.get(f"/v1/instances/{id}").json["compensation"] == "running"
    state(api).process_inbox(started)
    assert api.get(f"/v1/instances/{started}").json["compensation"] == "running"


def test_a_sub_workflow_is_asked_again_where_the_retry_of_its_parent_was_lost(
    api: Api, doctor: Doctor
):
    serving(api)
    fail = {"raise": {"error": {"type": "https://shop.example/no", "status": 500}}}
    api.deploy(document("child", do=[{"fail": fail}]))
    child = {"namespace": "shop", "name": "child", "version": "1.0.0"}
    id = running(api, [{"sub": {"run": {"workflow": child}}}], "parent")
    ((started,),) = api.all(
        "select id::text from orchestrator.instances where parent_instance is not null"
    )
    state(api).process_inbox(started)
    state(api).process_inbox(id)
    assert api.post(f"/v1/instances/{id}/retry").status_code == 202
    state(api).process_inbox(id)
    api.all("delete from orchestrator.stimuli where instance_id = %s", started)
    age(api)
    mends(doctor, "stalled-step")
    state(api).process_inbox(started)
    state(api).process_inbox(id)
    assert status(api, id) == "faulted"
    assert api.get(f"/v1/instances/{started}").json["run"] == 2


def test_a_stuck_compensation_goes_on(api: Api, doctor: Doctor):
    able = serving(api)
    undo = {"compensate": {"call": "shop.pay"}}
    fail = {"raise": {"error": {"type": "https://shop.example/no", "status": 500}}}
    id = running(api, [{"pay": {"call": "shop.pay", "metadata": undo}}, {"fail": fail}])
    taken = claimed(api, id, able)
    state(api).commit_result(taken, AttemptEnd(taken.attempt.id, AttemptState.SUCCEEDED))
    age(api)
    api.all("delete from orchestrator.attempts where state = 'ready'")
    mends(doctor, "stuck-compensation")
    again = claimed(api, id, able)
    state(api).commit_result(again, AttemptEnd(again.attempt.id, AttemptState.SUCCEEDED))
    assert api.get(f"/v1/instances/{id}").json["compensation"] == "completed"


def test_a_listener_whose_instance_ended_is_removed(api: Api, doctor: Doctor):
    serving(api)
    id = running(api, LISTEN)
    row = api.all("select row_to_json(l)::text from orchestrator.listeners l")[0][0]
    api.post(f"/v1/instances/{id}/terminate")
    state(api).process_inbox(id)
    assert doctor() == []
    api.all(
        "insert into orchestrator.listeners select * from"
        " json_populate_record(null::orchestrator.listeners, %s)",
        row,
    )
    age(api)
    mends(doctor, "orphaned-listener")


def test_a_schedule_without_a_next_firing_gets_one(api: Api, doctor: Doctor):
    serving(api)
    api.deploy(document(schedule={"every": {"hours": 1}}))
    age(api)
    api.all("update orchestrator.schedules set next_due = null, next_fire_at = null")
    mends(doctor, "schedule-without-next")
    ((later,),) = api.all("select next_fire_at > now() from orchestrator.schedules")
    assert later


def test_a_queue_without_a_consumer_and_a_task_that_no_worker_has_are_found(
    api: Api, doctor: Doctor
):
    running(api, PAY)
    found = only(doctor())
    assert found["check"] == "queue-without-consumer"
    assert "orchestrator worker -Q celery" in found["advice"]

    other = worker(api, "celery", tasks=("shop.other",))
    found = only(doctor())
    assert found["check"] == "task-without-worker"  # and no lost message: its worker drops them
    assert only(doctor("--repair"))["state"] == "unrepaired"

    worker(api, "elsewhere", name="able@here")
    found = only(doctor())
    assert found["check"] == "misrouted"
    # That worker does not answer to remote control, so nothing is promised.
    assert "--repair" not in found["advice"]
    worker_queries.stop(api.database, other)
    assert only(doctor())["check"] == "queue-without-consumer"


def test_kinds_that_nobody_thought_of(api: Api, doctor: Doctor):
    """They break rules that every row keeps: a counter, and a row that belongs to nothing."""
    serving(api)
    id = running(api, WAIT)
    api.all("update orchestrator.instances set open_places = 5")
    found = mends(doctor, "inconsistent")
    assert found["found"] == f"instances: the counter of places is wrong: {id}"
    age(api)
    api.all(
        "insert into orchestrator.item_chunks (instance_id, step, index, items)"
        " values (%s, 77, 0, '[]')",
        id,
    )
    assert "item_chunks: of a step that is not there" in mends(doctor, "inconsistent")["found"]
    api.all("update orchestrator.steps set ended_at = now()")
    assert "steps: status and time" in mends(doctor, "inconsistent")["found"]
    api.all("delete from orchestrator.history")
    assert "a transition is missing" in doctor("--repair")[0]["found"]


def test_without_a_broker_nothing_is_taken_for_lost(
    api: Api, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
):
    serving(api)
    running(api, PAY)
    monkeypatch.setenv("ORCHESTRATOR_BROKER_URL", "redis://127.0.0.1:1/0")
    assert doctor() == []


def test_starts_that_stand_in_the_outbox_are_moved(api: Api, doctor: Doctor):
    login = outbox_grants.session_login(api.database)
    api.deploy(document())
    outbox_grants.execute(
        api.database, outbox_grants.grant_statements(api.database, login, "shop", 100)
    )
    good, bad = (
        api.all("select orchestrator_outbox.submit(%s::json)::text", request)[0][0]
        for request in ('{"workflow": "order"}', '{"workflow": "none"}')
    )
    api.all("update orchestrator_outbox.starts set created_at = created_at - interval '1 hour'")
    own, standing = sorted(doctor(), key=lambda each: each["state"], reverse=True)
    assert (own["check"], own["state"]) == ("outbox", "note")
    assert f"{login}, the orchestrator's own login, submits starts in shop" in own["found"]
    assert (standing["check"], standing["state"]) == ("standing-starts", "inconsistent")
    assert "2 starts that were submitted in shop wait in the outbox" in standing["found"]
    assert "orchestrator beat" in standing["advice"]
    found = {each["check"]: each for each in doctor("--repair")}
    assert found["standing-starts"]["state"] == "repaired"
    assert "no workflow shop/none" in found["refused-start"]["found"]
    assert found["refused-start"]["instance"] == bad
    assert api.get(f"/v1/instances/{good}").json["status"] == "pending"


def test_a_pooler_with_one_login_for_all_is_found(
    api: Api, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
):
    """PgBouncer with `user=` hides who connects: every tenant would have the same namespace."""
    api.all("insert into orchestrator_outbox.logins (login, namespace) values ('tenant', 'shop')")
    assert [each for each in doctor() if each["check"] == "outbox"] == []
    monkeypatch.setattr(
        "orchestrator.database.access.outbox_grants.session_login", lambda _: "pooled"
    )
    (found,) = (each for each in doctor() if each["check"] == "outbox")
    assert "as pooled, and maybe every application" in found["found"]
