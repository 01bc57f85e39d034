"""``/v1/instances/{id}/steps``: the execution tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response

from api import cursors, kinds, shown
from api.arguments import Arguments
from api.context import state
from api.instances import find
from api.problems import Problem
from api.resource import Resource, listing, respond
from api.schemas.steps import StepSchema, StepsQuerySchema, StepsSchema
from orchestrator.database import steps
from orchestrator.database.steps import AttemptRow, StepRow

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
    database = state().services.database
    page = steps.listed(
        database,
        found.id,
        parent=query.get("parent"),
        child=query.get("child"),
        statuses=query["status"],
        limit=query["limit"],
        after=cursors.read(query["cursor"], (cursors.number,)),
    )
    rows = [StepRow(*row) for row in page.rows]
    return listing(_shown(found.id, rows), cursors.write(page.last))


@blueprint.route("/<int:step>")
@blueprint.answers(200, StepSchema)
def get(id: str, step: int) -> Response:
    """A step"""
    found = find(id)
    database = state().services.database
    row = steps.get(database, found.id, step) if step <= _LARGEST else None
    if row is None:
        raise Problem(kinds.NOT_FOUND, f"the instance has no step {step}")
    return respond(_shown(found.id, [row])[0])


def _shown(instance: str, rows: list[StepRow]) -> list[dict[str, Any]]:
    """Steps with their attempts, their arguments and who skipped them."""
    services = state().services
    attempts = steps.attempts(services.database, instance, [row.id for row in rows])
    by_hand = [row.ended_at for row in rows if _may_be_skipped(row, attempts.get(row.id, ()))]
    skips = steps.skips(services.database, instance, [at for at in by_hand if at])
    arguments = Arguments(services.evaluator.evaluate)
    return [
        shown.step(
            row,
            attempts.get(row.id, ()),
            services.settings.flower_url,
            arguments.shown(row),
            skips.get(row.id),
        )
        for row in rows
    ]


def _may_be_skipped(row: StepRow, attempts: Sequence[AttemptRow]) -> bool:
    """Whether no attempt explains a step's end: then history is asked, who skipped it."""
    succeeded = any(each.state == "succeeded" for each in attempts)
    return row.status == "completed" and not succeeded
