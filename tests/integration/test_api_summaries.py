"""Where the instances of a list stand and why; filters, order and counts by it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.database.instances import attention_filters
from orchestrator.database.workers import worker_queries
from orchestrator.database.workers.worker_queries import WorkerRow
from orchestrator.ids import new_id
from tests.support.api import Api, document
from tests.support.manual_workers import SAGA, Outside, call

NO = {"type": "https://shop.example/no", "status": 500, "title": "No", "detail": "it broke"}
RETRIED = {
    "try": [{"a": {"call": "a"}}],
    "catch": {"retry": {"delay": {"hours": 1}, "limit": {"attempt": {"count": 4}}}},
}


def listed(api: Api, query: str = "") -> dict[str, Any]:
    items = api.get(f"/v1/instances?{query}").json["items"]
    return {each["id"]: each for each in items}


def why(api: Api, id: str) -> tuple[str, str]:
    found = listed(api)[id]["why"]
    return found["kind"], found["tone"]


def facets(api: Api, query: str = "") -> dict[str, dict[str, int]]:
    names = "attention,waiting_for,compensation,workflow,error"
    answer = api.get(f"/v1/instances/counts?facets={names}&{query}").json
    return {
        name: {each["value"]: each["count"] for each in values if each["count"]}
        for name, values in answer["facets"].items()
    }


@pytest.fixture
def standing(outside: Outside) -> dict[str, str]:
    """Instances that stand in different ways, by what each is an example of."""
    api = outside.api
    ids = {
        "running": outside.start([call("a")], "running"),
        "no-worker": outside.start([{"x": {"call": "x", "metadata": {"queue": "gpu"}}}], "gpu"),
        "event": outside.start(
            [{"l": {"listen": {"to": {"one": {"with": {"type": "t.x"}}}}}}], "ev"
        ),
        "timer": outside.start([{"w": {"wait": {"hours": 1}}}], "timed"),
        "retry": outside.start([{"t": RETRIED}], "retried"),
        "undone": outside.start(SAGA, "undone"),
        "done": outside.start([{"s": {"set": {"n": 1}}}], "done"),
    }
    outside.claim(ids["running"])
    outside.work(ids["retry"], "a")
    outside.work(ids["undone"], "c")
    api.deploy(document("held", do=[{"a": {"call": "a"}}]) | {})
    ids["held"] = api.start("held")
    outside.state.process_inbox(ids["held"])
    outside.finish(outside.claim(ids["held"]), NO)
    run = {"workflow": {"namespace": "shop", "name": "gpu", "version": "1.0.0"}}
    ids["parent"] = outside.start([{"r": {"run": run}}], "parent")
    ((child,),) = api.all(
        "select id::text from orchestrator.instances where parent_instance = %s", ids["parent"]
    )
    outside.state.process_inbox(child)
    ids["child"] = child
    return ids


def test_each_row_says_where_its_instance_stands_and_why(
    outside: Outside, standing: dict[str, str]
) -> None:
    rows = {name: listed(outside.api)[id] for name, id in standing.items()}
    assert {name: (row["why"]["kind"], row["why"]["tone"]) for name, row in rows.items()} == {
        "running": ("running", "calm"),
        "no-worker": ("no-worker", "alarm"),
        "event": ("event", "calm"),
        "timer": ("timer", "calm"),
        "retry": ("retry", "soon"),
        "undone": ("ended", "alarm"),
        "done": ("ended", "calm"),
        "held": ("ended", "alarm"),
        "parent": ("workflow", "alarm"),
        "child": ("no-worker", "alarm"),
    }
    for name, id in standing.items():
        whole = outside.api.get(f"/v1/instances/{id}").json
        for member in ("steps", "why", "changed_at"):
            assert whole[member] == rows[name][member]
        causes = outside.api.get(f"/v1/instances/{id}/why").json["causes"]
        assert rows[name]["why"]["kind"] in {each["kind"] for each in causes}
        if name != "parent":  # its cause is that of its child
            assert rows[name]["why"]["tone"] == causes[0]["tone"]
    (step,) = rows["retry"]["steps"]
    assert (step["name"], step["attempt"], step["max"]) == ("t", 2, 5)
    assert step["retry_at"] == rows["retry"]["why"]["until"]
    assert rows["retry"]["why"]["message"] == "Retry 2 of 5"
    assert rows["running"]["why"]["message"] == "Runs on w"
    assert rows["event"]["why"]["message"] == "Waits for the event t.x"
    assert "gpu" in rows["parent"]["why"]["message"]
    assert rows["held"]["error"] == {**NO, "instance": "/do/0/a"}
    assert rows["held"]["why"]["message"] == "No: it broke"
    assert rows["done"]["steps"] == []
    history = outside.api.get(f"/v1/instances/{standing['done']}/history").json["items"]
    assert rows["done"]["changed_at"] == history[-1]["at"]


def test_filters_by_what_is_awaited_and_by_what_needs_attention(
    outside: Outside, standing: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    of = {id: name for name, id in standing.items()}
    expected = {
        "attention=stuck": {"no-worker", "parent", "child"},
        "attention=retrying": {"retry"},
        "attention=held": {"held"},
        "attention=dead_letter": set(),
        "attention=any": {"no-worker", "parent", "child", "retry", "held"},
        "attention=held,retrying&status=waiting": {"retry"},
        "waiting_for=event": {"event"},
        "waiting_for=timer": {"timer"},
        "waiting_for=retry": {"retry"},
        "waiting_for=workflow": {"parent"},
        "waiting_for=task": {"running", "no-worker", "child"},
        "waiting_for=task,event&attention=stuck": {"no-worker", "child"},
        "error.type=https://shop.example/no": {"held", "undone"},
        "error.type=https://shop.example/no&attention=held": {"held"},
        "error.type=other": set(),
    }
    for few in (attention_filters.FEW, 0):
        monkeypatch.setattr(attention_filters, "FEW", few)
        for query, names in expected.items():
            # The alarms of many children are not passed on.
            left_out = {"parent"} if not few and ("stuck" in query or "any" in query) else set()
            found = {of[id] for id in listed(outside.api, query)}
            assert found == names - left_out, (few, query)


def test_what_needs_attention_comes_first_by_page(
    outside: Outside, standing: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    attended = {standing[name] for name in ("no-worker", "parent", "child", "retry", "held")}
    newest = list(listed(outside.api))
    expected = [id for id in newest if id in attended] + [id for id in newest if id not in attended]
    for limit in range(1, len(standing) + 2):
        found: list[str] = []
        cursor = ""
        while True:
            page = outside.api.get(f"/v1/instances?sort=attention&limit={limit}&cursor={cursor}")
            found += [each["id"] for each in page.json["items"]]
            if not page.json["next"]:
                break
            cursor = page.json["next"]
        assert found == expected, limit


def test_facets_ignore_their_own_filter_and_heed_the_others(
    outside: Outside, standing: dict[str, str]
) -> None:
    found = facets(outside.api)
    assert found["attention"] == {"stuck": 3, "retrying": 1, "held": 1}
    assert found["waiting_for"] == {"task": 3, "event": 1, "timer": 1, "retry": 1, "workflow": 1}
    assert found["compensation"] == {"completed": 1, "none": 9}
    assert found["workflow"]["shop/gpu"] == 2
    assert found["error"] == {"https://shop.example/no": 2}
    assert facets(outside.api, "attention=held")["attention"] == found["attention"]
    stuck = facets(outside.api, "attention=stuck")
    assert stuck["waiting_for"] == {"task": 2, "workflow": 1}
    assert stuck["workflow"] == {"shop/gpu": 2, "shop/parent": 1}
    assert facets(outside.api, "workflow=shop/held")["attention"] == {"held": 1}


def test_a_worker_that_comes_ends_the_alarm(outside: Outside, standing: dict[str, str]) -> None:
    row = WorkerRow(new_id(), "g", 8, "prefork", 1, ("gpu",), ("x",))
    worker_queries.register(outside.api.database, row)
    outside.api.all("update orchestrator.workers set free_slots = 1")
    assert why(outside.api, standing["child"])[1] == "soon"
    assert why(outside.api, standing["parent"])[1] == "soon"
    assert set(listed(outside.api, "attention=stuck")) == set()


def test_a_dead_letter_and_a_suspended_instance(outside: Outside) -> None:
    id = outside.start([{"a": {"call": "a", "metadata": {"maxStarts": 1}}}])
    outside.lose(id)
    assert why(outside.api, id) == ("dead-letter", "alarm")
    assert set(listed(outside.api, "attention=dead_letter")) == {id}
    assert set(listed(outside.api, "attention=outcome_unknown")) == {id}
    other = outside.start([{"a": {"call": "a"}}], "other")
    outside.command(other, "suspend", reason="lunch")
    found = listed(outside.api)[other]["why"]
    assert (found["kind"], found["tone"]) == ("suspended", "calm")
    assert found["message"] == "Suspended by anonymous: lunch"
