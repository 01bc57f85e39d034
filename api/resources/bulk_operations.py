"""``/v1/operations``: bulk operations, created here and done by the beats."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Response, request

from api.http import idempotency, page_cursors, problem_types
from api.http.app_state import audit_entry, caller, scope, state
from api.http.problems import Problem
from api.http.request_body import json_body
from api.http.resource_blueprint import Resource, listing, raw, respond
from api.resources import dead_letters, operation_filters, serializers
from api.resources.instances import identified
from api.schemas.bulk_operations import (
    DryRunSchema,
    NewOperationSchema,
    OperationDetailsSchema,
    OperationSchema,
    OperationsQuerySchema,
    OperationsSchema,
    OutcomesSchema,
)
from api.schemas.common import PageSchema
from orchestrator.database.access import audit_queries
from orchestrator.database.access.idempotency_queries import RecordedAnswer
from orchestrator.database.connection.database import Transaction
from orchestrator.database.instances.instance_queries import Summary
from orchestrator.database.keyset_pages import Scope
from orchestrator.database.operations import bulk_operation_queries, operation_outcomes
from orchestrator.database.operations.bulk_operation_queries import LETTERS, OperationRow
from orchestrator.ids import new_id
from orchestrator.scheduler.bulk_operations import preview

#: The most open operations within a caller's namespaces. Each occupies a beat for a while, and
#: one tenant's operations must not use up the others' share.
MOST_OPEN = 100
#: Instances or dead letters that a dry run shows.
SAMPLE = 10

blueprint = Resource(
    "operations",
    __name__,
    url_prefix="/v1/operations",
    description="Commands to many.",
)


@blueprint.route("", methods=["POST"])
@blueprint.answers(202, OperationSchema, Location="where its progress is")
@blueprint.answers(200, DryRunSchema, meaning="What the operation would reach; nothing was done")
@json_body(NewOperationSchema)
def make(body: dict[str, Any]) -> Response:
    """Give a command to all instances that a filter selects, or act on dead letters

    With `dry_run` nothing is done. Otherwise the operation is done in batches. It reaches those
    that existed when it was requested and whose status allows the command in their batch.
    """
    action = body["action"]
    allowed, selection = operation_filters.stored_filter(action, body["filter"])
    if body.get("dry_run"):
        return _dry_run(action, allowed, selection)
    return idempotency.run_idempotent(partial(_put, body, allowed, selection))


@blueprint.route("")
@blueprint.answers(200, OperationsSchema)
@blueprint.requires(OperationsQuerySchema)
def list_(query: dict[str, Any]) -> Response:
    """Bulk operations, the newest first"""
    page = bulk_operation_queries.listed(
        state().services.database,
        scope(),
        states=query["state"],
        limit=query["limit"],
        after=page_cursors.read(query["cursor"], (page_cursors.moment, page_cursors.id)),
    )
    return listing(
        [_operation_json(OperationRow(*row)) for row in page.rows], page_cursors.write(page.last)
    )


@blueprint.route("/<id:id>")
@blueprint.answers(200, OperationDetailsSchema)
def get(id: str) -> Response:
    """A bulk operation, its progress, and what became of the instances"""
    database = state().services.database
    found = _find(database, id)
    outcomes: dict[str, Any] | None = None
    if found.action not in LETTERS:
        counts, exact = operation_outcomes.counted(database, found.id, found.action)
        outcomes = {**counts, "exact": exact}
    return respond({**_operation_json(found), "outcomes": outcomes})


@blueprint.route("/<id:id>/outcomes")
@blueprint.answers(200, OutcomesSchema)
@blueprint.requires(PageSchema)
def outcomes(query: dict[str, Any], id: str) -> Response:
    """What became of each instance that a bulk operation has reached

    An operation on dead letters has none.
    """
    database = state().services.database
    found = _find(database, id)
    after = page_cursors.read(query["cursor"], (page_cursors.number,))
    page = operation_outcomes.listed(
        database, found.id, found.action, query["limit"], after[0] if after else 0
    )
    names = ("instance", "business_id", "outcome", "reason", "status", "compensation")
    items = [dict(zip(names, row[1:], strict=True)) for row in page.rows]
    return listing(items, page_cursors.write(page.last))


@blueprint.route("/<id:id>", methods=["DELETE"])
@blueprint.answers(200, OperationSchema, meaning="It is stopped")
def stop(id: str) -> Response:
    """Stop a bulk operation

    Instances that it has reached are not restored.
    """
    with state().services.database.transaction() as cursor:
        found = _find(cursor, id)
        if not bulk_operation_queries.stop(cursor, found.id):
            raise Problem(problem_types.CONFLICT, f"the operation is {found.state}")
        audit_queries.write(cursor, audit_entry("operation.stop", target=found.id))
        found = _find(cursor, id)
    return respond(_operation_json(found))


def _find(reader: Any, id: str) -> OperationRow:
    found = bulk_operation_queries.get(reader, identified(id), scope())
    if found is None:
        raise Problem(problem_types.NOT_FOUND, f"there is no operation {id}")
    return found


def _put(
    body: dict[str, Any], allowed: Scope, selection: Any, cursor: Transaction
) -> RecordedAnswer:
    if bulk_operation_queries.count_open(cursor, scope()) >= MOST_OPEN:
        raise Problem(problem_types.CONFLICT, f"{MOST_OPEN} operations are open already")
    id, action = new_id(), body["action"]
    bulk_operation_queries.put(
        cursor,
        id,
        namespaces=allowed.namespaces,
        action=action,
        filter=body["filter"],
        selection=selection,
        reason=body.get("reason"),
        actor=caller().name,
        address=request.remote_addr,
        matches=preview(cursor, allowed, action, selection, 0).count,
    )
    # Nest the details in the member `operation` of the audit log's entry: the name `action` is
    # already taken by a field of the entry itself.
    details = {"action": action, "filter": body["filter"]}
    entry = audit_entry("operation.make", target=id, reason=body.get("reason"), operation=details)
    audit_queries.write(cursor, entry)
    found = bulk_operation_queries.get(cursor, id, allowed)
    assert found is not None  # noqa: S101  it was inserted just now
    return idempotency.recordable(202, _operation_json(found), {"Location": f"/v1/operations/{id}"})


def _dry_run(action: str, allowed: Scope, selection: Any) -> Response:
    found = preview(state().services.database, allowed, action, selection, SAMPLE)
    if action in LETTERS:
        sample = [dead_letters.dead_letter_json(row) for row in found.sample]
    else:
        sample = [serializers.summary_json(Summary(*row[2:])) for row in found.sample]
    return respond({"action": action, "matches": found.count, "sample": sample})


def _operation_json(row: OperationRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "action": row.action,
        "filter": raw(row.filter),
        "namespaces": row.namespaces,
        "reason": row.reason,
        "by": row.actor,
        "state": row.state,
        "matches": row.matches,
        "reached": row.reached,
        "error": row.error,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
    }
