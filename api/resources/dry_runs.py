"""What a command would do: it is decided in a transaction that is rolled back.

So a dry run and the command can't disagree: the same code decides both, on the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from flask import Response

from api.http import etags, problem_types
from api.http.app_state import scope, state
from api.http.problems import Problem
from api.http.resource_blueprint import respond
from api.resources import serializers
from api.resources.compensation_plan import compensation_plan
from api.resources.instance_decision import Prepare, refused
from api.resources.instances import etag
from orchestrator.core.model import ENDED_STATUSES, OPEN_STATUSES
from orchestrator.database.connection.database import LockTimeout, Transaction
from orchestrator.database.instances import (
    command_queries,
    compensation_queries,
    instance_queries,
    step_queries,
)
from orchestrator.database.instances.command_queries import DECIDING, Target
from orchestrator.database.instances.compensation_queries import Undoable
from orchestrator.database.instances.step_queries import BriefStep
from orchestrator.metrics import Meter

#: Steps of an instance that are compared; beyond, the plan says that it is not complete.
MOST_STEPS = 5000
#: Commands that undo what was completed.
_UNDOING = frozenset({"cancel", "compensate"})


class _RolledBack(Exception):
    """Ends the transaction of a dry run."""


@dataclass(frozen=True, slots=True)
class _Tried:
    """An instance before and after a command. `after` None: it could not be decided at once."""

    before: Target
    after: Target | None
    steps: Sequence[BriefStep]
    steps_after: Sequence[BriefStep]
    #: What would be undone if everything is.
    undoes: Sequence[Undoable]
    in_flight: Sequence[Undoable]


def answer(instance: str, command: str, body: dict[str, Any], prepare: Prepare) -> Response:
    """Decide a command, answer what it would do, and change nothing. Raises `Problem` 404, 409,
    412, 503."""
    tried: list[_Tried] = []
    try:
        with suppress(_RolledBack), state().services.database.transaction(DECIDING) as cursor:
            tried.append(_try(cursor, instance, prepare))
            raise _RolledBack
    except LockTimeout:
        raise Problem(problem_types.UNAVAILABLE, "the instance moves: try again") from None
    found = tried[0]
    headers = etags.headers(etag(found.before))
    return respond(_plan(command, found, body), headers=headers)


def _try(cursor: Transaction, instance: str, prepare: Prepare) -> _Tried:
    services = state().services
    command_queries.lock(cursor, instance, scope())
    before = command_queries.target(cursor, instance)
    etags.require_match(etag(before), "instance")
    data = prepare(cursor, before)
    steps = step_queries.brief(cursor, instance, MOST_STEPS + 1)
    workflow_id = instance_queries.workflow_of(cursor, instance)
    workflow = services.workflows.get(workflow_id, services.store.deciding(cursor))
    undoes = compensation_plan(workflow, compensation_queries.undoable(cursor, instance))
    in_flight = compensation_queries.undoable_in_flight(cursor, instance)
    # Count into a meter that nobody reads. The transitions of a dry run are rolled back, so the
    # metrics must not contain them.
    commander = replace(services.commander, meter=Meter())
    outcome = commander.decide(services.store.deciding(cursor), instance, data or {})
    if outcome.refused is not None:
        raise refused(outcome.refused)
    after = command_queries.target(cursor, instance) if outcome.decided else None
    steps_after = step_queries.brief(cursor, instance, MOST_STEPS + 1)
    return _Tried(before, after, steps, steps_after, undoes, in_flight)


def _plan(command: str, tried: _Tried, body: dict[str, Any]) -> dict[str, Any]:
    undoes = _undoes(command, tried, body)
    runs = _runs(command, tried, body)
    after = tried.after
    return {
        "keeps": _keeps(tried, {step.id for step in undoes}, {run["step"] for run in runs}),
        "runs": runs,
        "undoes": [{**_named(step.id, step.reference), "instance": step.child} for step in undoes],
        "becomes": after
        and {"status": after.status, "compensation": after.compensation, "run": after.run},
        "warnings": _warnings(command, tried, undoes),
    }


def _named(step: int | None, reference: str) -> dict[str, Any]:
    return {"step": step, "name": serializers.name(reference), "reference": reference}


def _undoes(command: str, tried: _Tried, body: dict[str, Any]) -> list[Undoable]:
    if command not in _UNDOING:
        return []
    plan = list(tried.undoes)
    if command == "compensate" and "step" in body:
        done = {step.id: step.completion_number or 0 for step in tried.steps}
        plan = [step for step in plan if done.get(step.id, 0) > done.get(body["step"], 0)]
    return plan


def _runs(command: str, tried: _Tried, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps that start again, and those that are reopened to wait again."""
    if command not in {"retry", "skip", "resume"}:
        return []
    before = {step.id: step for step in tried.steps}
    edited = command == "retry" and "input" in body
    target = body.get("from", body.get("step"))
    runs = []
    for step in tried.steps_after:
        old = before.get(step.id)
        again = step.restarts and not (old and old.restarts)
        reopened = old is not None and old.status in ENDED_STATUSES
        if again or (reopened and step.status in OPEN_STATUSES and not step.open_children):
            note = "waits again" if not again else "skipped" if command == "skip" else None
            if again and edited and (target is None or step.id == target):
                note = "with the edited input"
            runs.append({**_named(step.id, step.reference), "note": note})
    return [*runs, *_follows(tried, target if command == "retry" else None)]


def _follows(tried: _Tried, target: int | None) -> list[dict[str, Any]]:
    """Return the completed steps after the one from which a retry begins: they run again."""
    steps = {step.id: step for step in tried.steps}
    start = steps.get(target or 0)
    if start is None:
        return []
    return [
        {**_named(step.id, step.reference), "note": "had completed, and runs again"}
        for step in tried.steps
        if step.parent == start.parent
        and step.index == start.index
        and step.id > start.id
        and step.status == "completed"
        and step.compensates is None
    ]


def _keeps(tried: _Tried, undone: set[int], again: set[int]) -> list[dict[str, Any]]:
    """Return the completed steps without steps inside that are neither undone nor run again."""
    parents = {step.parent for step in tried.steps}
    return [
        _named(step.id, step.reference)
        for step in tried.steps
        if step.status == "completed"
        and step.compensates is None
        and step.id not in parents | undone | again
    ]


def _warnings(command: str, tried: _Tried, undoes: Sequence[Undoable]) -> list[str]:
    found = []
    if tried.after is None:
        found.append("a control worker decides it later: this plan is an estimate")
    if len(tried.steps) > MOST_STEPS:
        found.append(f"only the first {MOST_STEPS} steps were looked at")
    if tried.before.pending:
        found.append(f"{tried.before.pending} earlier commands are decided before this one")
    if command in {"cancel", "terminate", "suspend", "skip"}:
        end = "is undone as well if it succeeds" if command == "cancel" else "runs to its end"
        found += [
            f"{serializers.name(step.reference)} still runs, and {end}" for step in tried.in_flight
        ]
    unknown = [step for step in tried.steps if step.outcome_unknown]
    if command in {"retry", "skip"}:
        found += [
            f"it is unknown whether {serializers.name(step.reference)} did its work"
            + (": a retry may do it twice" if command == "retry" else "")
            for step in unknown
        ]
    if command in _UNDOING:
        found += [
            f"it is unknown whether {serializers.name(step.reference)} did its work: it is undone"
            for step in undoes
            if step.outcome_unknown
        ]
        if not undoes:
            found.append("nothing is undone: no completed step has a compensation")
    return found
