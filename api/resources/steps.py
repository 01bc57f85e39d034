"""``/v1/instances/{id}/steps``: the execution tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response

from api.http import page_cursors, problem_types
from api.http.app_state import state
from api.http.problems import Problem
from api.http.resource_blueprint import Resource, listing, respond
from api.resources import serializers
from api.resources.instances import find
from api.resources.step_arguments import Arguments
from api.schemas.steps import StepSchema, StepsQuerySchema, StepsSchema
from orchestrator.database.instances import step_queries
from orchestrator.database.instances.step_queries import AttemptRow, StepRow

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
@blueprint.requires(StepsQuerySchema)
def list_(query: dict[str, Any], id: str) -> Response:
    """Steps in the order of their creation, each with every attempt

    The `parent` of each step makes them a tree.
    """
    found = find(id)
    database = state().services.database
    page = step_queries.listed(
        database,
        found.id,
        parent=query.get("parent"),
        child=query.get("child"),
        statuses=query["status"],
        limit=query["limit"],
        after=page_cursors.read(query["cursor"], (page_cursors.number,)),
    )
    rows = [StepRow(*row) for row in page.rows]
    return listing(_steps_json(found.id, rows), page_cursors.write(page.last))


@blueprint.route("/<int:step>")
@blueprint.answers(200, StepSchema)
def get(id: str, step: int) -> Response:
    """A step"""
    found = find(id)
    database = state().services.database
    row = step_queries.get(database, found.id, step) if step <= _LARGEST else None
    if row is None:
        raise Problem(problem_types.NOT_FOUND, f"the instance has no step {step}")
    return respond(_steps_json(found.id, [row])[0])


def _steps_json(instance: str, rows: list[StepRow]) -> list[dict[str, Any]]:
    """Return steps with their attempts, arguments and skips."""
    services = state().services
    attempts = step_queries.attempts(services.database, instance, [row.id for row in rows])
    skipped_at = [row.ended_at for row in rows if _may_be_skipped(row, attempts.get(row.id, ()))]
    skips = step_queries.skips(services.database, instance, [at for at in skipped_at if at])
    arguments = Arguments(services.evaluator.evaluate)
    return [
        serializers.step_json(
            row,
            attempts.get(row.id, ()),
            services.settings.flower_url,
            arguments.display(row),
            skips.get(row.id),
        )
        for row in rows
    ]


def _may_be_skipped(row: StepRow, attempts: Sequence[AttemptRow]) -> bool:
    """Whether no attempt explains a step's end, so that the history may have a skip."""
    succeeded = any(attempt.state == "succeeded" for attempt in attempts)
    return row.status == "completed" and not succeeded
