"""Why an instance stands still, told in words and in data."""

from __future__ import annotations

from typing import Any

from orchestrator.database import workers
from orchestrator.database.workers import WorkerRow
from orchestrator.ids import new_id
from tests.support.api import Api, document


def drain(api: Api, id: str) -> None:
    """What a control worker does with a hint."""
    api.client.application.extensions["orchestrator"].services.state.drain(id)


def worker(
    api: Api, *queues: str, tasks: tuple[str, ...] = ("shop.pay",), pool: str = "prefork"
) -> str:
    row = WorkerRow(new_id(), f"w-{new_id()[-4:]}", 7, pool, 1, queues, tasks)
    workers.register(api.database, row)
    return row.id


def why(api: Api, id: str) -> dict[str, Any]:
    """The only cause."""
    causes = api.get(f"/v1/instances/{id}/why").json["causes"]
    assert len(causes) == 1, causes
    return causes[0]


def kind(api: Api, id: str) -> str:
    return str(why(api, id)["kind"])


def test_a_start_that_nobody_brings(api: Api):
    api.deploy(document())
    id = api.start()
    assert kind(api, id) == "no-control"
    worker(api, "orchestrator")
    assert kind(api, id) == "inbox"
    drain(api, id)
    assert why(api, id) == {"kind": "ended", "message": "the instance is completed"}


def test_a_call_on_its_way(api: Api):
    api.deploy(document(do=[{"pay": {"call": "shop.pay"}}]))
    id = api.start()
    drain(api, id)
    api.all("update orchestrator.attempts set published_at = null")
    assert why(api, id)["message"] == "no live worker serves the queue celery"
    other = worker(api, "celery", tasks=("shop.other",))
    assert kind(api, id) == "no-task"
    able = worker(api, "celery")
    assert kind(api, id) == "unpublished"
    api.all("update orchestrator.attempts set published_at = now()")
    assert kind(api, id) == "delivery"
    workers.heartbeat(api.database, able, [], 0)
    assert kind(api, id) == "no-slot"
    api.all(
        "update orchestrator.attempts set state = 'claimed', worker = %s, claimed_at = now()", able
    )
    told = why(api, id)
    assert (told["kind"], told["step"], told["reference"]) == ("running", 1, "/do/0/pay")
    api.all(
        "update orchestrator.workers set seen_at = now() - interval '1 h' where id <> %s", other
    )
    assert kind(api, id) == "silent-worker"


def test_a_limit_that_only_processes_enforce(api: Api):
    api.deploy(document(do=[{"pay": {"call": "shop.pay"}}]))
    id = api.start()
    drain(api, id)
    api.all("update orchestrator.attempts set time_limit = 5")
    worker(api, "celery", pool="threads")
    assert "time limit" in why(api, id)["message"]


def test_times_events_and_people(api: Api):
    paid = {"listen": {"to": {"one": {"with": {"type": "shop.paid"}}}}}
    api.deploy(document(do=[{"pause": {"wait": {"hours": 1}}}]))
    api.deploy(document("listening", do=[{"paid": paid}]))
    waiting, listening = api.start(), api.start("listening")
    drain(api, waiting)
    drain(api, listening)
    assert why(api, waiting)["until"] == api.get("/v1/timers").json["items"][0]["due_at"]
    assert kind(api, listening) == "event"
    api.post(f"/v1/instances/{waiting}/suspend", json={"reason": "for lunch"})
    drain(api, waiting)
    causes = api.get(f"/v1/instances/{waiting}/why").json["causes"]
    assert causes[0]["message"] == "suspended by anonymous: for lunch"
