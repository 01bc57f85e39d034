"""``/v1/instances/{id}/steps``: the execution tree."""

from __future__ import annotations

from typing import Any

from flask import Response

from api import cursors, kinds, shown
from api.context import state
from api.instances import find
from api.problems import Problem
from api.resource import Resource, listing, respond
from api.schemas.steps import StepSchema, StepsQuerySchema, StepsSchema
from orchestrator.database import steps
from orchestrator.database.steps import StepRow

blueprint = Resource(
    "steps",
    __name__,
    url_prefix="/v1/instances/<id:id>/steps",
    description="The execution tree of an instance.",
)
#: The largest number that a step can have.
_LARGEST = 2**31 - 1


@blueprint.route("")
@blueprint.answers(200, StepsSchema)
@blueprint.asks(StepsQuerySchema)
def list_(query: dict[str, Any], id: str) -> Response:
    """Steps in the order in which they were made, each with every attempt

    `parent` of each step tells the tree.
    """
    found = find(id)
    services = state().services
    database = services.database
    page = steps.listed(
        database,
        found.id,
        parent=query.get("parent"),
        statuses=query["status"],
        limit=query["limit"],
        after=cursors.read(query["cursor"], (cursors.number,)),
    )
    rows = [StepRow(*row) for row in page.rows]
    attempts = steps.attempts(database, found.id, [row.id for row in rows])
    flower = services.settings.flower_url
    items = [shown.step(row, attempts.get(row.id, ()), flower) for row in rows]
    return listing(items, cursors.write(page.last))


@blueprint.route("/<int:step>")
@blueprint.answers(200, StepSchema)
def get(id: str, step: int) -> Response:
    """A step"""
    found = find(id)
    services = state().services
    database = services.database
    row = steps.get(database, found.id, step) if step <= _LARGEST else None
    if row is None:
        raise Problem(kinds.NOT_FOUND, f"the instance has no step {step}")
    attempts = steps.attempts(database, found.id, [row.id])
    return respond(shown.step(row, attempts.get(row.id, ()), services.settings.flower_url))
