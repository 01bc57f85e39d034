"""Starts instances: the request is checked first, then one statement does the start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.http import idempotency, problem_types, trace_id
from api.http.app_state import caller, state
from api.http.problems import Problem
from api.http.request_body import moment_at, too_large
from api.http.request_evaluation import evaluation
from api.resources import business_ids, serializers
from api.resources.business_ids import CheckedStart
from api.shared.workflow_cache import CachedVersion, Name, missing_message
from orchestrator import clock, json_codec
from orchestrator.core.model import Json
from orchestrator.database.access import idempotency_queries
from orchestrator.database.access.idempotency_queries import IdempotencyKey, RecordedAnswer
from orchestrator.database.instances import instance_queries
from orchestrator.database.instances.instance_queries import NewStart, StartOutcome
from orchestrator.ids import new_id

#: How often a start is tried while newer versions of its workflow are deployed.
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Started:
    """The answer to a start; `first` is False for a replayed answer."""

    answer: RecordedAnswer
    ids: list[str]
    first: bool = True


def start(body: Json) -> Started:
    """Start the instance, or the array of instances, of a valid body.

    A repeated request gets its recorded answer even if it would be refused now, for example
    because the workflow was removed meanwhile. Raises `Problem` 404, 409, 413, 422.
    """
    key = idempotency.key()
    try:
        return _start(body, key)
    except Problem:
        recorded = _recorded_answer(key) if key else None
        if recorded is None:
            raise
        return recorded


def _start(body: Json, key: IdempotencyKey | None) -> Started:
    many = isinstance(body, list)
    requests = [(item, f"/{n}") for n, item in enumerate(body)] if many else [(body, "")]
    at = clock.now()
    for _ in range(_TRIES):
        checked = [_checked(request, pointer) for request, pointer in requests]
        new = [start.new for start in checked]
        answer = _answer(checked, at, many)
        record = (key, answer) if key else None
        database, trace = state().services.database, trace_id.passed_on()
        try:
            outcome = instance_queries.start(database, new, at, caller().name, record, trace)
        except instance_queries.BusinessIdTaken:
            raise business_ids.conflict(checked) from None
        if outcome is StartOutcome.STARTED:
            return Started(answer, [start.id for start in new])
        if key and outcome is not StartOutcome.OUTDATED:
            return _repeated_answer(key, outcome)
        state().catalog.evict(*(_name(request) for request, _ in requests))
    raise Problem(problem_types.CONFLICT, "newer versions of the workflow keep coming")


def _name(request: dict[str, Any]) -> Name:
    workflow = request["workflow"]
    version = workflow.get("version")
    return workflow["namespace"], workflow["name"], None if version == "latest" else version


def _version(request: dict[str, Any], pointer: str) -> CachedVersion:
    """Return the version to run. Raises `Problem` 404, also for another caller's namespace."""
    name = _name(request)
    allowed = caller().scope.has(name[0])
    version = state().catalog.find(name) if allowed else None
    if version is None:
        parts = [part for part in name if part]
        message = missing_message(state().services.database, allowed, *parts)
        errors = [{"pointer": f"{pointer}/workflow", "message": message}]
        raise Problem(problem_types.NOT_FOUND, message, errors)
    return version


def _checked(request: dict[str, Any], pointer: str) -> CheckedStart:
    version, input = _version(request, pointer), request.get("input")
    errors = version.errors(input, evaluation().evaluate)
    if errors:
        placed = [error | {"pointer": f"{pointer}/input{error['pointer']}"} for error in errors]
        raise Problem(problem_types.INVALID_INPUT, errors[0]["message"], placed)
    labels, due = request.get("labels"), request.get("start_at")
    new = NewStart(
        id=new_id(),
        workflow_id=version.id,
        newest=_name(request)[2] is None,
        input=None if input is None else _bounded(input, pointer),
        business_id=request.get("business_id"),
        labels=json_codec.dumps(labels) if labels else None,
        start_at=moment_at(f"{pointer}/start_at", due) if due else None,
    )
    return CheckedStart(new, version, pointer)


def _bounded(input: Json, pointer: str) -> str:
    text = json_codec.encode(input)
    bound = state().services.settings.max_payload
    if len(text) > bound:
        raise too_large(bound, f"the input{' at ' + pointer if pointer else ''}")
    return text.decode()


def _answer(checked: list[CheckedStart], at: datetime, many: bool) -> RecordedAnswer:
    started = [serializers.started_json(start.new, start.version, at) for start in checked]
    if many:
        return idempotency.recordable(202, started)
    location = {"Location": f"/v1/instances/{checked[0].new.id}"}
    return idempotency.recordable(202, started[0], location)


def _repeated_answer(key: IdempotencyKey, outcome: StartOutcome) -> Started:
    """Return the recorded answer of a key. Raises `InFlight` if there is none yet."""
    answer = None
    if outcome is StartOutcome.REPEATED:
        answer = idempotency_queries.find(state().services.database, key)
    if answer is None:
        raise idempotency_queries.InFlight
    return _repeated(answer)


def _recorded_answer(key: IdempotencyKey) -> Started | None:
    """Return the recorded answer of a key, if any. Raises `InFlight`, `KeyReused`."""
    with state().services.database.transaction() as cursor:
        answer = idempotency_queries.enter(cursor, key)
    return _repeated(answer) if answer else None


def _repeated(answer: RecordedAnswer) -> Started:
    body = json_codec.loads(answer.body)
    instances = body if isinstance(body, list) else [body]
    return Started(answer, [instance["id"] for instance in instances], first=False)
