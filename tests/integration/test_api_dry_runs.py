"""A dry run says what a command would do, changes nothing, and the command then does that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.api import document, problem
from tests.support.manual_workers import SAGA, Outside, call


def dry(outside: Outside, id: str, command: str, **body: Any) -> Any:
    """The answer, after which every row is as it was."""
    before = outside.api.checksums()
    answer = outside.api.post(f"/v1/instances/{id}/{command}?dry_run=true", json=body)
    assert outside.api.checksums() == before
    return answer


def names(steps: Any) -> list[str]:
    return [each["name"] for each in steps]


def do(outside: Outside, id: str, command: str, tag: str, **body: Any) -> Any:
    headers = {"If-Match": tag}
    return outside.api.post(f"/v1/instances/{id}/{command}", json=body, headers=headers)


HELD = {"metadata": {"onFault": "hold"}}


def held(outside: Outside, do: list[Any], *failing: str) -> str:
    about = document("held", do=do)
    about["document"] |= HELD
    outside.api.deploy(about)
    id = outside.api.start("held")
    outside.work(id, *failing)
    return id


def test_a_cancel_undoes_what_its_dry_run_says(outside: Outside) -> None:
    id = outside.start([call("a"), {"n": {"call": "n"}}, call("b"), call("c")])
    for _ in range(3):
        outside.finish(outside.claim(id))
    outside.claim(id)
    answer = dry(outside, id, "cancel")
    plan = answer.json
    assert names(plan["undoes"]) == ["b", "a"]
    assert names(plan["keeps"]) == ["n"]
    assert plan["runs"] == []
    assert plan["becomes"]["status"] == "cancelled"
    assert plan["warnings"] == ["c still runs, and is undone as well if it succeeds"]
    done = do(outside, id, "cancel", answer.headers["ETag"], reason="x")
    assert done.status_code == 202
    assert {name: done.json[name] for name in plan["becomes"]} == plan["becomes"]
    outside.state.report_lost_process(
        outside.holder, {"type": "lost", "status": 500, "detail": "it died"}
    )
    assert outside.work(id)[-2:] == ["undo-b", "undo-a"]


def test_a_plan_that_is_no_longer_true_is_not_carried_out(outside: Outside) -> None:
    id = outside.start(SAGA)
    answer = dry(outside, id, "cancel")
    outside.finish(outside.claim(id))
    assert problem(do(outside, id, "cancel", answer.headers["ETag"])) == "precondition-failed"
    assert outside.instance(id)["status"] == "running"
    again = dry(outside, id, "cancel")
    assert names(again.json["undoes"]) == ["a"]
    assert do(outside, id, "cancel", again.headers["ETag"]).status_code == 202


def test_a_retry_says_what_runs_again_and_what_stays(outside: Outside) -> None:
    id = held(outside, [call("a"), call("b"), {"c": {"call": "c"}}], "c")
    answer = dry(outside, id, "retry")
    plan = answer.json
    assert (names(plan["keeps"]), names(plan["runs"])) == (["a", "b"], ["c"])
    assert plan["becomes"] == {"status": "running", "compensation": "none", "run": 2}
    first = outside.step(id, "a")["id"]
    edited = dry(outside, id, "retry", **{"from": first, "input": {"n": 1}}).json
    assert [(each["name"], each["note"]) for each in edited["runs"]] == [
        ("a", "with the edited input"),
        ("b", "had completed, and runs again"),
    ]
    assert edited["keeps"] == []
    assert do(outside, id, "retry", answer.headers["ETag"]).status_code == 202
    assert outside.work(id) == ["c"]


def test_a_skip_and_a_compensation_back_to_a_step(outside: Outside) -> None:
    id = held(outside, [call("a"), call("b"), {"c": {"call": "c"}}], "c")
    plan = dry(outside, id, "skip", output={"x": 1}).json
    assert [(each["name"], each["note"]) for each in plan["runs"]] == [("c", "skipped")]
    assert names(plan["keeps"]) == ["a", "b"]
    plan = dry(outside, id, "compensate", step=outside.step(id, "a")["id"]).json
    assert (names(plan["undoes"]), names(plan["keeps"])) == (["b"], ["a"])
    assert plan["becomes"] == {"status": "faulted", "compensation": "running", "run": 1}


def test_a_step_of_unknown_outcome_is_warned_of(outside: Outside) -> None:
    id = held(outside, [{"a": {"call": "a", "metadata": {"maxStarts": 1}}}])
    other = outside.start([{"a": {"call": "a", "metadata": {"maxStarts": 1}}}], "lost")
    outside.lose(other)
    plan = dry(outside, other, "retry").json
    assert plan["warnings"] == ["it is unknown whether a did its work: a retry may do it twice"]
    assert problem(dry(outside, id, "retry")) == "wrong-status"


def test_the_command_line_shows_a_plan(outside: Outside, cli: Callable[..., Any]) -> None:
    id = held(outside, [call("a"), {"c": {"call": "c"}}], "c")
    before = outside.api.checksums()
    plan = cli("retry", id, "--dry-run", "-o", "json")
    assert (names(plan["keeps"]), names(plan["runs"])) == (["a"], ["c"])
    skipped = cli("skip", id, "c", "--dry-run", "-o", "json")
    assert skipped["runs"][0]["note"] == "skipped"
    assert outside.api.checksums() == before


def test_refusals_are_those_of_the_command(outside: Outside) -> None:
    id = outside.start(SAGA)
    assert problem(dry(outside, id, "retry")) == "wrong-status"
    assert problem(dry(outside, id, "skip")) == "invalid-request"
    assert problem(dry(outside, id, "skip", step=99)) == "not-found"
    answer = outside.api.post(f"/v1/instances/{id}/cancel?dry_run=maybe", json={})
    assert answer.status_code == 400
    tag = {"If-Match": '"other"'}
    answer = outside.api.post(f"/v1/instances/{id}/cancel?dry_run=true", json={}, headers=tag)
    assert problem(answer) == "precondition-failed"
