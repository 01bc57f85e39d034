"""Steps whose workers died too often, as dead letters: listed, tried again, resolved, through
REST and the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.database.connection.database import UNBOUNDED
from orchestrator.scheduler.bulk_operations import Operations
from orchestrator.state_manager import LeaseOwner
from tests.support.api import problem
from tests.support.manual_workers import SAGA, Body, Outside

Cli = Callable[..., Any]


def test_a_step_given_up_is_a_dead_letter_that_begins_it_anew(outside: Outside, cli: Cli) -> None:
    id = outside.start([{"a": {"call": "a"}}, {"b": {"call": "b"}}])
    assert outside.lose(id, "a") == ["a", "b", "b", "b"]
    assert outside.instance(id)["status"] == "faulted"
    (letter,) = cli("dead-letter", "list", "--instance", id, "-o", "json")
    told = [letter[name] for name in ("namespace", "reference", "kind", "reason", "resolved_at")]
    assert told == ["shop", "/do/1/b", "call", "lost", None]
    assert (letter["step"], letter["error"]) == (
        outside.step(id, "b")["id"],
        outside.instance(id)["error"],
    )
    causes = outside.api.get(f"/v1/instances/{id}/why").json["causes"]
    (cause,) = [one for one in causes if one["kind"] == "dead-letter"]
    assert (cause["kind"], cause["dead_letter"]) == ("dead-letter", letter["id"])
    cli("dead-letter", "retry", letter["id"], "--reason", "more memory")
    assert outside.work(id) == ["b"]
    found = outside.instance(id)
    assert (found["status"], found["run"]) == ("completed", 2)
    (run,) = outside.told(id, "workflow.retried")
    assert (run["from"], run["reason"]) == (letter["step"], "more memory")
    settled = outside.api.get(f"/v1/dead-letters/{letter['id']}").json
    assert (settled["resolution"]["action"], settled["resolution"]["by"]) == ("retry", "anonymous")
    again = outside.api.post(f"/v1/dead-letters/{letter['id']}/retry")
    assert (again.status_code, problem(again)) == (409, "conflict")


def test_a_retry_of_the_instance_settles_its_letter(outside: Outside, cli: Cli) -> None:
    id = outside.start([{"a": {"call": "a", "metadata": {"onLost": "fault"}}}])
    assert outside.lose(id) == ["a"]
    cli("retry", id, "--reason", "mended")
    assert outside.work(id) == ["a"]
    (letter,) = cli("dead-letter", "list", "--instance", id, "--all", "-o", "json")
    assert letter["resolution"] == {"action": "retry", "by": "anonymous", "reason": "mended"}
    assert letter["resolved_at"] is not None


def test_a_letter_whose_fault_was_caught_is_resolved_and_not_retried(outside: Outside) -> None:
    do: list[Body] = [
        {"t": {"try": [{"a": {"call": "a"}}], "catch": {"do": [{"h": {"call": "h"}}]}}},
        {"c": {"call": "c"}},
    ]
    one, other = outside.start(do, "one"), outside.start(do, "other")
    assert outside.lose(one, "h", "c") == ["a", "a", "a", "h", "c"]
    (letter,) = outside.api.get(f"/v1/dead-letters?instance={one}").json["items"]
    path = f"/v1/dead-letters/{letter['id']}"
    refused = outside.api.post(f"{path}/retry")
    assert (refused.status_code, problem(refused)) == (409, "wrong-status")
    assert refused.json["detail"].startswith("its fault was caught")
    assert outside.api.get(path).json["resolved_at"] is None
    assert outside.api.post(f"{path}/resolve", json={"reason": "seen"}).status_code == 202
    # Where the instance has faulted since, going back is a person's own decision.
    assert outside.lose(other, "h") == ["a", "a", "a", "h", "c", "c", "c"]
    new, old = outside.api.get(f"/v1/dead-letters?instance={other}").json["items"]
    refused = outside.api.post(f"/v1/dead-letters/{old['id']}/retry")
    assert refused.json["detail"].endswith(f"or retry the instance from step {old['step']}")
    assert outside.api.post(f"/v1/dead-letters/{new['id']}/retry").status_code == 202
    assert outside.work(other) == ["c"]
    assert outside.instance(other)["status"] == "completed"


def test_while_its_instance_runs_a_caught_letter_can_be_resolved(outside: Outside) -> None:
    block = {"try": [{"a": {"call": "a"}}], "catch": {}}
    id = outside.start([{"t": block}, {"w": {"wait": {"hours": 1}}}])
    assert outside.lose(id) == ["a", "a", "a"]
    (letter,) = outside.api.get(f"/v1/dead-letters?instance={id}").json["items"]
    path = f"/v1/dead-letters/{letter['id']}"
    assert problem(outside.api.post(f"{path}/retry")) == "wrong-status"
    settle = {"step": letter["step"], "action": "resolve"}
    no_undoing = outside.api.post(f"/v1/instances/{id}/compensation", json=settle)
    assert no_undoing.status_code == 404
    assert outside.api.post(f"{path}/resolve").status_code == 202
    assert outside.audited(letter["id"])[0][1] == "dead-letter.resolve"


def test_what_was_undone_is_not_retried_by_its_letter(outside: Outside) -> None:
    id = outside.start(SAGA)
    assert outside.lose(id, "a", "b", "undo-a", "undo-b") == [
        "a", "b", "c", "c", "c", "undo-b", "undo-a",
    ]  # fmt: skip
    (letter,) = outside.api.get(f"/v1/dead-letters?instance={id}").json["items"]
    refused = outside.api.post(f"/v1/dead-letters/{letter['id']}/retry")
    assert (refused.status_code, problem(refused)) == (409, "wrong-status")
    assert "was undone" in refused.json["detail"]
    assert outside.api.post(f"/v1/dead-letters/{letter['id']}/resolve").status_code == 202


def test_a_letter_waits_for_what_still_runs_of_its_instance(outside: Outside) -> None:
    fork = {"fork": {"branches": [{"a": {"call": "a"}}, {"b": {"call": "b"}}]}}
    id = outside.start([{"f": fork}])
    flying = outside.claim(id)
    outside.holder = LeaseOwner(outside.holder.worker, 8)
    other = "b" if flying.attempt.task == "a" else "a"
    assert outside.lose(id) == [other] * 3
    (letter,) = outside.api.get(f"/v1/dead-letters?instance={id}").json["items"]
    refused = outside.api.post(f"/v1/dead-letters/{letter['id']}/retry")
    assert "still runs" in refused.json["detail"]
    outside.finish(flying)
    outside.state.process_inbox(id)
    assert outside.api.post(f"/v1/dead-letters/{letter['id']}/retry").status_code == 202
    assert outside.work(id) == [other]
    assert outside.instance(id)["status"] == "completed"


def test_an_operation_retries_the_letters_that_can_be(outside: Outside) -> None:
    caught = {"try": [{"b": {"call": "b"}}], "catch": {}}
    done, left = outside.start([{"a": {"call": "a"}}]), outside.start([{"t": caught}], "caught")
    assert [*outside.lose(done), *outside.lose(left)] == ["a"] * 3 + ["b"] * 3
    services = outside.api.client.application.extensions["orchestrator"].services
    asked = outside.api.post(
        "/v1/operations", json={"action": "dead-letter.retry", "filter": {"namespace": "shop"}}
    )
    Operations(outside.api.database, services.dispatcher).work()
    told = outside.api.get(asked.headers["Location"]).json
    assert (told["matches"], told["reached"]) == (2, 1)
    assert outside.work(done) == ["a"]
    (letter,) = outside.api.get("/v1/dead-letters?resolved=false").json["items"]
    assert letter["instance"] == left


@pytest.mark.slow
def test_while_another_transaction_has_the_row_the_client_tries_again(outside: Outside) -> None:
    id = outside.start([{"a": {"call": "a"}}])
    outside.lose(id)
    path = f"/v1/dead-letters/{outside.api.get('/v1/dead-letters').json['items'][0]['id']}/retry"
    with outside.api.database.transaction(UNBOUNDED) as gate:
        gate.all("select 1 from orchestrator.instances where id = %s for update", (id,))
        kept = outside.api.post(path)
        assert (kept.status_code, problem(kept)) == (503, "unavailable")
    assert outside.api.post(path).status_code == 202
