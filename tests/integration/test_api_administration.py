"""Workers, queues, timers, listeners, namespaces, dead letters and compensation plans."""

from __future__ import annotations

from typing import Any

from orchestrator.database.workers import worker_queries
from orchestrator.database.workers.worker_queries import WorkerRow
from orchestrator.ids import new_id
from tests.support.api import Api, document, problem


def drain(api: Api, id: str) -> None:
    """What a control worker does with a hint."""
    api.client.application.extensions["orchestrator"].services.state.process_inbox(id)


def worker(api: Api, name: str, *queues: str) -> str:
    """A worker that has just registered."""
    row = WorkerRow(new_id(), name, 7, "prefork", 4, queues, ("shop.pay",))
    worker_queries.register(api.database, row)
    return row.id


def test_workers_say_how_they_are(api: Api):
    live, silent, stopped = (worker(api, name, "celery") for name in ("a", "b", "c"))
    api.all(
        "update orchestrator.workers set last_heartbeat_at = now() - interval '1 h' where id = %s",
        silent,
    )
    worker_queries.heartbeat(api.database, live, [], 4, counters={"claimed": 3, "refused": 2})
    worker_queries.heartbeat(api.database, live, [], 4)  # of a worker before this release
    worker_queries.stop(api.database, stopped)
    found = {each["id"]: each for each in api.get("/v1/workers").json["items"]}
    assert [found[id]["state"] for id in (live, silent, stopped)] == ["live", "silent", "stopped"]
    assert found[live]["tasks"] == ["shop.pay"]
    assert found[live]["counts"] == {"claimed": 3, "refused": 2}
    assert found[silent]["counts"] == {}
    assert [each["id"] for each in api.get("/v1/workers?live=true").json["items"]] == [live]
    assert len(api.get("/v1/workers?live=false").json["items"]) == 2


def test_queues_tell_what_waits_and_who_serves(api: Api):
    worker(api, "a", "celery", "idle")
    api.deploy(document(do=[{"pay": {"call": "shop.pay"}}]))
    for _ in range(2):
        drain(api, api.start())
    found = {each["name"]: each for each in api.get("/v1/queues").json["items"]}
    assert (found["celery"]["waiting"], found["celery"]["slots"]) == (2, 4)
    assert found["celery"]["oldest"] is not None
    assert (found["idle"]["waiting"], found["idle"]["oldest"]) == (0, None)


def test_timers_are_told_in_the_order_of_their_time(api: Api):
    api.deploy(document(do=[{"pause": {"wait": {"hours": 1}}}]))
    api.deploy(document("short", do=[{"pause": {"wait": {"minutes": 1}}}]))
    long, short = api.start(), api.start("short")
    drain(api, long)
    drain(api, short)
    first = api.get("/v1/timers?limit=1").json
    second = api.get(f"/v1/timers?limit=1&cursor={first['next']}").json
    told = [
        (each["instance"], each["kind"], each["reference"])
        for each in first["items"] + second["items"]
    ]
    assert told == [(short, "wait", "/do/0/pause"), (long, "wait", "/do/0/pause")]
    assert second["next"] is None


def test_listeners_tell_what_they_wait_for(api: Api):
    paid = {"with": {"type": "shop.paid"}}
    api.deploy(document(do=[{"paid": {"listen": {"to": {"one": paid}}}}]))
    id = api.start()
    drain(api, id)
    (listener,) = api.get("/v1/listeners").json["items"]
    assert (listener["instance"], listener["mode"], listener["reference"]) == (
        id,
        "one",
        "/do/0/paid",
    )
    (waiting,) = api.get(f"/v1/instances/{id}").json["waiting_for"]
    assert (waiting["kind"], waiting["filters"]) == ("event", listener["filters"])


def test_namespaces_are_those_that_have_workflows(api: Api):
    api.deploy(document())
    api.deploy(document("other"))
    api.deploy(document(version="2.0.0"))
    assert api.get("/v1/namespaces").json["items"] == [{"name": "shop", "workflows": 2}]


def undoing(name: str, value: Any) -> dict[str, Any]:
    return {name: {"set": {"x": value}, "metadata": {"compensate": {"set": {"undone": name}}}}}


def test_a_plan_shows_what_a_cancel_would_undo(api: Api):
    inner = {
        "do": [undoing("b", 1), undoing("c", 2)],
        "metadata": {"compensate": {"set": {"x": 0}}},
    }
    api.deploy(
        document(
            do=[
                undoing("a", 0),
                {"both": inner},
                undoing("d", 3),
                {"pause": {"wait": {"hours": 1}}},
            ]
        )
    )
    id = api.start()
    drain(api, id)
    told = api.get(f"/v1/instances/{id}/compensation").json
    assert [each["name"] for each in told["plan"]] == ["d", "both", "a"]
    assert (told["compensation"], told["undone"]) == ("none", [])
    api.post(f"/v1/instances/{id}/cancel")
    drain(api, id)
    told = api.get(f"/v1/instances/{id}/compensation").json
    assert (told["compensation"], told["plan"]) == ("completed", [])
    assert [each["name"] for each in told["undone"]] == ["d", "both", "a"]


def failed_undoing(api: Api) -> str:
    """An instance whose compensation has failed."""
    broken = {"a": {"set": {"x": 1}, "metadata": {"compensate": {"raise": {"error": {
        "type": "https://shop.example/broken", "status": 500}}}}}}  # fmt: skip
    api.deploy(document(do=[broken, {"pause": {"wait": {"hours": 1}}}]))
    id = api.start()
    drain(api, id)
    api.post(f"/v1/instances/{id}/cancel")
    drain(api, id)
    return id


def test_a_dead_letter_is_resolved_once(api: Api):
    id = failed_undoing(api)
    assert api.get(f"/v1/instances/{id}").json["compensation"] == "failed"
    (letter,) = api.get("/v1/dead-letters?resolved=false").json["items"]
    assert (letter["instance"], letter["reason"]) == (id, "compensation")
    answer = api.post(f"/v1/dead-letters/{letter['id']}/resolve", json={"reason": "by hand"})
    assert (answer.status_code, answer.json["resolution"]["reason"]) == (202, "by hand")
    again = api.post(f"/v1/dead-letters/{letter['id']}/retry")
    assert (again.status_code, problem(again)) == (409, "conflict")
    drain(api, id)
    assert api.get(f"/v1/instances/{id}").json["compensation"] == "completed"
    assert api.get("/v1/dead-letters?resolved=false").json["items"] == []
    assert api.get(f"/v1/dead-letters/{letter['id']}").json["resolved_at"] is not None
    assert api.get(f"/v1/dead-letters/{new_id()}").status_code == 404


def test_a_failed_compensation_is_settled_by_its_step(api: Api):
    id = failed_undoing(api)
    (letter,) = api.get(f"/v1/dead-letters?instance={id}").json["items"]
    settle = {"step": letter["step"], "action": "retry", "reason": "it is back"}
    assert api.post(f"/v1/instances/{id}/compensation", json=settle).status_code == 202
    drain(api, id)
    # It failed again: that is a letter of its own.
    assert len(api.get(f"/v1/dead-letters?instance={id}").json["items"]) == 2
    assert api.post(f"/v1/instances/{id}/compensation", json=settle).status_code == 404
    wrong = api.post(f"/v1/instances/{id}/compensation", json={"step": 1, "action": "forget"})
    assert (wrong.status_code, problem(wrong)) == (422, "invalid-request")
