"""Starting instances: everything is checked first, then one statement does it all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.http import idempotency, problem_types, trace_id
from api.http.app_state import caller, state
from api.http.problems import Problem
from api.http.request_body import moment_at, too_large
from api.shared.workflow_cache import CachedVersion, Name, missing_message
from orchestrator import clock, json_codec
from orchestrator.core.model import Json
from orchestrator.database.access import idempotency_queries
from orchestrator.database.access.idempotency_queries import Answer, Key
from orchestrator.database.instances import instance_queries
from orchestrator.database.instances.instance_queries import NewStart, Outcome
from orchestrator.ids import new_id
from orchestrator.settings import variable

#: How often a start is tried while newer versions of its workflow keep coming.
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Started:
    """The answer to a start; `first` is False where it was given before."""

    answer: Answer
    ids: list[str]
    first: bool = True


def start(body: Json) -> Started:
    """Start the instance, or the array of them, that a checked body asks for.

    A request that would be refused now may have been taken when it came first: the workflow
    may be gone since, or have a stricter version. It gets its first answer all the same.
    Raises `Problem` 404, 409, 413, 422.
    """
    key = idempotency.key()
    try:
        return _start(body, key)
    except Problem:
        first = _recorded_answer(key) if key else None
        if first is None:
            raise
        return first


def _start(body: Json, key: Key | None) -> Started:
    many = isinstance(body, list)
    asked = [(each, f"/{at}") for at, each in enumerate(body)] if many else [(body, "")]
    at = clock.now()
    database = state().services.database
    for _ in range(_TRIES):
        known = [_version(each, place) for each, place in asked]
        new = [_new(each, place, of) for (each, place), of in zip(asked, known, strict=True)]
        answer = _answer(new, known, asked, at, many)
        try:
            outcome = instance_queries.start(
                database,
                new,
                at,
                caller().name,
                (key, answer) if key else None,
                trace_id.passed_on(),
            )
        except instance_queries.BusinessIdTaken:
            raise _taken(new, known, asked) from None
        if outcome is Outcome.STARTED:
            return Started(answer, [each.id for each in new])
        if key and outcome is not Outcome.OUTDATED:
            return _repeated_answer(key, outcome)
        state().catalog.evict(*(_name(each) for each, _ in asked))
    raise Problem(problem_types.CONFLICT, "newer versions of the workflow keep coming")


def _name(asked: dict[str, Any]) -> Name:
    workflow = asked["workflow"]
    version = workflow.get("version")
    return workflow["namespace"], workflow["name"], None if version == "latest" else version


def _version(asked: dict[str, Any], place: str) -> CachedVersion:
    """The version to run; another namespace's is as unknown as one that is not there."""
    name = _name(asked)
    allowed = caller().scope.has(name[0])
    known = state().catalog.find(name) if allowed else None
    if known is None:
        parts = [part for part in name if part]
        message = missing_message(state().services.database, allowed, *parts)
        errors = [{"pointer": f"{place}/workflow", "message": message}]
        raise Problem(problem_types.NOT_FOUND, message, errors)
    return known


def _new(asked: dict[str, Any], place: str, known: CachedVersion) -> NewStart:
    input = asked.get("input")
    errors = known.errors(input)
    if errors:
        placed = [error | {"pointer": f"{place}/input{error['pointer']}"} for error in errors]
        raise Problem(problem_types.INVALID_INPUT, errors[0]["message"], placed)
    labels, due = asked.get("labels"), asked.get("start_at")
    return NewStart(
        id=new_id(),
        workflow_id=known.id,
        newest=_name(asked)[2] is None,
        input=None if input is None else _bounded(input, place),
        business_id=asked.get("business_id"),
        labels=json_codec.dumps(labels) if labels else None,
        start_at=moment_at(f"{place}/start_at", due) if due else None,
    )


def _bounded(input: Json, place: str) -> str:
    text = json_codec.encode(input)
    bound = state().services.settings.max_payload
    if len(text) > bound:
        raise too_large(bound, f"the input{' at ' + place if place else ''}")
    return text.decode()


def _answer(
    new: list[NewStart],
    known: list[CachedVersion],
    asked: list[tuple[dict[str, Any], str]],
    at: datetime,
    many: bool,
) -> Answer:
    shown = [
        {
            "id": start.id,
            "parent": None,
            "business_id": start.business_id,
            "workflow": {"namespace": of.namespace, "name": of.name, "version": of.version},
            "status": "pending",
            "compensation": "none",
            "run": 1,
            "labels": body.get("labels") or {},
            "created_at": at,
            "started_at": None,
            "ended_at": None,
            "pending_commands": 0,
        }
        for start, of, (body, _) in zip(new, known, asked, strict=True)
    ]
    if many:
        return idempotency.recordable(202, shown)
    return idempotency.recordable(202, shown[0], {"Location": f"/v1/instances/{new[0].id}"})


#: Who has a business_id that is taken.
_HOLDER = " by the instance {}; "


def _until_when() -> str:
    """When a business_id becomes free: with the row of its instance."""
    settings, setting = state().services.settings, variable("instance_retention")
    if settings.instance_retention and settings.archive_dir:
        days = settings.instance_retention / 86400
        return f"it becomes free when that is archived, {days:g} days after its end ({setting})"
    return f"it stays taken after the end, for instances are kept: see {setting}"


def _taken(
    new: list[NewStart], known: list[CachedVersion], asked: list[tuple[dict[str, Any], str]]
) -> Problem:
    """The problem of business ids that are taken, or stand twice in the request."""
    named = [
        ((of.namespace, start.business_id), place)
        for start, of, (_, place) in zip(new, known, asked, strict=True)
        if start.business_id is not None
    ]
    holders = instance_queries.instances_by_business_id(
        state().services.database,
        [name[0] for name, _ in named],
        [name[1] for name, _ in named],
    )
    counted = Counter(name for name, _ in named)
    errors: list[dict[str, Any]] = []
    for name, place in named:
        error: dict[str, Any] = {
            "pointer": f"{place}/business_id",
            "message": f"the business_id {name[1]!r} is taken",
        }
        if name in holders:
            holder = holders[name]
            told = error["message"] + _HOLDER.format(holder) + _until_when()
            errors.append(error | {"message": told, "instance": holder})
        elif counted[name] > 1:
            errors.append(error | {"message": f"the business_id {name[1]!r} stands here twice"})
    located = len(asked) == 1 and errors and "instance" in errors[0]
    headers = {"Location": f"/v1/instances/{errors[0]['instance']}"} if located else {}
    return Problem(
        problem_types.BUSINESS_ID, errors[0]["message"] if errors else None, errors, headers
    )


def _repeated_answer(key: Key, outcome: Outcome) -> Started:
    """The answer that the key got before."""
    found = None
    if outcome is Outcome.REPEATED:
        found = idempotency_queries.find(state().services.database, key)
    if found is None:
        raise idempotency_queries.InFlight
    return _repeated(found)


def _recorded_answer(key: Key) -> Started | None:
    """The answer that the key got before, if any. Raises `InFlight`, `KeyReused`."""
    with state().services.database.transaction() as cursor:
        found = idempotency_queries.enter(cursor, key)
    return _repeated(found) if found else None


def _repeated(found: Answer) -> Started:
    body = json_codec.loads(found.body)
    given = body if isinstance(body, list) else [body]
    return Started(found, [each["id"] for each in given], first=False)
