"""The execution tree, the history and the commands, as the real State Manager makes them."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from api.resources import step_arguments
from orchestrator.ids import new_id
from tests.support.api import Api, document, problem

WAIT = [{"pause": {"wait": {"hours": 1}}}]
CALL = [{"pay": {"call": "shop.pay", "with": {"amount": 7}}}]


def drain(api: Api, id: str) -> None:
    """What a control worker does with a hint."""
    api.client.application.extensions["orchestrator"].services.state.process_inbox(id)


def running(api: Api, do: list[dict[str, Any]], name: str = "order", **more: Any) -> str:
    """An instance that has taken its first transition."""
    api.deploy(document(name, do=do))
    id = api.start(name, **more)
    drain(api, id)
    return id


def test_an_instance_runs_to_its_end(api: Api):
    id = running(
        api,
        [{"a": {"set": {"x": "${ .n + 1 }"}}}, {"b": {"set": {"y": "${ .x }"}}}],
        input={"n": 1},
    )
    found = api.get(f"/v1/instances/{id}?wait=10").json
    assert (found["status"], found["output"], found["waiting_for"]) == ("completed", {"y": 2}, [])
    assert found["started_at"] <= found["ended_at"]
    steps = api.get(f"/v1/instances/{id}/steps").json["items"]
    assert [(each["name"], each["kind"], each["output"]) for each in steps] == [
        ("a", "set", {"x": 2}), ("b", "set", {"y": 2}),
    ]  # fmt: skip
    assert [each["reference"] for each in steps] == ["/do/0/a", "/do/1/b"]
    (transition,) = api.get(f"/v1/instances/{id}/history").json["items"]
    assert transition["stimulus"]["kind"] == "start"
    assert transition["facts"][-1]["type"] == "workflow.completed"


def test_a_call_that_no_worker_has_taken_is_pending(api: Api):
    id = running(api, CALL)
    (step,) = api.get(f"/v1/instances/{id}/steps").json["items"]
    assert (step["status"], step["input"]) == ("pending", None)
    (attempt,) = step["attempts"]
    assert (attempt["state"], attempt["task"], attempt["worker"]) == ("ready", "shop.pay", None)
    assert api.get(f"/v1/instances/{id}/steps/{step['id']}").json == step
    (waiting,) = api.get(f"/v1/instances/{id}").json["waiting_for"]
    assert (waiting["kind"], waiting["reference"]) == ("call", "/do/0/pay")


def test_a_step_shows_its_arguments_as_they_were_evaluated(api: Api):
    with_ = {"amount": "${ .n + 1 }", "to": "${ $workflow.input.who }"}
    id = running(
        api,
        [
            {"as": {"set": {"n": 6}}},
            {"pay": {"call": "shop.pay", "with": with_}},
        ],
        input={"who": "ann"},
    )
    plain, pay = api.get(f"/v1/instances/{id}/steps").json["items"]
    assert plain["arguments"] is None
    assert pay["arguments"] == {
        "task": "shop.pay", "args": [], "kwargs": {"amount": 7, "to": "ann"},
    }  # fmt: skip
    assert api.get(f"/v1/instances/{id}/steps/{pay['id']}").json == pay


@pytest.mark.parametrize(
    ("task", "shown"),
    [
        (
            {"call": "celery", "with": {"task": "shop.pay",
             "args": ["${ .n }", "${ $secrets.pin }"],
             "kwargs": {"all": "${ $secrets }", "text": "Bearer x"}}},
            {"task": "shop.pay", "args": [1, "***"], "kwargs": {"all": "***", "text": "Bearer x"}},
        ),
        (
            {"call": "shop.pay", "with": {"pin": '${ "a" + $secrets.pin }', "n": "${ .n + 1 }",
             "bad": "${ .n.x }"}},
            {"task": "shop.pay", "args": [],
             "kwargs": {"pin": "***", "n": 2, "bad": "${ .n.x }"}},
        ),
        (
            {"call": "http", "with": {"method": "get", "headers": {"X-Pin": "${ $secrets.pin }"},
             "endpoint": {"uri": "https://a.example/x",
                          "authentication": {"bearer": {"token": "${ $secrets.pin }"}}}}},
            {"call": "http", "with": {"method": "get", "headers": {"X-Pin": "***"},
             "endpoint": {"uri": "https://a.example/x", "authentication": "***"}}},
        ),
        (
            {"call": "http", "with": {"method": "get", "headers": {"Cookie": "pin=7"},
             "endpoint": {"uri": "https://me:pin@a.example/x",
                          "authentication": {"basic": {"username": "u", "password": "pin"}}}}},
            {"call": "http", "with": {"method": "get", "headers": {"Cookie": "***"},
             "endpoint": {"uri": "https://***@a.example/x", "authentication": "***"}}},
        ),
        (
            {"call": "http", "with": {"method": "get", "endpoint":
             {"uri": "https://a.example/", "authentication": {"use": "known"}}}},
            {"call": "http", "with": {"method": "get", "endpoint":
             {"uri": "https://a.example/", "authentication": {"use": "known"}}}},
        ),
    ],
    ids=("celery", "by name", "http", "passwords in the document", "a name"),
)  # fmt: skip
def test_no_secret_is_among_the_arguments(
    api: Api, monkeypatch: pytest.MonkeyPatch, task: dict[str, Any], shown: dict[str, Any]
):
    monkeypatch.setenv("ORCHESTRATOR_SECRET_PIN", "hunter2")
    known = {"known": {"bearer": {"token": "${ $secrets.pin }"}}}
    use = {"secrets": ["pin"], "authentications": known}
    api.deploy(document(do=[{"it": task}], use=use))
    id = api.start(input={"n": 1})
    drain(api, id)
    answer = api.get(f"/v1/instances/{id}/steps")
    assert answer.json["items"][0]["arguments"] == shown
    assert "hunter2" not in answer.text


def test_expressions_that_take_too_long_are_shown_as_they_are(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(step_arguments, "LONGEST", -1.0)
    do = [{"it": {"call": "a", "with": {"pin": "${ $secrets.pin }", "n": "${ .n }"}}}]
    api.deploy(document(do=do, use={"secrets": ["pin"]}))
    id = api.start(input={"n": 1})
    drain(api, id)
    (step,) = api.get(f"/v1/instances/{id}/steps").json["items"]
    assert step["arguments"]["kwargs"] == {"pin": "***", "n": "${ .n }"}


def test_a_step_that_was_skipped_says_by_whom(api: Api):
    id = running(api, [*WAIT, {"pay": CALL[0]["pay"]}])
    body = {"step": 1, "output": {"a": 1}, "reason": "it takes too long"}
    assert api.post(f"/v1/instances/{id}/skip", json=body).status_code == 202
    drain(api, id)
    pause, pay = api.get(f"/v1/instances/{id}/steps").json["items"]
    assert pause["skipped"] == {
        "at": pause["ended_at"], "by": "anonymous", "reason": "it takes too long",
    }  # fmt: skip
    assert pay["skipped"] is None
    assert api.post(f"/v1/instances/{id}/skip", json={"step": pay["id"]}).status_code == 202
    drain(api, id)
    assert api.get(f"/v1/instances/{id}/steps/{pay['id']}").json["skipped"]["reason"] is None


def test_a_step_names_its_sub_workflow(api: Api):
    api.deploy(document("kid", do=WAIT))
    run = {"run": {"workflow": {"namespace": "shop", "name": "kid", "version": "1.0.0"}}}
    id = running(api, [{"sub": run}])
    (step,) = api.get(f"/v1/instances/{id}/steps").json["items"]
    assert api.get(f"/v1/instances/{step['child']}").json["workflow"]["name"] == "kid"


def test_what_an_instance_waits_for(api: Api):
    id = running(api, WAIT)
    found = api.get(f"/v1/instances/{id}").json
    (waiting,) = found["waiting_for"]
    assert (found["status"], waiting["kind"], waiting["timer"]) == ("waiting", "timer", "wait")
    assert (waiting["reference"], waiting["due_at"] > found["created_at"]) == ("/do/0/pause", True)


def test_a_tree_is_told_by_parents(api: Api):
    id = running(api, [{"outer": {"do": [{"inner": {"set": {"a": 1}}}, *WAIT]}}])
    outer, inner, pause = api.get(f"/v1/instances/{id}/steps").json["items"]
    assert outer["parent"] == 0
    assert {inner["parent"], pause["parent"]} == {outer["id"]}
    below = api.get(f"/v1/instances/{id}/steps?parent={outer['id']}&limit=1").json
    assert [each["name"] for each in below["items"]] == ["inner"]
    rest = api.get(f"/v1/instances/{id}/steps?parent={outer['id']}&limit=1&cursor={below['next']}")
    assert [each["name"] for each in rest.json["items"]] == ["pause"]
    done = api.get(f"/v1/instances/{id}/steps?status=completed").json["items"]
    assert [each["name"] for each in done] == ["inner"]


def test_steps_that_are_not_there(api: Api):
    id = running(api, WAIT)
    for step in ("0", "99", "99999999999999999999"):
        assert api.get(f"/v1/instances/{id}/steps/{step}").status_code == 404
    assert api.get(f"/v1/instances/{id}/steps/first").status_code == 404
    for path in ("steps", "history", "steps/1"):
        assert api.get(f"/v1/instances/{new_id()}/{path}").status_code == 404


def test_a_cancel_stops_an_instance_and_is_audited(api: Api):
    id = running(api, WAIT)
    answer = api.post(f"/v1/instances/{id}/cancel", json={"reason": "a mistake"})
    assert (answer.status_code, answer.json["command"], answer.json["status"]) == (
        202, "cancel", "cancelled",
    )  # fmt: skip
    drain(api, id)
    assert api.get(f"/v1/instances/{id}?wait=10").json["status"] == "cancelled"
    assert api.all(
        "select actor, target, reason from orchestrator.audit_log where action like 'inst%%'"
    ) == [("anonymous", id, "a mistake")]
    history = api.get(f"/v1/instances/{id}/history?sort=-sequence&limit=1").json["items"]
    assert history[0]["stimulus"]["data"]["reason"] == "a mistake"


def test_a_command_in_the_wrong_status_is_a_409(api: Api):
    id = running(api, [{"a": {"set": {"x": 1}}}])
    before = api.content()
    for command in ("cancel", "terminate"):
        answer = api.post(f"/v1/instances/{id}/{command}")
        assert (answer.status_code, problem(answer)) == (409, "wrong-status")
    assert api.post(f"/v1/instances/{new_id()}/cancel").status_code == 404
    assert api.content() == before


def test_a_keyed_command_is_given_once(api: Api):
    id = running(api, WAIT)
    headers = {"Idempotency-Key": "c-1"}
    first = api.post(f"/v1/instances/{id}/cancel", headers=headers)
    drain(api, id)
    again = api.post(f"/v1/instances/{id}/cancel", headers=headers)
    assert (again.status_code, again.data) == (202, first.data)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert api.content()["stimuli"] == 0


def test_a_command_may_insist_on_the_state_that_was_seen(api: Api):
    id = running(api, WAIT)
    tag = api.get(f"/v1/instances/{id}").headers["ETag"]
    stale = api.post(f"/v1/instances/{id}/cancel", headers={"If-Match": '"1-0"'})
    assert (stale.status_code, problem(stale)) == (412, "precondition-failed")
    assert api.post(f"/v1/instances/{id}/cancel", headers={"If-Match": tag}).status_code == 202


def test_what_heeds_a_tag_says_so(api: Api):
    heeding = {
        f"{method} {path}"
        for path, operations in api.description.spec["paths"].items()
        for method, operation in operations.items()
        if method != "parameters"
        for each in operation.get("parameters", [])
        if each["name"] == "If-Match"
    }
    commands = ("suspend", "resume", "cancel", "terminate", "retry", "compensate", "skip")
    assert heeding == {
        *(f"post /v1/instances/{{id}}/{command}" for command in commands),
        "post /v1/instances/{id}/steps/{step}/retry-now",
        "patch /v1/schedules/{id}",
        "post /v1/schedules/{id}/trigger",
        "post /v1/schedules/{id}/backfill",
        "patch /v1/subscriptions/{id}",
        "delete /v1/subscriptions/{id}",
        "post /v1/subscriptions/{id}/deliveries/{delivery}/retry",
    }
    instance = api.description.spec["paths"]["/v1/instances/{id}"]["get"]
    assert "If-None-Match" in {each["name"] for each in instance["parameters"]}
    assert all("ETag" in instance["responses"][status]["headers"] for status in ("200", "304"))


@pytest.mark.parametrize("body", [{"reason": 7}, {"why": "x"}, [], "x", {"reason": "x" * 2001}])
def test_a_command_takes_only_what_it_knows(api: Api, body: Any):
    id = running(api, WAIT)
    answer = api.post(f"/v1/instances/{id}/cancel", json=body)
    assert (answer.status_code, problem(answer)) == (422, "invalid-request")


def events(text: str) -> list[tuple[int, dict[str, Any]]]:
    """The events of a stream: id and data."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(
            line.split(": ", 1) for line in block.split("\n") if ": " in line and line[0] != ":"
        )
        if "id" in lines:
            found.append((int(lines["id"]), json.loads(lines["data"])))
    return found


STREAM = {"Accept": "text/event-stream"}


def test_the_history_streams_until_the_instance_ends(api: Api):
    id = running(api, WAIT)

    def cancel() -> None:
        api.client.application.test_client().post(f"/v1/instances/{id}/cancel")
        drain(api, id)

    later = threading.Timer(0.2, cancel)
    later.start()
    answer = api.get(f"/v1/instances/{id}/history", headers=STREAM)
    later.join()
    pages = api.get(f"/v1/instances/{id}/history").json["items"]
    assert answer.mimetype == "text/event-stream"
    assert [data for _, data in events(answer.text)] == pages
    assert len(pages) == 2
    resumed = api.get(f"/v1/instances/{id}/history", headers={**STREAM, "Last-Event-ID": "1"})
    assert [number for number, _ in events(resumed.text)] == [2]


def test_a_stream_ends_with_the_instance_whenever_that_ends(api: Api, monkeypatch):
    """The end commits right after any of the stream's statements: it never waits after it."""
    waiters = api.client.application.extensions["orchestrator"].waiters
    moved, real = waiters.wait_for_transition, api.database.all
    waited: list[bool] = []

    def watched(id: str, sequence: int, *rest: Any) -> None:
        state = "select status, sequence from orchestrator.instances where id = %s"
        ((status, last),) = real(state, (id,))
        waited.append(status == "cancelled" and sequence >= last)
        moved(id, sequence, *rest)

    monkeypatch.setattr(waiters, "wait_for_transition", watched)
    for number in range(1, 4):
        id = running(api, WAIT, name=f"ends{number}")
        seen: list[str] = []

        def then_ends(*args: Any, id: str = id, number: int = number, seen: Any = seen) -> Any:
            rows = real(*args)
            if "orchestrator.history" in args[0] or "sequence" in args[0]:
                seen.append(args[0])
                if len(seen) == number:
                    api.client.application.test_client().post(f"/v1/instances/{id}/cancel")
                    drain(api, id)
            return rows

        monkeypatch.setattr(api.database, "all", then_ends)
        answer = api.get(f"/v1/instances/{id}/history", headers=STREAM)
        monkeypatch.setattr(api.database, "all", real)
        assert [number for number, _ in events(answer.text)] == [1, 2]
    assert waited
    assert True not in waited


def test_streams_are_few_enough_to_leave_room(api: Api):
    id = running(api, WAIT)
    few = Api.on(api.database.url, "redis://127.0.0.1:1/0", streams=1)
    first = few.client.get(f"/v1/instances/{id}/history", headers=STREAM, buffered=False)
    next(first.iter_encoded())
    second = few.get(f"/v1/instances/{id}/history", headers=STREAM)
    assert (second.status_code, problem(second)) == (429, "too-many-requests")
    first.close()
    api.post(f"/v1/instances/{id}/cancel")
    drain(api, id)
    third = few.get(f"/v1/instances/{id}/history", headers=STREAM)
    assert third.status_code == 200
    few.close()
