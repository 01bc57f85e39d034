"""``/v1/dead-letters`` and ``/v1/instances/{id}/compensation``.

A person retries a dead letter, or resolves it: declares that it was handled otherwise.
"""

from __future__ import annotations

from typing import Any

from flask import Response, request

from api.http import idempotency, page_cursors, problem_types
from api.http.app_state import caller, scope, state
from api.http.problems import Problem
from api.http.request_body import json_body
from api.http.resource_blueprint import Resource, listing, raw, respond
from api.resources import serializers, submitted_start
from api.resources.compensation_plan import compensation_plan
from api.resources.instance_decision import Change, refused
from api.resources.instances import find, identified
from api.resources.steps import steps_json
from api.schemas.commands import CommandSchema
from api.schemas.dead_letters import (
    CompensationDecisionSchema,
    CompensationSchema,
    DeadLetterSchema,
    DeadLettersQuerySchema,
    DeadLettersSchema,
)
from orchestrator.database.access.idempotency_queries import RecordedAnswer
from orchestrator.database.connection.database import Transaction
from orchestrator.database.instances import (
    compensation_queries,
    dead_letter_queries,
    outbox_queries,
)
from orchestrator.database.instances.command_queries import Target
from orchestrator.database.instances.compensation_queries import Undoable
from orchestrator.database.instances.instance_queries import InstanceWithPayloads

blueprint = Resource("dead letters", __name__, url_prefix="/v1", description="Failed for good.")

DeadLetter = tuple[Any, ...]


@blueprint.route("/dead-letters")
@blueprint.answers(200, DeadLettersSchema)
@blueprint.requires(DeadLettersQuerySchema)
def list_(query: dict[str, Any]) -> Response:
    """Dead letters, the newest first"""
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
    database = state().services.database
    dead_letter = _find(database, id)
    request = outbox_queries.request_of(database, dead_letter[1])
    return respond({**dead_letter_json(dead_letter), "request": raw(request)})


@blueprint.route("/dead-letters/<id:id>/retry", methods=["POST"])
@blueprint.answers(202, DeadLetterSchema)
@json_body(CommandSchema, optional=True)
def retry(body: dict[str, Any], id: str) -> Response:
    """Retry a dead letter

    A failed compensation (`reason` is `compensation`) runs once more. A step with too many lost
    attempts (`lost`) starts again in a new run of its instance, as with
    `/instances/{id}/retry`; 409 if its fault was caught, or its instance undone. 503 while
    another transaction has its instance's row for more than a second: try again. A start from
    another application's transaction (`start`) is checked again, under the same instance id; if it
    is refused again, there is a new dead letter.
    """
    return _act_on(id, "retry", body.get("reason"))


@blueprint.route("/dead-letters/<id:id>/resolve", methods=["POST"])
@blueprint.answers(202, DeadLetterSchema)
@json_body(CommandSchema, optional=True)
def resolve(body: dict[str, Any], id: str) -> Response:
    """Resolve a dead letter: a person has handled it otherwise

    503 while another transaction has its instance's row for more than a second: try again.
    """
    return _act_on(id, "resolve", body.get("reason"))


@blueprint.route("/instances/<id:id>/compensation")
@blueprint.answers(200, CompensationSchema)
def compensation(id: str) -> Response:
    """The steps that a cancel or a compensation would undo, in order, and the undone steps"""
    found = find(id)
    services = state().services
    plan = compensation_plan(services.workflows.get(found.workflow_id), _undoable(found))
    return respond(
        {
            "compensation": found.compensation,
            "plan": [_planned_undo(step) for step in plan],
            "running": [
                _planned_undo(step)
                for step in compensation_queries.undoable_in_flight(services.database, found.id)
            ],
            "undone": steps_json(
                found.id, compensation_queries.undoing(services.database, found.id)
            ),
        }
    )


@blueprint.route("/instances/<id:id>/compensation", methods=["POST"])
@blueprint.answers(202, DeadLetterSchema)
@json_body(CompensationDecisionSchema)
def act_on_compensation(body: dict[str, Any], id: str) -> Response:
    """Retry or resolve a failed compensation"""
    found = find(id)
    dead_letter = dead_letter_queries.of_step(state().services.database, found.id, body["step"])
    if dead_letter is None:
        raise Problem(
            problem_types.NOT_FOUND, f"no failed compensation of step {body['step']} is open"
        )
    return _act_on(dead_letter[1], body["action"], body.get("reason"))


def _find(reader: Any, id: str) -> DeadLetter:
    dead_letter = dead_letter_queries.get(reader, identified(id))
    if dead_letter is None or not scope().has(dead_letter[2]):
        raise Problem(problem_types.NOT_FOUND, f"there is no dead letter {id}")
    return dead_letter


def _act_on(id: str, action: str, reason: str | None) -> Response:
    """Decide it in the request, as a command to the dead letter's instance."""
    dead_letter = _find(state().services.database, id)
    if dead_letter[5] == outbox_queries.REFUSED_START:
        return _decide_start(dead_letter, action, reason)

    def prepare(cursor: Transaction, _: Target) -> dict[str, Any] | None:
        current = _find(cursor, id)
        if current[7] is not None:
            raise Problem(problem_types.CONFLICT, "the dead letter is resolved already")
        refusal = dead_letter_queries.refusal_reason(cursor, current, action)
        if refusal is not None:
            raise refused(refusal)
        return dead_letter_queries.command_of(current, action, caller().name, reason)

    def record(cursor: Transaction, _: Target, __: bool) -> RecordedAnswer:
        # Close the dead letter if it is still open, and write the audit log in any case. A retry
        # that has started the step again has closed the dead letter already.
        by, address = caller().name, request.remote_addr
        dead_letter_queries.resolve(cursor, dead_letter, action, by, reason, address)
        return idempotency.recordable(202, dead_letter_json(_find(cursor, id)))

    return Change(dead_letter[3], prepare, record, tagged=False).run()


def _decide_start(dead_letter: DeadLetter, action: str, reason: str | None) -> Response:
    """Decide about a refused start, which has no instance."""
    id = dead_letter[1]

    def decide(cursor: Transaction) -> RecordedAnswer:
        by, address = caller().name, request.remote_addr
        if not dead_letter_queries.decide_start(cursor, dead_letter, action, by, reason, address):
            raise Problem(problem_types.CONFLICT, "the dead letter is resolved already")
        return idempotency.recordable(202, dead_letter_json(_find(cursor, id)))

    return idempotency.run_idempotent(decide, lambda: submitted_start.start(dead_letter[3]))


def dead_letter_json(dead_letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as JSON of the API."""
    created_at, id, namespace, instance, step, reason, error, *rest = dead_letter
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
    return compensation_queries.undoable(state().services.database, found.id)


def _planned_undo(step: Undoable) -> dict[str, Any]:
    return {
        "step": step.id,
        "reference": step.reference,
        "name": serializers.name(step.reference),
        "kind": step.kind,
        "outcome": "unknown" if step.outcome_unknown else None,
        "instance": step.child,
    }
