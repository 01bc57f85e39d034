"""The time account of real instances: read from what Postgres has of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator.cli import main
from tests.support.api import Api, document
from tests.support.manual_workers import Outside

KINDS = ["suspended", "running", "queued", "backoff", "waiting", "between"]


def account(api: Api, id: str) -> Any:
    found = api.get(f"/v1/instances/{id}/time")
    assert found.status_code == 200, found.text
    for each in (found.json, *found.json["steps"]):
        assert sum(each["parts"].values()) == pytest.approx(each["total_ms"], abs=0.01)
    return found.json


def shifted(api: Api, id: str) -> None:
    """As if it had all begun a minute before."""
    for table, columns in {
        "instances": ("created_at", "started_at"),
        "steps": ("started_at",),
        "attempts": ("created_at", "published_at"),
    }.items():
        changes = ", ".join(f"{name} = {name} - interval '1 min'" for name in columns)
        key = "id" if table == "instances" else "instance_id"
        api.all(f"update orchestrator.{table} set {changes} where {key} = %s", id)


def test_a_queued_step_and_a_suspension(api: Api, outside: Outside):
    id = outside.start([{"pay": {"call": "pay"}}])
    shifted(api, id)
    found = account(api, id)
    (step,) = found["steps"]
    assert (step["name"], step["step"]) == ("pay", 1)
    assert step["parts"]["queued"] >= 60_000
    assert found["path"][0]["step"] == 1
    api.post(f"/v1/instances/{id}/suspend")
    outside.state.process_inbox(id)
    api.all(
        "update orchestrator.history set at = at - interval '20 s' where instance_id = %s"
        " and facts::text like %s",
        id,
        "%workflow.suspended%",
    )
    assert account(api, id)["parts"]["suspended"] >= 20_000
    api.post(f"/v1/instances/{id}/resume")
    outside.state.process_inbox(id)
    after = account(api, id)["parts"]["suspended"]
    assert after == account(api, id)["parts"]["suspended"] >= 20_000  # it has ended


def test_a_nul_in_the_error_does_not_hide_it(api: Api, outside: Outside):
    error = {"type": "https://shop.example/no", "status": 400, "detail": "${ .text }"}
    id = outside.start([{"fail": {"raise": {"error": error}}}], input={"text": "a\0b"})
    assert api.get(f"/v1/instances/{id}").json["status"] == "faulted"
    assert account(api, id)["parts"]["suspended"] == 0


def test_one_that_has_not_started(api: Api):
    api.deploy(document())
    id = api.start(start_at="2099-01-01T00:00:00Z")
    found = account(api, id)
    assert (found["since"], found["total_ms"], found["steps"]) == (None, 0, [])


def test_the_command_line(api: Api, outside: Outside, cli: Callable[..., Any], served: str):
    id = outside.start([{"pay": {"call": "pay"}}, {"rest": {"set": {"a": 1}}}])
    shifted(api, id)
    assert list(cli("show", id, "--time", "-o", "json")["parts"]) == KINDS
    shown = CliRunner().invoke(main, ["--url", served, "show", id, "--time"])
    assert shown.exit_code == 0, shown.output
    assert "QUEUED" in shown.output
    assert "1 pay" in shown.output
