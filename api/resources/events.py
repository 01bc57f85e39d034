"""``/v1/events``: receives CloudEvents. They are stored before the answer; workers match them.

An event counts once for its namespace, source and id. An event for one instance waits in its
mailbox until a listener takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import Response

from api.http import idempotency, page_cursors, problem_types
from api.http.app_state import caller, scope, state, target_namespace
from api.http.problems import Problem
from api.http.resource_blueprint import Resource, listing, raw, respond
from api.resources import cloud_event_body, event_dry_run, event_wait_reasons
from api.resources.instances import find
from api.schemas.events import (
    ACCEPTED,
    AcceptedEventSchema,
    EventDryRunSchema,
    EventIntoNamespaceSchema,
    EventPlanSchema,
    EventSchema,
    EventsQuerySchema,
    EventsSchema,
    EventWhySchema,
)
from orchestrator.core.model import ENDED_STATUSES, Json
from orchestrator.database.access.idempotency_queries import RecordedAnswer
from orchestrator.database.connection.session import Session
from orchestrator.database.events import event_offer_queries, event_queries
from orchestrator.database.events.event_queries import EventRow, StoredEvent
from orchestrator.database.events.waiting_instance_queries import waiters
from orchestrator.database.instances import wait_reason_queries
from orchestrator.database.operations import overview_queries

blueprint = Resource("events", __name__, url_prefix="/v1", description="CloudEvents.")

#: The most events in one mailbox; more are refused with 429.
MAILBOX = 10_000


@blueprint.route("/events", methods=["POST"])
@blueprint.answers(202, ACCEPTED, Location="where the event is")
@blueprint.answers(200, EventPlanSchema, meaning="`dry_run`: who would get it")
@cloud_event_body.cloud_event_body(many=True)
@blueprint.requires(EventIntoNamespaceSchema)
def receive(query: dict[str, Any]) -> Response:
    """Accept an event, or a batch of up to 1,000

    Workers offer it to the listeners of its namespace: see `/v1/events/{id}`. A repeated event is
    answered in the same way and has no effect. With `dry_run` nothing is stored: the answer says
    who would get one event now, of listeners, schedules and subscriptions.
    """
    events, many = cloud_event_body.read(many=True)
    namespace = target_namespace(query.get("namespace"))
    if query["dry_run"]:
        return event_dry_run.answer(namespace, events)
    return _accept(namespace, many, lambda reader: event_queries.put(reader, namespace, events))


@blueprint.route("/instances/<id:id>/events", methods=["POST"])
@blueprint.answers(202, AcceptedEventSchema, Location="where the event is")
@blueprint.answers(200, EventPlanSchema, meaning="`dry_run`: who would get it")
@cloud_event_body.cloud_event_body(many=False)
@blueprint.requires(EventDryRunSchema)
def signal(query: dict[str, Any], id: str) -> Response:
    """Accept an event for one instance

    It waits in the instance's mailbox until a listener takes it. An instance that has ended
    accepts none. `dry_run` as for `/v1/events`.
    """
    events, _ = cloud_event_body.read(many=False)
    found = find(id)
    if found.status in ENDED_STATUSES:
        raise Problem(
            problem_types.WRONG_STATUS, f"the instance is {found.status}: it accepts no events"
        )

    if query["dry_run"]:
        return event_dry_run.answer(found.namespace, events, found.id)

    def put(reader: Session) -> list[StoredEvent]:
        if event_queries.is_mailbox_full(reader, found.id, MAILBOX):
            raise Problem(problem_types.TOO_MANY, f"the mailbox has {MAILBOX} events")
        return event_queries.put(reader, found.namespace, events, target=found.id)

    return _accept(found.namespace, False, put)


def _accept(
    namespace: str, many: bool, put: Callable[[Session], Sequence[StoredEvent]]
) -> Response:
    """Store events, then hint that they wait; with an Idempotency-Key in one transaction."""

    def make(reader: Session) -> RecordedAnswer:
        accepted = [{"id": row.id, "duplicate": row.duplicate} for row in put(reader)]
        if many:
            return idempotency.recordable(202, accepted)
        location = {"Location": f"/v1/events/{accepted[0]['id']}"}
        return idempotency.recordable(202, accepted[0], location)

    def hint() -> None:
        state().hints.match(namespace)

    if idempotency.key():
        return idempotency.run_idempotent(make, after=hint)
    answer = make(state().services.database)
    hint()
    return idempotency.respond_recorded(answer)


@blueprint.route("/events")
@blueprint.answers(200, EventsSchema)
@blueprint.requires(EventsQuerySchema)
def list_(query: dict[str, Any]) -> Response:
    """Received and emitted events, the newest first"""
    target = query.get("target")
    page = event_queries.listed(
        state().services.database,
        scope(query.get("namespace")),
        namespace=query.get("namespace"),
        type=query.get("type"),
        source=query.get("source"),
        target=str(target) if target else None,
        limit=query["limit"],
        after=page_cursors.read(query["cursor"], (page_cursors.number,)),
    )
    return listing(
        [_event_json(EventRow(*row)) for row in page.rows], page_cursors.write(page.last)
    )


@blueprint.route("/events/<id:id>")
@blueprint.answers(200, EventSchema)
def get(id: str) -> Response:
    """An event with its matches"""
    found = _find(id)
    return respond(
        {**_event_json(found), "matches": _matches(state().services.database, found.receipt_number)}
    )


@blueprint.route("/events/<id:id>/why")
@blueprint.answers(200, EventWhySchema)
def why(id: str) -> Response:
    """Which listeners took an event, or why none did"""
    services = state().services
    database, settings = services.database, services.settings
    found = _find(id)
    served = overview_queries.is_served(database, settings.control_queue, settings.lease)
    causes = event_wait_reasons.causes(
        found,
        event_offer_queries.of_event(database, found.receipt_number),
        waiters(database, found.namespace, found.target_instance),
        None if served else settings.control_queue,
        workers=served or wait_reason_queries.is_any_worker_alive(database, settings.lease),
    )
    return respond({"id": id, "namespace": found.namespace, "causes": causes})


def _find(id: str) -> EventRow:
    row = event_queries.get(state().services.database, id, caller().scope)
    if row is None:
        raise Problem(problem_types.NOT_FOUND, f"there is no event {id}")
    return row


def _event_json(row: EventRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "namespace": row.namespace,
        "event": raw(row.event),
        "instance": row.instance,
        "target": row.target_instance,
        "created_at": row.created_at,
        "matched_at": row.matched_at,
    }


def _matches(reader: Session, number: int) -> list[dict[str, Json]]:
    return [
        {"instance": row.instance, "step": row.step or None, "refused": row.refused, "at": row.at}
        for row in event_offer_queries.of_event(reader, number)
    ]
