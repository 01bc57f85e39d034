"""What the specification's official examples do when they are run, for those of built kinds."""

from __future__ import annotations

import json
import shutil
from typing import Any

from tests.support.conformance_stubs import Case
from tests.support.official_schema import examples

PET = {"id": 1, "name": "pet 1", "status": "available"}
OAUTH2 = {
    "authority": "http://keycloak/realms/fake-authority",
    "grant": "client_credentials",
    "client": {"id": "workflow-runtime-id", "secret": "workflow-runtime-secret"},
}
#: One secret serves both examples: OAuth2's endpoint is told, OpenID Connect's is discovered.
SECRETS = {"mySecret": json.dumps({**OAUTH2, "endpoints": {"token": "/auth/token"}})}

_HOT = {"type": "com.fake-hospital.vitals.measurements.temperature", "data": {"temperature": 39}}
_COOL = {**_HOT, "data": {"temperature": 37}}
_FAST = {"type": "com.fake-hospital.vitals.measurements.bpm", "data": {"bpm": 120}}
_OUT = {"type": "com.fake-hospital.patient.checked-out", "data": {}}
_STARTED = {"type": "com.virtual-wf-powered-race.events.race.started.v1", "data": {}}
_LOW = {
    "patient": {"id": "p", "name": "Ann", "room": {"number": 7}, "vitals": {"bpm": 30}},
    "timestamp": "2026-01-01T00:00:00Z",
}
_REGISTER = """
document: {dsl: '1.0.3', namespace: test, name: register-customer, version: '0.1.0'}
do:
  - register:
      set: { registered: '${ .customer }' }
"""
_ERROR = {"type": "https://serverlessworkflow.io/errors/not-implemented", "status": 500}
_DETAIL = "The workflow 'raise-not-implemented:0.1.0' is a work in progress and cannot be run yet"


def _ends(output: Any = None, *, input: Any = None, events: Any = (), **more: Any) -> Case:
    """It completes, with this output if one is told."""
    expect = {"status": "completed", "output": output, **more.pop("expect", {})}
    return {"input": input, "events_in": list(events), "expect": expect, **more}


def _faults(input: Any = None, **error: Any) -> Case:
    return {"input": input, "expect": {"status": "faulted", "error": error}}


def _waits(*events: Any) -> Case:
    return {"input": {}, "events_in": list(events), "expect": {"status": "waiting"}}


def _with(path: list[Any], value: Any) -> dict[str, Any]:
    return {"asserts": [{"path": path, "equals": value}]}


_PET_1 = _ends(PET, input={"petId": 1})
_SEARCH = _ends({"count": 1, "results": [{"name": "Luke"}]}, input={"searchQuery": "Luke"})
_ADULT = {"customer": {"age": 18}, "bet": {}}

EXPECTED: dict[str, Case] = {
    "accumulate-room-readings": _waits(),
    "authentication-bearer-uri-format": _ends(PET, input={"petId": 1, "token": "t"}),
    "authentication-bearer": _ends(PET, input={"token": "t"}),
    "authentication-oauth2-secret": _PET_1,
    "authentication-oauth2": _PET_1,
    "authentication-oidc-secret": _PET_1,
    "authentication-oidc": _PET_1,
    "authentication-reusable": _ends(PET, input={"petId": 1, "token": "t"}),
    "call-http-endpoint-interpolation-shorthand": _PET_1,
    "call-http-endpoint-interpolation": _PET_1,
    "call-http-query-headers-expressions": _SEARCH,
    "call-http-query-parameters": _SEARCH,
    "call-http-redirect": _SEARCH,
    "call-openapi-redirect": _ends(expect=_with([0, "id"], 1)),
    "call-openapi": _ends(expect=_with([0, "id"], 1)),
    "conditional-task": _ends({"ok": True}, input=_ADULT),
    "do-multiple": _ends({**PET, "status": "sold"}, input={"petId": 1}),
    "do-single": _PET_1,
    "emit": _ends(expect=_with(["type"], "com.petstore.order.placed.v1")),
    "for": _ends({"pets": [{"id": 1}]}, input={"pets": [{"id": 1}]}),
    "fork": _ends({"ok": True}, input={"patient": {"fullName": "Ann"}, "room": {"number": 1}}),
    "listen-to-all read-envelope": _ends(
        events=(_HOT, _FAST), input={}, expect=_with([1, "data"], {"bpm": 120})
    ),
    "listen-to-all": _ends([_HOT["data"], _FAST["data"]], events=(_COOL, _HOT, _FAST)),
    "listen-to-any-filter": _ends([_FAST["data"]], events=(_COOL, _FAST)),
    "listen-to-any-forever-foreach": _waits(_HOT, _OUT),
    "listen-to-any-until-condition": _ends(
        [each["data"] for each in (_HOT, _FAST, _COOL, _OUT)], events=(_HOT, _FAST, _COOL, _OUT)
    ),
    "listen-to-any-until-consumed": _ends([_HOT["data"]], events=(_HOT, _OUT)),
    "listen-to-any": _ends([_OUT["data"]], events=(_OUT,)),
    "listen-to-one": _ends({"ok": True}, events=(_STARTED,)),
    "mock-service-extension": _ends({"sample": True}),
    "raise-inline": _faults(**_ERROR, detail=_DETAIL),
    "raise-reusable": _faults(**_ERROR, detail=_DETAIL),
    "run-shell-stdin-and-arguments": _ends("STDIN was: Hello World\nARGS are Foo Bar"),
    "run-script-with-stdin-and-arguments": _ends(
        "stdin >  Hello Workflow\narg >  hello\nenv >  bar"
    ),
    "run-subflow": _ends({"registered": ".user"}, also_register=["register"]),
    "schedule-cron": _ends({"ok": True}, input={}),
    "schedule-event-driven": _ends({"ok": True}, input=[{"data": _LOW}]),
    "set-expression": _ends({"type": "t"}, input=[{"type": "t"}]),
    "set": _ends({"startEvent": {"type": "t"}}, input=[{"type": "t"}]),
    "star-wars-homeworld": _ends({"name": "Tatooine"}, input={"id": 1}),
    "switch-then-string": _ends(
        {"inventory": "clear", "items": 1, "address": "Elmer St"}, input={"orderType": "physical"}
    ),
    "try-catch-retry-inline": _PET_1,
    "try-catch-retry-reusable": _PET_1,
    "try-catch-then": _ends({"error": "$error"}, input={"petId": 404}),
    "try-catch-then-directive": _ends({"status": "failed"}),
    "try-catch": _ends({"petId": 404}, input={"petId": 404}),
    "wait-duration-inline": _ends({}, input={}),
    "wait-duration-iso8601": _ends({}, input={}),
    "call-custom-function-inline": _ends(expect=_with(["id"], 69)),
    "for-inline-array": _ends(expect=_with(["processed", 2, "name"], "blue")),
}


def runnable() -> list[Case]:
    """Those whose end is known, as cases."""
    return [
        _case(name, text)
        for name, text in examples()
        if name.partition("/")[2] in EXPECTED and _can_run(name)
    ]


def _can_run(name: str) -> bool:
    """Whether the machine has what an example needs: a script in JavaScript needs node."""
    return "run-script" not in name or shutil.which("node") is not None


def _case(name: str, text: str) -> Case:
    texts = {name: text, "register": _REGISTER}
    expected = EXPECTED[name.partition("/")[2]]
    events = [{"source": "https://x.example", **each} for each in expected.get("events_in") or ()]
    return {"id": name, "file": name, "needs": [], "texts": texts, **expected, "events_in": events}
