"""Other runtimes' cases, run by `orchestrator.testing` with stubs for what they call."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from orchestrator.core import Bounds
from orchestrator.testing import HttpRequest, Run, Workflows, response
from tests.scenarios.test_conformance_core import OURS
from tests.support import spec
from tests.support.conformance_cases import as_event
from tests.support.conformance_stubs import Routes
from tests.support.http_stub import Answer, Request

OTHERS = [] if spec.missing(spec.CASES, "ORCHESTRATOR_CASES") else list(spec.cases())

#: What the cases may need to be run here.
HERE = {
    "none",
    "http",
    "events",
    "subflow",
    "secrets",
    "extensions",
    "time",
    "control:cancel",
    "control:suspend/resume",
    "lifecycle",
}


def _is_here(case: dict[str, Any]) -> bool:
    schedules = "schedule" in case["id"]
    valid = case["expect"]["status"] not in ("invalid", "valid")
    return set(case["needs"]) <= HERE and not schedules and valid and case["id"] not in OURS


@pytest.mark.skipif(not OTHERS, reason=spec.missing(spec.CASES, "ORCHESTRATOR_CASES") or "")
@pytest.mark.parametrize(
    "case", [one for one in OTHERS if _is_here(one)], ids=lambda one: one["id"]
)
def test_other_runtimes_cases(case: dict[str, Any]) -> None:
    described = case.get("http_stub")
    if isinstance(described, str):
        pytest.skip(f"it needs a server that is not HTTP: {described}")
    if described and any(route.get("delay_ms", 0) > 500 for route in described["routes"]):
        pytest.skip("it is about a slow server: requests take no time here")
    workflows = Workflows(
        http=_answers(described) if described else None,
        secrets=case.get("secrets"),
        limits=Bounds(other_namespaces=True),
    )
    for file in case.get("also_register") or ():
        workflows.add(spec.case_document(case, file))
    run = workflows.start(spec.case_document(case), case["input"])
    _control(run, case)
    for number, event in enumerate(case.get("events_in") or ()):
        run.advance(milliseconds=event.get("delay_ms", 0))
        workflows.send(as_event(case, event, number), namespace=run.workflow.split("/")[0])
    if case["expect"]["status"] != "waiting":
        run.finish()
    spec.check_case(case, status=run.status, output=run.output, error=run.error)


def _answers(described: dict[str, Any]) -> dict[str, Any]:
    """The case's server as stubs: one for all methods and addresses."""
    routes = Routes(described["routes"])

    def answer(request: HttpRequest) -> Any:
        parts = urlsplit(request.url)
        given = routes.answer(
            Request(
                request.method,
                parts.path or "/",
                tuple(parse_qsl(parts.query, keep_blank_values=True)),
                {name.lower(): value for name, value in request.headers.items()},
                request.content or b"",
            )
        )
        body = given.body if given.body is not None else json.dumps(given.json).encode()
        return response(given.status, body, _headers(given))

    methods = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
    return {f"{method} *": answer for method in methods}


def _headers(given: Answer) -> dict[str, str]:
    json_body = {"content-type": "application/json"} if given.body is None else {}
    return {**json_body, **given.headers}


def _control(run: Run, case: dict[str, Any]) -> None:
    if case["expect"]["status"] == "cancelled":
        run.cancel()
    elif "control:suspend/resume" in case["needs"]:
        assert run.suspend().status == "suspended"
        run.resume()
