"""One trace from the caller through the API and the instance into the users' tasks; its id, with
those of instance, step and attempt, in every log line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.embedded.supervisor import http_ok
from tests.support.api import Api
from tests.support.documents import doc
from tests.support.stack import Stack, free_port

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=x"}


def told(api: Api, headers: dict[str, str]) -> Any:
    """What the start stimulus says of the trace."""
    body = {"workflow": {"namespace": "shop", "name": "traced"}}
    id = api.post("/v1/instances", json=body, headers=headers).json["id"]
    ((data,),) = api.all("select data from orchestrator.stimuli where instance_id = %s", id)
    return data.get("trace")


def test_a_caller_s_trace_is_kept_with_the_start(api: Api) -> None:
    from tests.support.api import document

    api.deploy(document("traced"))
    assert told(api, HEADERS) == HEADERS
    assert told(api, {}) is None
    for wrong in (
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{PARENT}",
        "x",
    ):
        assert told(api, {"traceparent": wrong}) is None
    long = {**HEADERS, "tracestate": "v=" + "x" * 600}
    assert told(api, long) == {"traceparent": HEADERS["traceparent"]}


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of JSON of a log; a worker's banner is none."""
    found = [line for line in path.read_text().splitlines() if line.startswith("{")]
    return [json.loads(line) for line in found]


@pytest.mark.slow
def test_the_users_instrumentation_goes_on_with_the_trace(
    tmp_path: Path, database_url: str, broker_url: str
) -> None:
    spans = tmp_path / "spans.jsonl"
    port = free_port()
    with Stack(tmp_path, database_url, broker_url) as stack:
        stack.api()
        stack.spawn(
            "worker",
            *("-m", "orchestrator.cli", "worker", "-c", "1", "-n", "w@test"),
            env={
                "ORCHESTRATOR_IMPORTS": "tests.celery_apps.traced",
                "ORCHESTRATOR_PROBE_ADDRESS": f"127.0.0.1:{port}",
                "TRACED_FILE": spans,
            },
            ready=http_ok(f"http://127.0.0.1:{port}/readyz"),
            timeout=60,
        )
        outer = {
            "document": {"dsl": "1.0.3", "namespace": "test", "name": "outer", "version": "1.0.0"},
            "do": [
                {"first": {"call": "traced.work", "with": {}}},
                {"inner": {"run": {"workflow": {
                    "namespace": "test", "name": "flow", "version": "1.0.0"}}}},
            ],
        }  # fmt: skip
        stack.deploy(doc({"second": {"call": "traced.work", "with": {}}}))
        started = stack.deploy(outer)
        answer = stack.client.post("/v1/instances", json=started, headers=HEADERS)
        instance = stack.wait(answer.json()["id"])
        assert instance["output"] == {"trace": TRACE}, stack.logs()

        told = map(json.loads, spans.read_text().splitlines())
        found = {
            span["context"]["span_id"]: span
            for span in told
            if "orchestrator.advance" not in span["name"]  # a hint belongs to nobody's trace
        }
        assert {span["context"]["trace_id"] for span in found.values()} == {f"0x{TRACE}"}
        run = [span for span in found.values() if span["name"] == "run/traced.work"]
        assert len(run) == 2  # one of the instance's own, one of its sub-workflow's
        for span in run:
            step = found[span["parent_id"]]
            assert step["name"] in ("step /do/0/first", "step /do/0/second")
            assert step["parent_id"] == f"0x{PARENT}"
            assert step["attributes"]["celery.task_name"] == "traced.work"

        # Whoever writes it, a line within a step names the step, and says nothing twice.
        log = lines(tmp_path / "worker.log")
        own = [line for line in log if line["logger"] == "shop"]
        assert len(own) == 2
        assert own[0]["instance"] == instance["id"] and own[0]["trace_id"] == TRACE
        attempts = {
            (row[0], row[1])
            for row in stack.sql("select id::text, step from orchestrator.attempts")
        }
        assert {(line["attempt"], line["step"]) for line in own} == attempts
        ended = [line for line in log if "succeeded in" in line["message"]]
        assert {line["attempt"] for line in ended if line["task"] == "traced.work"} == {
            attempt for attempt, _ in attempts
        }
        assert not [line for line in log if "data" in line]
