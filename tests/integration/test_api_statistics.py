"""What the tasks of a workflow did in a time range, and how two versions differ."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from orchestrator import clock
from tests.support.api import Api, document, problem
from tests.support.manual_workers import Outside, call


def statistics(api: Api, **query: Any) -> Any:
    return api.get(f"/v1/workflows/shop/order/statistics?{urlencode(query)}").json


def test_statistics_count_each_task_s_steps(outside: Outside) -> None:
    api = outside.api
    api.deploy(document(do=[call("a"), {"b": {"call": "b"}}]))
    first, second, third = (api.start() for _ in range(3))
    outside.work(first)
    outside.work(second, "b")
    outside.state.process_inbox(third)
    found = statistics(api)
    assert {name: found[name] for name in ("started", "completed", "faulted", "waiting")} == {
        "started": 3, "completed": 1, "faulted": 1, "waiting": 1,
    }  # fmt: skip
    assert found["undone"] == 1
    assert found["exact"]
    assert found["median_ms"] > 0
    tasks = {each["name"]: each for each in found["tasks"] if "undo" not in each["reference"]}
    a, b = found["tasks"][0], tasks["b"]
    assert (a["reference"], a["passed"], a["here"]) == ("/do/0/a", 2, {"running": 1})
    assert (b["passed"], b["faulted"]) == (1, 1)
    assert a["p50_ms"] <= a["p95_ms"] <= a["total_ms"]
    later = (clock.now() + timedelta(hours=1)).isoformat()
    empty = statistics(api, since=clock.now().isoformat(), until=later)
    assert (empty["started"], empty["tasks"], empty["median_ms"]) == (0, [], None)
    lost = outside.api.start()
    outside.state.process_inbox(lost)
    outside.claim(lost)
    outside.state.report_lost_process(
        outside.holder, {"type": "lost", "status": 500, "detail": "it died"}
    )
    outside.state.process_inbox(lost)
    assert statistics(api)["tasks"][0]["retried"] == 1


def test_what_is_wrong_is_refused(api: Api) -> None:
    api.deploy(document())
    base = "/v1/workflows/shop"
    assert problem(api.get(f"{base}/none/statistics")) == "not-found"
    assert problem(api.get(f"{base}/order/statistics?version=9")) == "not-found"
    backwards = "since=2030-01-02T00:00:00Z&until=2030-01-01T00:00:00Z"
    assert api.get(f"{base}/order/statistics?{backwards}").status_code == 400
    assert api.get(f"{base}/order/diff?from=1.0.0").status_code == 400
    assert problem(api.get(f"{base}/order/diff?from=1.0.0&to=2.0.0")) == "not-found"


def test_a_diff_names_lines_and_tasks(api: Api) -> None:
    head = "document: {dsl: 1.0.3, namespace: shop, name: order, version: %s}\n"
    old = head % "1.0.0" + (
        "do:\n- a: {call: a, metadata: {compensate: {call: u}}}\n"
        "- l: {for: {in: '${ [1] }'}, do: [{x: {set: {n: 1}}}]}\n- gone: {call: g}\n"
    )
    new = head % "1.1.0" + (
        "do:\n- first: {call: f}\n- a: {call: a, metadata: {compensate: {call: v}}}\n"
        "- l: {for: {in: '${ [1] }'}, do: [{x: {set: {n: 2}}}]}\n"
    )
    for text in (old, new):
        headers = {"Content-Type": "application/yaml"}
        assert api.post("/v1/workflows", data=text, headers=headers).status_code == 201
    found = api.get("/v1/workflows/shop/order/diff?from=1.0.0&to=1.1.0").json
    assert sorted(found["changes"]) == sorted(
        ["first: added", "gone: removed", "a > (undo): `call` changed", "l > x: `set` changed"]
    )
    before = [line["text"] for line in found["lines"] if line["op"] in " -"]
    after = [line["text"] for line in found["lines"] if line["op"] in " +"]
    assert (before, after) == (old.splitlines(), new.splitlines())
    for line in found["lines"]:
        for side, text in (("from", old), ("to", new)):
            if line[side] is not None:
                assert text.splitlines()[line[side] - 1] == line["text"]
    same = api.get("/v1/workflows/shop/order/diff?from=1.0.0&to=1.0.0").json
    assert same["changes"] == []
    assert {line["op"] for line in same["lines"]} == {" "}
