"""``/v1/instances/{id}/time``: where the time of an instance went."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from flask import Response

from api.http.app_state import state
from api.http.resource_blueprint import Resource, respond
from api.resources import instances, serializers
from api.schemas.time_account import TimeAccountSchema
from orchestrator import clock
from orchestrator.core.time_account import time_account
from orchestrator.database.instances import time_queries

#: Largest number of steps and of pieces of the path in an answer.
_MOST_STEPS, _MOST_PIECES = 200, 500
_MS = timedelta(milliseconds=1)

blueprint = Resource(
    "time", __name__, url_prefix="/v1/instances", description="Where the time went."
)


@blueprint.route("/<id:id>/time")
@blueprint.answers(200, TimeAccountSchema)
def of_instance(id: str) -> Response:
    """The time of an instance by kind, of its steps, and its critical path"""
    found, database = instances.find(id), state().services.database
    until = found.ended_at or max(clock.now(), found.started_at or clock.now())
    since = found.started_at or until
    steps, references, exact = time_queries.timed_steps(database, found.id)
    suspended = time_queries.suspensions(database, found.id, until)
    account = time_account((since, max(since, until)), steps, suspended)

    def task(step: int) -> dict[str, object]:
        reference = references[step]
        return {"step": step, "name": serializers.name(reference), "reference": reference}

    longest = sorted(account.steps, key=lambda each: each.total, reverse=True)[:_MOST_STEPS]
    return respond(
        {
            "since": found.started_at,
            "until": until,
            "exact": exact,
            "total_ms": account.total / _MS,
            "parts": _parts(account.parts),
            "steps": [
                {**task(each.step), "total_ms": each.total / _MS, "parts": _parts(each.parts)}
                for each in longest
            ],
            "path": [
                {**task(each.step), "since": each.since, "until": each.until}
                for each in account.path[-_MOST_PIECES:]
            ],
        }
    )


def _parts(parts: Mapping[str, timedelta]) -> dict[str, float]:
    return {kind: part / _MS for kind, part in parts.items()}
