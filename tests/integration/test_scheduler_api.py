"""Schedules through the API: made by deploying, looked at, paused, triggered, caught up on."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from orchestrator import clock
from orchestrator.ids import new_id
from tests.support.api import Api, document, problem

NIGHTLY = {"cron": "0 3 * * *"}


def deploy(api: Api, schedule, version: str = "1.0.0", **policies) -> str:
    """Deploy `shop/order` with a schedule; returns the schedule's id."""
    made = document(version=version, schedule=schedule)
    made["document"]["metadata"] = {"schedule": policies}
    api.deploy(made)
    (found,) = api.get("/v1/schedules").json["items"]
    return str(found["id"])


def test_deploying_makes_a_schedule_that_says_when_it_is_due(api: Api):
    id = deploy(api, NIGHTLY, timezone="Europe/Berlin", jitter="PT10M")
    found = api.get(f"/v1/schedules/{id}?next=3").json
    names = ("namespace", "workflow", "version", "kind", "state")
    assert [found[name] for name in names] == ["shop", "order", "1.0.0", "cron", "active"]
    assert found["timing"] == {"cron": "0 3 * * *"}
    assert found["policy"] == {"timezone": "Europe/Berlin", "jitter": "PT10M"}
    times = [datetime.fromisoformat(one["due"]) for one in found["next"]]
    assert {at.hour for at in times} <= {1, 2}
    assert found["next"][0]["due"] == found["next_due"]
    assert all(one["due"] <= one["fires_at"] for one in found["next"])
    assert api.get(f"/v1/schedules/{id}?next=0").json["next"] == []


def test_the_list_is_filtered_and_paged(api: Api):
    for name in ("a", "b", "c"):
        api.deploy(document(name, schedule={"every": {"hours": 1}, "cron": "0 0 * * *"}))
    first = api.get("/v1/schedules?limit=4").json
    rest = api.get(f"/v1/schedules?limit=4&cursor={first['next']}").json
    found = [(one["workflow"], one["kind"]) for one in first["items"] + rest["items"]]
    assert found == [(name, kind) for name in "abc" for kind in ("cron", "every")]
    assert rest["next"] is None
    assert len(api.get("/v1/schedules?workflow=b&state=active,paused").json["items"]) == 2
    assert api.get("/v1/schedules?state=stopped").json["items"] == []
    assert api.get("/v1/schedules?state=asleep").status_code == 400


def test_pausing_and_resuming_is_audited(api: Api):
    id = deploy(api, NIGHTLY)
    paused = api.patch(f"/v1/schedules/{id}", json={"paused": True, "reason": "stocktaking"})
    assert (paused.status_code, paused.json["state"]) == (200, "paused")
    assert paused.json["next"] == []
    resumed = api.patch(f"/v1/schedules/{id}", json={"paused": False})
    assert resumed.json["state"] == "active"
    assert len(resumed.json["next"]) == 1
    assert api.all(
        "select action, target, reason from orchestrator.audit_log order by id offset 1"
    ) == [
        ("schedule.pause", id, "stocktaking"),
        ("schedule.resume", id, None),
    ]


def test_triggering_starts_an_instance_once_for_a_key(api: Api):
    id = deploy(api, NIGHTLY)
    key = {"Idempotency-Key": new_id()}
    first = api.post(f"/v1/schedules/{id}/trigger", json={"input": {"n": 1}}, headers=key)
    assert first.status_code == 202
    assert first.headers["Location"] == f"/v1/instances/{first.json['instance']}"
    assert (first.json["reason"], first.json["outcome"]) == ("manual", "started")
    again = api.post(f"/v1/schedules/{id}/trigger", json={"input": {"n": 1}}, headers=key)
    assert again.json == first.json
    found = api.get(first.headers["Location"]).json
    assert found["input"] == {"n": 1}
    assert found["labels"]["schedule"] == id
    assert len(api.get(f"/v1/instances?label.schedule={id}").json["items"]) == 1
    assert api.post(f"/v1/schedules/{id}/trigger").status_code == 202


def test_a_backfill_and_the_ledger(api: Api):
    id = deploy(api, NIGHTLY)
    body = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-05T03:00:00Z"}
    made = api.post(f"/v1/schedules/{id}/backfill", json=body)
    assert made.status_code == 202
    days = [f"2026-01-0{n}T03:00:00Z" for n in range(1, 6)]
    assert [one["due"] for one in made.json["items"]] == days
    assert api.post(f"/v1/schedules/{id}/backfill", json=body).json == {"items": []}
    first = api.get(f"/v1/schedules/{id}/firings?limit=2").json
    assert [one["due"] for one in first["items"]] == days[:2:-1]
    rest = api.get(f"/v1/schedules/{id}/firings?limit=9&cursor={first['next']}").json
    assert [one["due"] for one in rest["items"]] == days[2::-1]
    (one,) = api.get(f"/v1/schedules/{id}/firings?until=2026-01-01T12:00:00Z").json["items"]
    assert (one["reason"], one["outcome"], one["version"]) == ("backfill", "started", "1.0.0")
    late = datetime.fromisoformat(one["fired_at"]) - datetime.fromisoformat(one["fires_at"])
    assert one["delay_seconds"] == pytest.approx(late.total_seconds())
    assert api.get(f"/v1/schedules/{id}/firings?outcome=skipped").json["items"] == []


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"from": "2026-01-01T00:00:00Z"}, 422, "invalid-request"),
        ({"from": "yesterday", "to": "2026-01-01T00:00:00Z"}, 422, "invalid-request"),
        ({"from": "2020-01-01T00:00:00Z", "to": "2025-01-01T00:00:00Z"}, 422, "invalid-request"),
        ({"from": "0001-01-01T00:00:00Z", "to": "2025-01-01T00:00:00Z"}, 422, "invalid-request"),
        ({"from": "2026-01-01T00:00:00Z", "to": "3026-01-01T00:00:00Z"}, 409, "conflict"),
    ],
)
def test_a_backfill_that_cannot_be_is_refused(api: Api, body, status, kind):
    id = deploy(api, NIGHTLY)
    before = api.content()
    refused = api.post(f"/v1/schedules/{id}/backfill", json=body)
    assert (refused.status_code, problem(refused)) == (status, kind)
    assert api.content() == before


def test_a_new_version_takes_over_and_deleting_stops(api: Api):
    id = deploy(api, {"every": {"hours": 1}})
    before = api.get(f"/v1/schedules/{id}").json
    assert deploy(api, {"every": {"hours": 1}}, "2.0.0") == id
    after = api.get(f"/v1/schedules/{id}").json
    assert (after["version"], after["next_due"]) == ("2.0.0", before["next_due"])
    assert api.delete("/v1/workflows/shop/order").status_code == 204
    stopped = api.get(f"/v1/schedules/{id}").json
    assert (stopped["state"], stopped["next_due"]) == ("stopped", None)
    for path in (f"/v1/schedules/{id}/trigger",):
        assert problem(api.post(path)) == "conflict"
    api.deploy(document(schedule={"every": {"hours": 2}}))
    assert api.get(f"/v1/schedules/{id}").json["state"] == "active"


def test_a_workflow_that_is_in_use_keeps_its_schedule(api: Api):
    id = deploy(api, NIGHTLY)
    api.post(f"/v1/schedules/{id}/trigger")
    assert problem(api.delete("/v1/workflows/shop/order")) == "in-use"
    assert api.get(f"/v1/schedules/{id}").json["state"] == "active"


def test_a_rehearsal_makes_no_schedule(api: Api):
    assert (
        api.post("/v1/workflows?dry_run=true", json=document(schedule=NIGHTLY)).status_code == 200
    )
    assert api.get("/v1/schedules").json["items"] == []


@pytest.mark.parametrize(
    ("schedule", "pointer"),
    [
        ({"cron": "61 * * * *"}, "/schedule/cron"),
        ({"cron": "0 0 30 2 *"}, "/schedule/cron"),
        ({"every": {"seconds": 0}}, "/schedule/every"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused_with_its_place(api: Api, schedule, pointer):
    refused = api.post("/v1/workflows", json=document(schedule=schedule))
    assert (refused.status_code, problem(refused)) == (422, "invalid-document")
    assert refused.json["errors"][0]["pointer"] == pointer


def test_unknown_and_foreign_schedules_are_not_found(api: Api):
    assert api.get(f"/v1/schedules/{new_id()}").status_code == 404
    assert api.get(f"/v1/schedules/{new_id()}/firings").status_code == 404
    assert api.post(f"/v1/schedules/{new_id()}/trigger").status_code == 404
    assert api.patch(f"/v1/schedules/{new_id()}", json={"paused": True}).status_code == 404


def test_the_next_due_times_are_in_the_future(api: Api):
    id = deploy(api, {"every": {"seconds": 90}})
    now = clock.now()
    times = [
        datetime.fromisoformat(one["due"])
        for one in api.get(f"/v1/schedules/{id}?next=1000").json["next"]
    ]
    assert len(times) == 1000
    assert now < times[0] < now + timedelta(seconds=91)


def test_a_change_to_what_has_changed_since_is_refused(api: Api):
    path = f"/v1/schedules/{deploy(api, NIGHTLY)}"
    seen = {"If-Match": api.get(path).headers["ETag"]}
    changed = api.patch(path, json={"paused": True}, headers=seen)
    assert changed.status_code == 200
    for refused in (
        api.patch(path, json={"paused": False}, headers=seen),
        api.post(f"{path}/trigger", headers=seen),
    ):
        assert (refused.status_code, problem(refused)) == (412, "precondition-failed")
    assert api.get(path).headers["ETag"] == changed.headers["ETag"]
    now = {"If-Match": changed.headers["ETag"]}
    assert api.patch(path, json={"paused": False}, headers=now).status_code == 200
