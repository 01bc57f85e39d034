"""Lists, whatever they are filtered and sorted by: the very rows that a naive search finds.

`tests.benchmarks.size` is about how fast; this is about which.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from orchestrator import clock
from orchestrator.database.instances import instance_filters
from orchestrator.ids import new_id
from orchestrator.json_codec import dumps
from tests.support.api import Api, document

STATUSES = ("pending", "running", "waiting", "suspended", "cancelled", "faulted", "completed")
BEGAN = clock.now().replace(microsecond=0) - timedelta(days=1)
ROWS = 250

Row = dict[str, Any]


@pytest.fixture
def rows(api: Api) -> list[Row]:
    """Instances of all kinds, put in by hand; whoever starts late starts long after."""
    chance = random.Random(7)
    made = [_row(chance, number) for number in range(ROWS)]
    for row in made:
        api.all(
            "insert into orchestrator.instances (id, namespace, workflow_id, workflow, version,"
            " business_id, status, compensation, labels, created_at, started_at)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            *(row["id"], row["namespace"], row["id"], row["workflow"], row["version"]),
            *(row["business_id"], row["status"], row["compensation"]),
            dumps({"env": row["env"], row["key"]: "1"}) if row["env"] else None,
            *(row["created_at"], row["started_at"]),
        )
    return made


def _row(chance: random.Random, number: int) -> Row:
    status = chance.choice(STATUSES)
    # Several are created at the same time: the id decides.
    created = BEGAN + timedelta(seconds=10 * (number // 3))
    late = chance.choice((0.01, 0.01, 59, 61, 400))
    return {
        "id": f"{chance.getrandbits(32):08x}-0000-7000-8000-{number:012x}",
        "namespace": chance.choice(("shop", "shop", "bank", "post")),
        "workflow": chance.choice(("order", "refund")),
        "version": chance.choice(("1.0.0", "1.1.0", "2.0.0")),
        "business_id": chance.choice((f"order-{number}", f"Order_{number}", None)),
        "status": status,
        "compensation": chance.choice(("none", "none", "completed", "failed")),
        "env": chance.choice(("prod", "test", None)),
        "key": chance.choice(("a", "b")),
        "created_at": created,
        "started_at": None if status == "pending" else created + timedelta(seconds=late),
    }


def questions(rows: list[Row]) -> list[dict[str, str]]:
    """Combinations of filters, chosen at random but the same each time."""
    chance = random.Random(11)
    some = [row["created_at"] for row in rows[:: ROWS // 6]]
    choices: dict[str, list[str]] = {
        "status": ["running", "faulted,completed", ",".join(STATUSES)],
        "compensation": ["none", "completed,failed", "none,failed", "running"],
        "namespace": ["shop", "bank", "none"],
        "workflow": ["order", "shop/refund", "bank/order/1.0.0", "none"],
        "label.env": ["prod"],
        "label.a": ["1"],
        "started_after": [time.isoformat() for time in some],
        "started_before": [time.isoformat() for time in some],
        "q": ["order", "order-1", "Order_", "refund", rows[5]["id"], rows[6]["id"][:2], "zzz"],
        "business_id": ["order-3"],
        "id": [rows[7]["id"], rows[8]["id"][:8].upper(), rows[9]["id"][:1], rows[9]["id"][:15]],
    }
    alone = [{name: value} for name, values in choices.items() for value in values]
    mixed = [
        {name: chance.choice(choices[name]) for name in chance.sample(sorted(choices), 2 + n % 2)}
        for n in range(40)
    ]
    return [{}, *alone, *mixed]


def naive(rows: list[Row], asked: dict[str, str]) -> list[Row]:
    """The rows that a question is about."""
    return [row for row in rows if all(_fits(row, name, asked[name]) for name in asked)]


def _fits(row: Row, name: str, value: str) -> bool:
    if name == "id":
        return str(row["id"]).startswith(value.lower())
    if name == "workflow":
        names = (row["namespace"], row["workflow"], row["version"])
        parts = tuple(value.split("/"))
        return names[1] == value if len(parts) == 1 else names[: len(parts)] == parts
    if name == "q":
        ids = (row["id"], row["business_id"] or "")
        return row["workflow"] == value or any(id.startswith(value) for id in ids)
    if name.startswith("label."):
        key = name.removeprefix("label.")
        return bool(row["env"]) and (row["env"] == value if key == "env" else row["key"] == key)
    if name.startswith("started_"):
        limit = datetime.fromisoformat(value)
        started = row["started_at"]
        if started is None:
            return False
        return bool(started > limit if name == "started_after" else started < limit)
    return row[name] in value.split(",")


def test_every_filter_finds_the_rows_that_a_naive_search_finds(api: Api, rows: list[Row]):
    for number, asked in enumerate(questions(rows)):
        sort = ("created_at", "-created_at", "started_at", "-started_at")[number % 4]
        by = sort.removeprefix("-")
        expected = sorted(
            (row for row in naive(rows, asked) if row[by] is not None),
            key=lambda row: (row[by], row["id"]),
            reverse=sort.startswith("-"),
        )
        found = _paged(api, {**asked, "sort": sort, "limit": "40"})
        assert found == [row["id"] for row in expected], (asked, sort)


def test_an_instance_is_found_by_the_id_of_an_attempt(api: Api, rows: list[Row]):
    mine, other = rows[0], next(row for row in rows if row["namespace"] != rows[0]["namespace"])
    attempts = (new_id(), new_id(), new_id())
    for attempt, row in zip(attempts, (mine, mine, other), strict=True):
        api.all(
            "insert into orchestrator.attempts (id, instance_id, step, number, starts, task, queue)"
            " values (%s, %s, 1, 1, 1, 'pay', 'celery')",
            *(attempt, row["id"]),
        )
    for attempt, row in zip(attempts, (mine, mine, other), strict=True):
        assert _paged(api, {"attempt": attempt, "sort": "created_at"}) == [row["id"]]
        assert _paged(api, {"attempt": attempt, "id": row["id"][:8]}) == [row["id"]]
        assert _paged(api, {"attempt": attempt, "namespace": row["namespace"]}) == [row["id"]]
    assert not _paged(api, {"attempt": attempts[0], "namespace": other["namespace"]})
    assert not _paged(api, {"attempt": attempts[0], "id": other["id"]})
    assert not _paged(api, {"attempt": new_id()})
    for wrong in ("attempt=1", "attempt=", "id=", "id=xyz", "id=-1", f"id={mine['id']}0"):
        assert api.get(f"/v1/instances?{wrong}").status_code == 400


def test_the_beginning_of_many_ids_finds_them_too(
    api: Api, rows: list[Row], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(instance_filters, "_FEW", 2)
    begin = rows[9]["id"][:1]
    asked = {"id": begin, "sort": "created_at"}
    expected = sorted(
        (row for row in rows if row["id"].startswith(begin)),
        key=lambda row: (row["created_at"], row["id"]),
    )
    assert len(expected) > 2
    assert _paged(api, asked) == [row["id"] for row in expected]


def _paged(api: Api, asked: dict[str, str]) -> list[str]:
    found: list[str] = []
    more: dict[str, str] = {}
    while True:
        page = api.get(f"/v1/instances?{urlencode({**asked, **more})}").json
        found += [item["id"] for item in page["items"]]
        if page["next"] is None:
            return found
        more = {"cursor": page["next"]}


def test_counts_are_those_of_the_rows(api: Api, rows: list[Row]):
    for asked in questions(rows):
        found = api.get(f"/v1/instances/counts?{urlencode(asked)}").json["items"]
        expected = naive(rows, asked)
        assert {each["status"]: each["count"] for each in found} == {
            status: sum(row["status"] == status for row in expected)
            for status in (asked.get("status") or ",".join(STATUSES)).split(",")
        }, asked
        assert all(each["exact"] for each in found)


def test_no_more_are_counted_than_is_quick(api: Api):
    api.deploy(document())
    api.all(
        "insert into orchestrator.instances (id, namespace, workflow_id, workflow, version)"
        " select gen_random_uuid(), 'shop', gen_random_uuid(), 'order', '1.0.0'"
        " from generate_series(1, 10001)"
    )
    (count,) = api.get("/v1/instances/counts?status=pending").json["items"]
    assert count == {"status": "pending", "count": 10_000, "exact": False}


def test_the_search_for_a_beginning_that_many_have(api: Api):
    api.all(
        "insert into orchestrator.instances (id, namespace, workflow_id, workflow, version,"
        " business_id) select gen_random_uuid(), 'shop', gen_random_uuid(), 'order', '1.0.0',"
        " 'order-' || n from generate_series(1, 2200) n"
    )
    assert len(_paged(api, {"q": "order-", "limit": "1000"})) == 2200
    assert len(_paged(api, {"q": "order-11", "limit": "1000"})) == 1 + 10 + 100
