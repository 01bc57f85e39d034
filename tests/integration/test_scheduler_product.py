"""Schedules in the whole product: API, worker, two beats, and instances that run to their end."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator.cli import main
from tests.support.stack import Stack

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    database_url = request.getfixturevalue("module_database_url")
    broker_url = request.getfixturevalue("module_broker_url")
    folder: Path = tmp_path_factory.mktemp("schedules")
    with Stack(folder, database_url, broker_url, shortest_interval="0.01") as stack:
        stack.api()
        stack.worker(concurrency=2)
        for name in ("one", "two"):
            stack.beat(name, "tests.celery_apps.periodic")
        yield stack


def a_document(name: str, schedule: dict[str, Any], **policies: Any) -> dict[str, Any]:
    head = {"dsl": "1.0.3", "namespace": "test", "name": name, "version": "1.0.0"}
    return {
        "document": {**head, "metadata": {"schedule": policies}},
        "schedule": schedule,
        "do": [{"report": {"set": {"fired": True, "input": "${ $workflow.input }"}}}],
    }


def ended(stack: Stack, name: str) -> list[dict[str, Any]]:
    """The instances of a workflow that have ended, in the order of their creation."""
    path = f"/v1/instances?workflow=test/{name}&status=completed,faulted&sort=created_at&limit=1000"
    items = stack.client.get(path).json()["items"]
    return [stack.client.get(f"/v1/instances/{each['id']}").json() for each in items]


def scheduled(stack: Stack, name: str) -> dict[str, Any]:
    (found,) = stack.client.get(f"/v1/schedules?workflow={name}").json()["items"]
    return dict(found)


def ledger(stack: Stack, id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.client.get(f"/v1/schedules/{id}/firings?limit=1000").json()[
        "items"
    ]
    return found


@pytest.mark.parametrize(
    ("name", "schedule", "count"),
    [
        ("every", {"every": {"milliseconds": 100}}, 8),
        ("seconds", {"cron": "* * * * * *"}, 2),
        ("after", {"after": {"milliseconds": 40}}, 3),
    ],
)
def test_a_schedule_starts_instances_that_run(stack, name, schedule, count):
    stack.deploy(a_document(name, schedule, input={"due": "${ .due }"}))
    stack.until(lambda: len(ended(stack, name)) >= count, "instances end")
    id = scheduled(stack, name)["id"]
    paused = stack.client.patch(f"/v1/schedules/{id}", json={"paused": True})
    assert paused.json()["state"] == "paused"
    fired = ledger(stack, id)
    stack.until(lambda: len(ended(stack, name)) == len(fired), "all of them end")
    instances = {each["id"]: each for each in ended(stack, name)}
    for each in fired:
        instance = instances[each["instance"]]
        assert instance["status"] == "completed"
        assert instance["output"] == {"fired": True, "input": {"due": each["due"]}}
        assert each["delay_seconds"] >= 0
    if name == "after":
        runs = sorted(instances.values(), key=lambda each: str(each["created_at"]))
        for one, following in itertools.pairwise(runs):
            assert following["created_at"] > one["ended_at"]


def test_overlapping_runs_are_queued_and_follow_one_another(stack):
    document = a_document("queue", {"every": {"milliseconds": 200}}, overlap="queue")
    document["do"] = [{"rest": {"wait": {"milliseconds": 500}}}]
    stack.deploy(document)
    stack.until(lambda: len(ended(stack, "queue")) >= 3, "instances end")
    stack.client.patch(f"/v1/schedules/{scheduled(stack, 'queue')['id']}", json={"paused": True})
    runs = ended(stack, "queue")
    for one, following in itertools.pairwise(runs):
        assert following["created_at"] > one["ended_at"]
    outcomes = {each["outcome"] for each in ledger(stack, scheduled(stack, "queue")["id"])}
    assert outcomes - {"queued"} == {"started", "skipped"}


def test_overlap_cancel_ends_the_run_before(stack):
    document = a_document("cancel", {"every": {"milliseconds": 700}}, overlap="cancel")
    document["do"] = [{"rest": {"wait": {"hours": 1}}}]
    stack.deploy(document)

    def cancelled() -> int:
        path = "/v1/instances?workflow=test/cancel&status=cancelled"
        return len(stack.client.get(path).json()["items"])

    stack.until(lambda: cancelled() >= 2, "runs are cancelled")
    stack.client.patch(f"/v1/schedules/{scheduled(stack, 'cancel')['id']}", json={"paused": True})
    path = "/v1/instances?workflow=test/cancel&status=pending,running,waiting"
    assert len(stack.client.get(path).json()["items"]) <= 1


def test_a_delayed_start_starts_at_its_time(stack):
    body = stack.deploy(a_document("later", {"cron": "0 0 1 1 *"}))
    (now,) = stack.sql("select to_char(clock_timestamp() + interval '1 s',"
                       " 'YYYY-MM-DD\"T\"HH24:MI:SS.USOF')")[0]  # fmt: skip
    id = stack.start(body, start_at=now + ":00" if now[-3] in "+-" else now)
    run = stack.wait(id)
    assert run["status"] == "completed"
    ((early,),) = stack.sql(
        "select started_at < %s::timestamptz from orchestrator.instances where id = %s", now, id
    )
    assert early is False


def test_the_command_line(stack):
    stack.deploy(a_document("nightly", {"cron": "0 3 * * *", "every": {"hours": 5}}))

    def cli(*arguments: str) -> Any:
        given = ["--url", stack.settings["api_url"], "-o", "json", "schedule", *arguments]
        found = CliRunner().invoke(main, given)
        return json.loads(found.stdout) if found.exit_code == 0 and found.stdout else found

    listed = [each for each in cli("list") if each["workflow"] == "nightly"]
    assert [each["kind"] for each in listed] == ["cron", "every"]
    name = "test/nightly:cron"
    assert [each["due"][11:] for each in cli("next", name, "-n", "3")] == ["03:00:00Z"] * 3
    assert cli("next", listed[0]["id"]) == cli("next", name)
    cli("pause", name, "--reason", "holiday")
    assert scheduled_of(stack, "nightly", "cron")["state"] == "paused"
    cli("resume", name)
    assert scheduled_of(stack, "nightly", "cron")["state"] == "active"
    fired = cli("trigger", name, "-i", '{"n": 1}')
    assert stack.wait(fired["instance"])["output"] == {"fired": True, "input": {"n": 1}}
    made = cli("backfill", name, "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T12:00:00Z")
    assert [each["due"] for each in made] == ["2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"]
    assert [each["reason"] for each in cli("ledger", name, "--limit", "2")] == [
        "manual", "backfill"
    ]  # fmt: skip
    assert cli("next", "test/nightly").exit_code == 2
    assert cli("next", "test/unheard-of").exit_code == 3
    table = CliRunner().invoke(main, ["--url", stack.settings["api_url"], "schedule", "list"])
    assert listed[0]["id"] in table.stdout


def scheduled_of(stack: Stack, name: str, kind: str) -> dict[str, Any]:
    found = stack.client.get(f"/v1/schedules?workflow={name}").json()["items"]
    (chosen,) = [each for each in found if each["kind"] == kind]
    return dict(chosen)
