"""``/v1/instances/{id}/steps``: the execution tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response

from api.http import page_cursors, problem_types
from api.http.app_state import state
from api.http.problems import Problem
from api.http.request_evaluation import evaluation
from api.http.resource_blueprint import Resource, listing, respond
from api.resources import serializers
from api.resources.instances import find
from api.resources.step_arguments import Arguments
from api.schemas.steps import STEPS, StepSchema, StepsQuerySchema
from orchestrator.database.instances import compensation_queries, step_queries
from orchestrator.database.instances.step_queries import AttemptRow, StepRow

blueprint = Resource(
    "steps",
    __name__,
    url_prefix="/v1/instances/<id:id>/steps",
    description="The execution tree of an instance.",
)
#: The largest number that a step can have.
LARGEST = 2**31 - 1


@blueprint.route("")
@blueprint.answers(200, STEPS)
@blueprint.requires(StepsQuerySchema)
def list_(query: dict[str, Any], id: str) -> Response:
    """Steps in the order of their creation, each with every attempt

    The `parent` of each step makes them a tree. `fields=summary` leaves out what workflows and
    tasks wrote: arguments, inputs, outputs, progress and tracebacks. The answer has the `sequence`
    of the instance's last transition; `since=` that number returns only the steps that may have
    changed since.
    """
    found = find(id)
    database = state().services.database
    payloads = query["fields_"] == "all"
    page = step_queries.listed(
        database,
        found.id,
        parent=query.get("parent"),
        child=query.get("child"),
        statuses=query["status"],
        since=query.get("since"),
        payloads=payloads,
        limit=query["limit"],
        after=page_cursors.read(query["cursor"], (page_cursors.number,)),
    )
    rows = [StepRow(*row) for row in page.rows]
    return listing(
        steps_json(found.id, rows, payloads=payloads),
        page_cursors.write(page.last),
        sequence=found.sequence,
    )


@blueprint.route("/<int:step>")
@blueprint.answers(200, StepSchema)
def get(id: str, step: int) -> Response:
    """A step"""
    found = find(id)
    database = state().services.database
    row = step_queries.get(database, found.id, step) if step <= LARGEST else None
    if row is None:
        raise Problem(problem_types.NOT_FOUND, f"the instance has no step {step}")
    return respond(steps_json(found.id, [row])[0])


def steps_json(
    instance: str, rows: list[StepRow], *, payloads: bool = True
) -> list[dict[str, Any]]:
    """Return steps with their attempts, arguments, skips and what undoes them."""
    services = state().services
    ids = [row.id for row in rows]
    attempts = step_queries.attempts(services.database, instance, ids, payloads=payloads)
    undone_by = compensation_queries.undone_by(services.database, instance, ids)
    skipped_at = [row.ended_at for row in rows if _may_be_skipped(row, attempts.get(row.id, ()))]
    skips = step_queries.skips(services.database, instance, [at for at in skipped_at if at])
    arguments = Arguments(evaluation().evaluate)
    return [
        serializers.step_json(
            row,
            attempts.get(row.id, ()),
            services.settings.flower_url,
            instance=instance,
            arguments=arguments.display(row),
            skip=skips.get(row.id),
            undone_by=undone_by.get(row.id),
            payloads=payloads,
        )
        for row in rows
    ]


def _may_be_skipped(row: StepRow, attempts: Sequence[AttemptRow]) -> bool:
    """Whether no attempt explains a step's end, so that the history may have a skip."""
    succeeded = any(attempt.state == "succeeded" for attempt in attempts)
    return row.status == "completed" and not succeeded
