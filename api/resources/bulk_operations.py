"""``/v1/operations``: one command to many, asked for here and worked off by the beats."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Response, request
from marshmallow import Schema, ValidationError

from api.http import filter_query, idempotency, page_cursors, problem_types
from api.http.app_state import audit_entry, caller, scope, state
from api.http.problems import Problem
from api.http.query_parser import first_message
from api.http.request_body import json_body
from api.http.resource_blueprint import Resource, listing, raw, respond
from api.resources import dead_letters, serializers
from api.resources.instances import identified
from api.schemas.bulk_operations import (
    DryRunSchema,
    LettersFilterSchema,
    NewOperationSchema,
    OperationSchema,
    OperationsQuerySchema,
    OperationsSchema,
)
from api.schemas.instances import InstancesFilterSchema
from orchestrator.database.access import audit_queries
from orchestrator.database.access.idempotency_queries import Answer
from orchestrator.database.connection.database import Transaction
from orchestrator.database.instances.instance_filters import namespaces_of
from orchestrator.database.instances.instance_queries import Summary
from orchestrator.database.keyset_pages import Scope
from orchestrator.database.operations import bulk_operation_queries
from orchestrator.database.operations.bulk_operation_queries import LETTERS, OperationRow
from orchestrator.ids import new_id
from orchestrator.scheduler.bulk_operations import filter_to_json, matches

#: Operations that may stand at a time within a caller's namespaces: each keeps a beat busy for
#: a while, and what one tenant asks for must not use up the others' share.
MOST_OPEN = 100
#: How many of what it would reach a dry run shows.
SAMPLE = 10

blueprint = Resource(
    "operations", __name__, url_prefix="/v1/operations", description="One command to many."
)


@blueprint.route("", methods=["POST"])
@blueprint.answers(202, OperationSchema, Location="where its progress is")
@blueprint.answers(200, DryRunSchema, meaning="What it would reach; nothing was done")
@json_body(NewOperationSchema)
def make(body: dict[str, Any]) -> Response:
    """Give a command to all instances that a filter names, or settle dead letters

    With `dry_run` nothing is done. Otherwise the operation is worked off in batches, and
    reaches those that were there when it was asked for and whose status allows the command
    when their turn comes.
    """
    action = body["action"]
    allowed, chosen = _chosen(action, body["filter"])
    if body.get("dry_run"):
        return _dry_run(action, allowed, chosen)
    return idempotency.run_idempotent(partial(_put, body, allowed, chosen))


@blueprint.route("")
@blueprint.answers(200, OperationsSchema)
@blueprint.requires(OperationsQuerySchema)
def list_(query: dict[str, Any]) -> Response:
    """Operations, the newest first"""
    page = bulk_operation_queries.listed(
        state().services.database,
        scope(),
        states=query["state"],
        limit=query["limit"],
        after=page_cursors.read(query["cursor"], (page_cursors.moment, page_cursors.id)),
    )
    return listing([_shown(OperationRow(*row)) for row in page.rows], page_cursors.write(page.last))


@blueprint.route("/<id:id>")
@blueprint.answers(200, OperationSchema)
def get(id: str) -> Response:
    """An operation and how far it is"""
    return respond(_shown(_find(state().services.database, id)))


@blueprint.route("/<id:id>", methods=["DELETE"])
@blueprint.answers(200, OperationSchema, meaning="It is stopped")
def stop(id: str) -> Response:
    """Stop an operation

    Whom it has reached stays reached.
    """
    with state().services.database.transaction() as cursor:
        found = _find(cursor, id)
        if not bulk_operation_queries.stop(cursor, found.id):
            raise Problem(problem_types.CONFLICT, f"the operation is {found.state}")
        audit_queries.write(cursor, audit_entry("operation.stop", target=found.id))
        found = _find(cursor, id)
    return respond(_shown(found))


def _find(reader: Any, id: str) -> OperationRow:
    found = bulk_operation_queries.get(reader, identified(id), scope())
    if found is None:
        raise Problem(problem_types.NOT_FOUND, f"there is no operation {id}")
    return found


def _put(body: dict[str, Any], allowed: Scope, chosen: Any, cursor: Transaction) -> Answer:
    if bulk_operation_queries.open_ones(cursor, scope()) >= MOST_OPEN:
        raise Problem(problem_types.CONFLICT, f"{MOST_OPEN} operations stand already")
    id, action = new_id(), body["action"]
    bulk_operation_queries.put(
        cursor,
        id,
        namespaces=allowed.namespaces,
        action=action,
        filter=body["filter"],
        chosen=chosen,
        reason=body.get("reason"),
        actor=caller().name,
        address=request.remote_addr,
        matches=matches(cursor, allowed, action, chosen, 0).count,
    )
    told = {"action": action, "filter": body["filter"]}
    # `action` is the name of what the audit log calls its own.
    made = audit_entry("operation.make", target=id, reason=body.get("reason"), operation=told)
    audit_queries.write(cursor, made)
    found = bulk_operation_queries.get(cursor, id, allowed)
    assert found is not None  # noqa: S101  it was put there just now
    return idempotency.recordable(202, _shown(found), {"Location": f"/v1/operations/{id}"})


def _dry_run(action: str, allowed: Scope, chosen: Any) -> Response:
    found = matches(state().services.database, allowed, action, chosen, SAMPLE)
    if action in LETTERS:
        sample = [dead_letters.dead_letter_json(row) for row in found.sample]
    else:
        sample = [serializers.summary_json(Summary(*row[2:])) for row in found.sample]
    return respond({"action": action, "matches": found.count, "sample": sample})


def _chosen(action: str, filter: dict[str, str]) -> tuple[Scope, Any]:
    """The namespaces that it may reach, and the filter as it is stored.

    Raises `Problem` 404 for a foreign namespace, 422.
    """
    if action in LETTERS:
        asked = _loaded(LettersFilterSchema, filter)
        instance = str(asked["instance"]) if "instance" in asked else None
        namespace = asked.get("namespace")
        allowed = scope(namespace)
        reaches = allowed if namespace is None else Scope((namespace,))
        return reaches, {"instance": instance, "namespace": namespace}
    try:
        ours, own = filter_query.split(filter)
    except filter_query.WrongFilter as error:
        raise _wrong({error.name: str(error)}) from None
    chosen = filter_query.selection(_loaded(InstancesFilterSchema, ours), own)
    allowed = scope(chosen.namespace)
    reached = namespaces_of(allowed, chosen)
    # A filter that contradicts itself reaches nothing, and stays within the caller's own.
    return Scope(tuple(reached) if reached else allowed.namespaces), filter_to_json(chosen)


def _loaded(schema: type[Schema], filter: dict[str, str]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = schema().load(filter)
    except ValidationError as error:
        messages = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise _wrong({name: first_message(said) for name, said in messages.items()}) from None
    return found


def _wrong(messages: dict[str, str]) -> Problem:
    errors = [
        {"pointer": "/filter/" + name.replace("~", "~0").replace("/", "~1"), "message": message}
        for name, message in messages.items()
    ]
    name, message = next(iter(messages.items()))
    return Problem(problem_types.INVALID, f"filter: {name[:100]}: {message}", errors)


def _shown(row: OperationRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "action": row.action,
        "filter": raw(row.filter),
        "namespaces": row.namespaces,
        "reason": row.reason,
        "by": row.actor,
        "state": row.state,
        "matches": row.matches,
        "reached": row.done,
        "error": row.error,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
    }
