"""Values on their way through the API, steps and instances: one rule for all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from orchestrator.core.model import AttemptState
from orchestrator.execution.step.task_outcome import end_of_return
from tests.support.api import Api
from tests.support.manual_workers import SAGA, Outside, call

NUL = {"a\0b": ["\0", {"deep": "x\0"}]}
FAILED = AttemptState.FAILED
STRUCTURED = "application/cloudevents+json"


def refused(outside: Outside, on_unknown: bool) -> str:
    """An instance whose first step has returned what is no JSON."""
    undo = {"call": "undo-a", "with": {"output": "${ $output }"}, "onUnknown": on_unknown}
    id = outside.start([{"a": {"call": "a", "metadata": {"compensate": undo}}}, *SAGA[1:]])
    work = outside.claim(id)
    outside.state.commit_result(work, end_of_return(work.attempt.id, {"charge": {1, 2}}, 1000))
    outside.state.process_inbox(id)
    return id


def test_a_step_that_returned_no_json_is_shown_as_done(outside: Outside) -> None:
    id = refused(outside, on_unknown=False)
    assert outside.work(id) == []
    instance, step = outside.instance(id), outside.step(id, "a")
    assert (instance["status"], instance["compensation"]) == ("faulted", "none")
    assert (step["status"], step["outcome"], step["output"]) == ("faulted", "unknown", None)
    assert step["error"]["data"] == {"type": "set", "path": "$.charge"}
    assert instance["error"]["data"] == step["error"]["data"]
    assert step["attempts"][0]["error"]["data"] == step["error"]["data"]
    causes = outside.api.get(f"/v1/instances/{id}/why").json["causes"]
    assert [each["kind"] for each in causes] == ["ended", "unknown-outcome"]
    assert causes[1]["message"].startswith(
        "/do/0/a did its work, but its output could not be stored, and it was not undone"
    )
    assert "$.charge" in causes[1]["message"]


def test_and_is_undone_where_the_document_says_so(outside: Outside) -> None:
    id = refused(outside, on_unknown=True)
    work = outside.claim(id)
    assert work.attempt.task == "undo-a"
    assert work.step.call["kwargs"] == {"output": None}
    outside.finish(work)
    outside.state.process_inbox(id)
    assert outside.instance(id)["compensation"] == "completed"
    causes = outside.api.get(f"/v1/instances/{id}/why").json["causes"]
    assert ": it was undone" in causes[-1]["message"]


def test_a_lost_step_may_have_done_its_work(outside: Outside) -> None:
    id = outside.start([call("a", onLost="fault")])
    assert outside.lose(id) == ["a"]
    causes = outside.api.get(f"/v1/instances/{id}/why").json["causes"]
    told = next(each for each in causes if each["kind"] == "unknown-outcome")
    assert told["message"].startswith("it is unknown whether /do/0/a did its work")


# NUL: what a step may return, an input and an event may hold as well.


def test_an_output_with_nul_can_be_an_input(outside: Outside) -> None:
    id = outside.start(SAGA[:1], input=NUL)
    work = outside.claim(id)
    outside.state.commit_result(work, end_of_return(work.attempt.id, NUL, 1000))
    outside.state.process_inbox(id)
    output = outside.instance(id)["output"]
    assert output == NUL
    again = outside.api.start(input=output)
    assert outside.instance(again)["input"] == output


def test_a_retry_and_a_skip_take_it_too(outside: Outside) -> None:
    id = outside.start([{"a": {"call": "a"}}, {"b": {"call": "b"}}])
    assert outside.work(id, "a") == ["a"]
    outside.command(id, "retry", input=NUL)
    assert outside.step(id, "a")["input"] == NUL
    assert outside.work(id, "b") == ["a", "b"]
    assert outside.command(id, "skip", output=NUL)["output"] == NUL


def test_what_steps_remember_of_it_keeps_no_retry_back(outside: Outside) -> None:
    """Postgres reads no member of a JSON value with a NUL, as plain as that member is."""
    loop = {"for": {"each": "one", "in": "${ .items }"}, "do": [{"x": {"call": "x"}}]}
    branches = [{"loop": loop}, {"b": {"call": "b"}}]
    id = outside.start([{"f": {"fork": {"branches": branches}}}], input={"items": [NUL, NUL]})
    claimed = [outside.claim(id), outside.claim(id)]
    outside.command(id, "suspend")
    ends = {"x": None, "b": {"type": "https://shop.example/no", "status": 500, "detail": "a\0b"}}
    for work in claimed:
        error = ends[work.attempt.task]
        end = end_of_return(work.attempt.id, NUL, 1000)
        outside.state.commit_result(
            work, end if error is None else replace(end, state=FAILED, error=error)
        )
    kept = "select count(*) from orchestrator.steps where state::text like %s"
    assert outside.api.all(kept, "%u0000%") != [(0,)]
    assert outside.api.get(f"/v1/instances/{id}/why").status_code == 200
    assert outside.command(id, "resume")["status"] == "faulted"
    assert outside.command(id, "retry")["status"] == "running"
    assert "b" in outside.work(id)
    assert outside.instance(id)["status"] == "completed"


@pytest.mark.parametrize("how", ["structured", "binary", "batch", "signal"])
def test_an_event_takes_it(outside: Outside, how: str) -> None:
    listen = {"paid": {"listen": {"to": {"one": {"with": {"type": "shop.paid"}}}, "read": "data"}}}
    id = outside.start([listen])
    answer = _send(outside.api, how, id)
    assert answer.status_code == 202, answer.text
    outside.api.client.application.extensions["orchestrator"].services.events.match("shop")
    outside.state.process_inbox(id)
    assert outside.instance(id)["output"] == [NUL]
    found = outside.api.get("/v1/events?namespace=shop").json["items"][0]
    shown = outside.api.get(f"/v1/events/{found['id']}").json
    assert shown["event"]["data"] == NUL


def _send(api: Api, how: str, id: str) -> TestResponse:
    event: dict[str, Any] = {
        "specversion": "1.0", "id": "1", "source": "/s", "type": "shop.paid", "data": NUL,
    }  # fmt: skip
    path = f"/v1/instances/{id}/events" if how == "signal" else "/v1/events?namespace=shop"
    if how == "binary":
        headers = {f"ce-{name}": event[name] for name in ("specversion", "id", "source", "type")}
        return api.post(path, json=NUL, headers=headers)
    if how == "batch":
        kind = "application/cloudevents-batch+json"
        return api.post(path, json=[event], content_type=kind)
    return api.post(path, json=event, content_type=STRUCTURED)
