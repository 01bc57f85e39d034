"""The pictures' data: a version's tasks as blocks, an instance's with the statuses of its steps."""

from __future__ import annotations

from tests.support.api import Api, document, problem
from tests.support.manual_workers import Outside, call


def test_a_version_s_graph_and_that_of_a_dry_run_are_the_same(api: Api) -> None:
    made = document(do=[call("a"), {"loop": {"for": {"in": "${ .x }"}, "do": [call("b")]}}])
    dry = api.post("/v1/workflows?dry_run=true", json=made).json["graph"]
    assert "graph" not in api.post("/v1/workflows", json=made).json
    found = api.get("/v1/workflows/shop/order/versions/1.0.0/graph").json
    assert found == dry
    first, loop = found["nodes"]
    assert first["undo"]["reference"] == "/do/0/a/metadata/compensate"
    assert loop["body"][0]["reference"] == "/do/1/loop/do/0/b"
    assert problem(api.get("/v1/workflows/shop/order/versions/2.0.0/graph")) == "not-found"
    assert problem(api.get("/v1/workflows/bank/order/versions/1.0.0/graph")) == "not-found"


def test_an_instance_s_graph_counts_the_steps_of_each_task(outside: Outside) -> None:
    loop = {"loop": {"for": {"in": "${ [1, 2, 3] }"}, "do": [call("b")]}}
    id = outside.start([call("a"), loop])
    outside.finish(outside.claim(id))
    outside.finish(outside.claim(id))
    found = outside.api.get(f"/v1/instances/{id}/graph").json
    assert [node["name"] for node in found["nodes"]] == ["a", "loop"]
    assert found["states"] == {
        "/do/0/a": {"completed": 1},
        "/do/1/loop": {"running": 1},
        "/do/1/loop/do/0/b": {"completed": 1, "pending": 1},
    }
    outside.claim(id)
    found = outside.api.get(f"/v1/instances/{id}/graph").json
    assert found["states"]["/do/1/loop/do/0/b"] == {"completed": 1, "running": 1}
