"""Starts instances: the request is checked first, then one statement does the start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from api.http import idempotency, problem_types, trace_id
from api.http.app_state import caller, state
from api.http.problems import Problem
from api.http.request_evaluation import evaluation
from api.resources import serializers
from orchestrator import clock, json_codec
from orchestrator.core.model import Json
from orchestrator.database.access import idempotency_queries
from orchestrator.database.access.idempotency_queries import IdempotencyKey, RecordedAnswer
from orchestrator.database.instances import instance_queries
from orchestrator.database.instances.instance_queries import StartOutcome
from orchestrator.ids import new_id
from orchestrator.start_requests.start_check import (
    CheckedStart,
    RefusalKind,
    RefusedStart,
    StartCheck,
    name_of,
)

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
    at, check = clock.now(), _check()
    for _ in range(_TRIES):
        try:
            checked = [check.check(request, new_id(), pointer) for request, pointer in requests]
        except RefusedStart as error:
            raise problem_of(error) from None
        new = [start.new for start in checked]
        answer = _answer(checked, at, many)
        record = (key, answer) if key else None
        database, trace = state().services.database, trace_id.passed_on()
        try:
            outcome = instance_queries.start(database, new, at, caller().name, record, trace)
        except instance_queries.BusinessIdTaken:
            raise problem_of(check.conflict(checked), located=len(checked) == 1) from None
        if outcome is StartOutcome.STARTED:
            return Started(answer, [start.id for start in new])
        if key and outcome is not StartOutcome.OUTDATED:
            return _repeated_answer(key, outcome)
        state().catalog.evict(*(name_of(request) for request, _ in requests))
    raise Problem(problem_types.CONFLICT, "newer versions of the workflow keep coming")


def _check() -> StartCheck:
    services = state().services
    return StartCheck(
        services.database,
        state().catalog,
        services.settings,
        caller().scope.has,
        evaluation().evaluate,
    )


_PROBLEMS = {
    RefusalKind.MALFORMED: problem_types.MALFORMED_JSON,
    RefusalKind.INVALID: problem_types.INVALID,
    RefusalKind.NOT_FOUND: problem_types.NOT_FOUND,
    RefusalKind.INVALID_INPUT: problem_types.INVALID_INPUT,
    RefusalKind.TOO_LARGE: problem_types.TOO_LARGE,
    RefusalKind.BUSINESS_ID: problem_types.BUSINESS_ID,
    RefusalKind.INTERNAL: problem_types.INTERNAL,
}


def problem_of(refusal: RefusedStart, located: bool = False) -> Problem:
    """Return the problem of a refused start. `located`: a header names the instance that has the
    business id."""
    headers = {}
    if located and refusal.errors and "instance" in refusal.errors[0]:
        headers = {"Location": f"/v1/instances/{refusal.errors[0]['instance']}"}
    return Problem(_PROBLEMS[refusal.kind], refusal.message, refusal.errors, headers)


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
