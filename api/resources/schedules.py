"""``/v1/schedules``: read schedules and firings; pause, trigger and backfill.

Deploying a document makes its schedule, and removing the document stops it (see
`api.resources.workflows`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Response

from api.http import etags, idempotency, page_cursors, problem_types
from api.http.app_state import audit_entry, caller, scope, state
from api.http.problems import Problem
from api.http.request_body import json_body, moment_at
from api.http.resource_blueprint import Resource, listing, raw, respond
from api.resources.instances import identified
from api.schemas.schedules import (
    BackfilledSchema,
    BackfillSchema,
    ChangeScheduleSchema,
    FiringSchema,
    FiringsQuerySchema,
    FiringsSchema,
    NextQuerySchema,
    ScheduleSchema,
    SchedulesQuerySchema,
    SchedulesSchema,
    TriggerSchema,
)
from orchestrator import json_codec
from orchestrator.database.access import audit_queries
from orchestrator.database.access.idempotency_queries import RecordedAnswer
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.schedules import firing_queries, schedule_queries
from orchestrator.database.schedules.firing_queries import FiringRow
from orchestrator.database.schedules.schedule_queries import ScheduleRow
from orchestrator.scheduler.schedules import schedule_management

blueprint = Resource(
    "schedules", __name__, url_prefix="/v1/schedules", description="Recurring starts."
)

Change = Callable[[Transaction, ScheduleRow], RecordedAnswer]


@blueprint.route("")
@blueprint.answers(200, SchedulesSchema)
@blueprint.requires(SchedulesQuerySchema)
def list_(query: dict[str, Any]) -> Response:
    """Schedules by namespace, workflow and kind"""
    page = schedule_queries.listed(
        state().services.database,
        scope(query.get("namespace")),
        namespace=query.get("namespace"),
        workflow=query.get("workflow"),
        states=query["state"],
        limit=query["limit"],
        after=page_cursors.read(query["cursor"], (page_cursors.text,) * 3),
    )
    schedules = [ScheduleRow(*row[3:]) for row in page.rows]
    return listing([_summary_json(row) for row in schedules], page_cursors.write(page.last))


@blueprint.route("/<id:id>")
@blueprint.answers(200, ScheduleSchema, ETag="for `If-Match`")
@blueprint.requires(NextQuerySchema)
def get(query: dict[str, Any], id: str) -> Response:
    """A schedule, with its next due times

    `next` is the number of due times. A paused or stopped schedule has none, nor has one that
    waits for an event or for the end of an instance.
    """
    database = state().services.database
    row = _find(database, id)
    schedule = _schedule_json(database, row, query["next"])
    return respond(schedule, headers=etags.headers(etags.tag_of(_summary_json(row))))


@blueprint.route("/<id:id>", methods=["PATCH"], tagged=True)
@blueprint.answers(200, ScheduleSchema, ETag="for `If-Match`")
@json_body(ChangeScheduleSchema)
def change(body: dict[str, Any], id: str) -> Response:
    """Pause a schedule, or resume it

    Due times that pass while it is paused do not fire later; `backfill` fires them.
    """
    set_state = schedule_management.pause if body["paused"] else schedule_management.resume

    def make(cursor: Transaction, row: ScheduleRow) -> RecordedAnswer:
        changed = set_state(cursor, row.id)
        action = "schedule.pause" if body["paused"] else "schedule.resume"
        _audit(cursor, action, row, body.get("reason"))
        tag = etags.headers(etags.tag_of(_summary_json(changed)))
        return idempotency.recordable(200, _schedule_json(cursor, changed, 1), tag)

    return idempotency.run_idempotent(partial(_locked, id, make))


@blueprint.route("/<id:id>/trigger", methods=["POST"], tagged=True)
@blueprint.answers(202, FiringSchema, Location="where the instance is")
@json_body(TriggerSchema, optional=True)
def trigger(body: dict[str, Any], id: str) -> Response:
    """Start an instance now, also if the schedule is paused or an instance is still open"""
    hints: list[str] = []

    def make(cursor: Transaction, row: ScheduleRow) -> RecordedAnswer:
        firing = schedule_management.trigger(cursor, row.id, caller().name, body.get("input")).row
        _audit(cursor, "schedule.trigger", row, body.get("reason"))
        hints.append(firing.instance_id or "")
        location = {"Location": f"/v1/instances/{firing.instance_id}"}
        return idempotency.recordable(202, _firing_json(firing), location)

    return idempotency.run_idempotent(
        partial(_locked, id, make), after=lambda: state().hints.send(*hints)
    )


@blueprint.route("/<id:id>/backfill", methods=["POST"], tagged=True)
@blueprint.answers(202, BackfilledSchema)
@json_body(BackfillSchema)
def backfill(body: dict[str, Any], id: str) -> Response:
    """Fire the due times of a range that have not fired

    At most 1,000 of them. They start at once, or one after the other if the policy forbids
    overlap. A repeated request fires none of them twice.
    """
    first, last = (moment_at(f"/{name}", body[name]) for name in ("from", "to"))
    hints: list[str] = []

    def make(cursor: Transaction, row: ScheduleRow) -> RecordedAnswer:
        try:
            fired = schedule_management.backfill(cursor, row.id, first, last, caller().name)
        except schedule_management.TooMany as error:
            raise Problem(problem_types.INVALID, str(error)) from None
        _audit(cursor, "schedule.backfill", row, body.get("reason"), count=len(fired))
        hints.extend(firing.row.instance_id for firing in fired if firing.row.instance_id)
        items = [_firing_json(firing.row) for firing in fired]
        return idempotency.recordable(202, {"items": items})

    return idempotency.run_idempotent(
        partial(_locked, id, make), after=lambda: state().hints.send(*hints)
    )


@blueprint.route("/<id:id>/firings")
@blueprint.answers(200, FiringsSchema)
@blueprint.requires(FiringsQuerySchema)
def firings(query: dict[str, Any], id: str) -> Response:
    """Firings of a schedule, the latest first"""
    database = state().services.database
    page = firing_queries.listed(
        database,
        _find(database, id).id,
        outcomes=query["outcome"],
        since=query.get("since"),
        until=query.get("until"),
        limit=query["limit"],
        after=page_cursors.read(query["cursor"], (page_cursors.moment,)),
    )
    firings_of_page = [FiringRow(*row[1:]) for row in page.rows]
    return listing([_firing_json(row) for row in firings_of_page], page_cursors.write(page.last))


def _find(reader: Session, id: str) -> ScheduleRow:
    row = schedule_queries.get(reader, identified(id), scope())
    if row is None:
        raise Problem(problem_types.NOT_FOUND, f"there is no schedule {id}")
    return row


def _locked(id: str, make: Change, cursor: Transaction) -> RecordedAnswer:
    row = schedule_queries.lock(cursor, _find(cursor, id).id)
    if row is None:
        raise Problem(problem_types.NOT_FOUND, f"there is no schedule {id}")
    etags.require_match(etags.tag_of(_summary_json(row)), "schedule")
    return make(cursor, row)


def _audit(
    cursor: Transaction, action: str, row: ScheduleRow, reason: str | None, **details: object
) -> None:
    audit_queries.write(cursor, audit_entry(action, row.namespace, row.id, reason, **details))


def _summary_json(row: ScheduleRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "namespace": row.namespace,
        "workflow": row.workflow,
        "version": row.version,
        "kind": row.kind,
        "state": row.state,
        "timing": json_codec.loads(row.timing),
        "policy": raw(row.policy),
        "next_due": row.next_due,
        "next_at": row.next_fire_at,
        "last_instance": row.last_instance_id,
        "waiting": row.waits_for_end,
        "created_at": row.created_at,
    }


def _schedule_json(reader: Session, row: ScheduleRow, count: int) -> dict[str, Any]:
    upcoming = schedule_management.upcoming(row, schedule_queries.now(reader), count)
    return {
        **_summary_json(row),
        "next": [{"due": time.due, "fires_at": time.fires_at} for time in upcoming],
    }


def _firing_json(row: FiringRow) -> dict[str, Any]:
    delay = None if row.fired_at is None else (row.fired_at - row.fires_at).total_seconds()
    return {
        "due": row.due,
        "reason": row.reason,
        "outcome": row.outcome,
        "why": row.skip_reason,
        "since": row.missed_since,
        "fires_at": row.fires_at,
        "fired_at": row.fired_at,
        "delay_seconds": delay,
        "instance": row.instance_id,
        "version": row.version,
    }
