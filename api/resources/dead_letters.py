"""``/v1/dead-letters`` and ``/v1/instances/{id}/compensation``: what gave up.

A person has it tried again, or says that it is seen to.
"""

from __future__ import annotations

from typing import Any

from flask import Response, request

from api.http import idempotency, page_cursors, problem_types
from api.http.app_state import caller, scope, state
from api.http.problems import Problem
from api.http.request_body import json_body
from api.http.resource_blueprint import Resource, listing, raw, respond
from api.resources import serializers
from api.resources.instance_decision import Change, refused
from api.resources.instances import find, identified
from api.schemas.commands import CommandSchema
from api.schemas.system_overview import (
    CompensationDecisionSchema,
    CompensationSchema,
    DeadLetterSchema,
    DeadLettersQuerySchema,
    DeadLettersSchema,
)
from orchestrator.database.access.idempotency_queries import Answer
from orchestrator.database.connection.database import Transaction
from orchestrator.database.instances import dead_letter_queries, step_queries
from orchestrator.database.instances.command_queries import Target
from orchestrator.database.instances.instance_queries import InstanceWithPayloads
from orchestrator.database.instances.step_queries import Undoable
from orchestrator.document.model import Workflow

blueprint = Resource("dead letters", __name__, url_prefix="/v1", description="What gave up.")

Letter = tuple[Any, ...]


@blueprint.route("/dead-letters")
@blueprint.answers(200, DeadLettersSchema)
@blueprint.requires(DeadLettersQuerySchema)
def list_(query: dict[str, Any]) -> Response:
    """Work that gave up, the newest first"""
    instance = query.get("instance")
    page = dead_letter_queries.listed(
        state().services.database,
        scope(),
        resolved=query.get("resolved"),
        instance=str(instance) if instance else None,
        limit=query["limit"],
        after=page_cursors.read(query["cursor"], (page_cursors.moment, page_cursors.id)),
    )
    return listing([dead_letter_json(row) for row in page.rows], page_cursors.write(page.last))


@blueprint.route("/dead-letters/<id:id>")
@blueprint.answers(200, DeadLetterSchema)
def get(id: str) -> Response:
    """A dead letter"""
    return respond(dead_letter_json(_find(state().services.database, id)))


@blueprint.route("/dead-letters/<id:id>/retry", methods=["POST"])
@blueprint.answers(202, DeadLetterSchema)
@json_body(CommandSchema, optional=True)
def retry(body: dict[str, Any], id: str) -> Response:
    """Try once more what gave up

    An undoing that failed (`reason` is `compensation`) is done once more. A step whose workers
    were lost too often (`lost`) begins anew in a new run of its instance, as
    `/instances/{id}/retry` has it; 409 where its fault was caught, or its instance undone.
    """
    return _settle(id, "retry", body.get("reason"))


@blueprint.route("/dead-letters/<id:id>/resolve", methods=["POST"])
@blueprint.answers(202, DeadLetterSchema)
@json_body(CommandSchema, optional=True)
def resolve(body: dict[str, Any], id: str) -> Response:
    """Say that a person has seen to it"""
    return _settle(id, "resolve", body.get("reason"))


@blueprint.route("/instances/<id:id>/compensation")
@blueprint.answers(200, CompensationSchema)
def compensation(id: str) -> Response:
    """What a cancel or a compensation would undo, in its order, and what was undone so far"""
    found = find(id)
    services = state().services
    plan = _plan(services.workflows.get(found.workflow_id), _undoable(found))
    return respond(
        {
            "compensation": found.compensation,
            "plan": [_planned(each) for each in plan],
            "running": [
                _planned(each)
                for each in step_queries.undoable_in_flight(services.database, found.id)
            ],
            "undone": [
                {**serializers.step_json(row, (), None), "attempts": []}
                for row in step_queries.undoing(services.database, found.id)
            ],
        }
    )


@blueprint.route("/instances/<id:id>/compensation", methods=["POST"])
@blueprint.answers(202, DeadLetterSchema)
@json_body(CompensationDecisionSchema)
def act_on_compensation(body: dict[str, Any], id: str) -> Response:
    """Settle a compensation that failed: try it again, or say that a person has seen to it"""
    found = find(id)
    letter = dead_letter_queries.of_step(state().services.database, found.id, body["step"])
    if letter is None:
        raise Problem(
            problem_types.NOT_FOUND, f"no failed compensation of step {body['step']} is open"
        )
    return _settle(letter[1], body["action"], body.get("reason"))


def _find(reader: Any, id: str) -> Letter:
    letter = dead_letter_queries.get(reader, identified(id))
    if letter is None or not scope().has(letter[2]):
        raise Problem(problem_types.NOT_FOUND, f"there is no dead letter {id}")
    return letter


def _settle(id: str, action: str, reason: str | None) -> Response:
    """Decide it in the request, as a command to the letter's instance."""
    letter = _find(state().services.database, id)

    def prepare(cursor: Transaction, _: Target) -> dict[str, Any] | None:
        found = _find(cursor, id)
        if found[7] is not None:
            raise Problem(problem_types.CONFLICT, "the dead letter was settled already")
        hindrance = dead_letter_queries.refusal_reason(cursor, found, action)
        if hindrance is not None:
            raise refused(hindrance)
        return dead_letter_queries.command_of(found, action, caller().name, reason)

    def record(cursor: Transaction, _: Target, __: bool) -> Answer:
        # A retry has settled it already, where it has begun the step anew.
        by, address = caller().name, request.remote_addr
        dead_letter_queries.resolve(cursor, letter, action, by, reason, address)
        return idempotency.recordable(202, dead_letter_json(_find(cursor, id)))

    return Change(letter[3], prepare, record, tagged=False).give()


def dead_letter_json(letter: Letter) -> dict[str, Any]:
    """A dead letter as the API shows it."""
    created_at, id, namespace, instance, step, reason, error, *rest = letter
    resolved_at, resolution, reference, kind = rest
    return {
        "id": id,
        "created_at": created_at,
        "namespace": namespace,
        "instance": instance,
        "step": step,
        "reference": reference,
        "kind": kind,
        "reason": reason,
        "error": raw(error),
        "resolved_at": resolved_at,
        "resolution": raw(resolution),
    }


def _undoable(found: InstanceWithPayloads) -> list[Undoable]:
    return step_queries.undoable(state().services.database, found.id)


def _plan(workflow: Workflow, found: list[Undoable]) -> list[Undoable]:
    """Those that would be undone: no step around them has a compensation that replaces theirs
    (DESIGN, Ends, undoing and keys)."""
    by_id = {each.id: each for each in found}

    def replaced(step: Undoable) -> bool:
        at = by_id.get(step.parent)
        while at is not None:
            if at.completed and workflow.task(at.reference).compensation is not None:
                return True
            at = by_id.get(at.parent)
        return False

    return [each for each in found if each.done is not None and not replaced(each)]


def _planned(step: Undoable) -> dict[str, Any]:
    return {
        "step": step.id,
        "reference": step.reference,
        "name": serializers.name(step.reference),
        "kind": step.kind,
        "outcome": "unknown" if step.unknown else None,
        "instance": step.child,
    }
