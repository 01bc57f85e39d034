"""Dry run of an event: who would get it."""

from __future__ import annotations

from typing import Any

from flask import Response

from api.http import problem_types
from api.http.app_state import state
from api.http.problems import Problem
from api.http.request_evaluation import evaluation
from api.http.resource_blueprint import respond
from api.resources import serializers
from orchestrator.core.model import Json
from orchestrator.database.events import waiting_instance_queries
from orchestrator.event_handler.event_preview import EventPreview, preview

#: Largest number of listeners that are named; the rest is counted.
MOST = 100


def answer(namespace: str, events: list[dict[str, Json]], target: str | None = None) -> Response:
    """Return who would get one event. Raises `Problem` 422 for a batch."""
    if len(events) != 1:
        raise Problem(problem_types.INVALID, "dry_run takes one event, not a batch")
    services = state().services
    found = preview(
        services.database,
        evaluation().evaluate,
        namespace,
        events[0],
        target,
        services.events.look_back,
    )
    return respond(
        {
            "duplicate": found.duplicate,
            "listeners": _listeners(found),
            "more": max(0, len(found.listeners) - MOST),
            "mailbox": bool(target) and not found.listeners and not found.duplicate,
            "starts": _starts(namespace, found),
            "webhooks": [
                {"id": row.id, "description": row.description}
                for row in found.subscriptions
                if "webhook" in row.target
            ],
            "warnings": [_UNSETTLED] if found.unsettled else [],
        }
    )


_UNSETTLED = "earlier events or new listeners are being matched, which may change who gets it"


def _listeners(found: EventPreview) -> list[dict[str, Any]]:
    rows = waiting_instance_queries.described(state().services.database, found.listeners[:MOST])
    return [
        {
            "instance": row.instance,
            "business_id": row.business_id,
            "workflow": {"namespace": row.namespace, "name": row.name, "version": row.version},
            "step": row.step,
            "name": serializers.name(row.reference),
            "reference": row.reference,
        }
        for row in rows
    ]


def _starts(namespace: str, found: EventPreview) -> list[dict[str, Any]]:
    by_schedule = [
        {
            "workflow": {"namespace": row.namespace, "name": row.workflow},
            "by": "schedule",
            "id": row.id,
            "certain": enough,
        }
        for row, enough in found.schedules
    ]
    by_subscription = [
        {
            "workflow": {"namespace": namespace, "name": row.target["workflow"]["name"]},
            "by": "subscription",
            "id": row.id,
            "certain": True,
        }
        for row in found.subscriptions
        if "workflow" in row.target
    ]
    return [*by_schedule, *by_subscription]
