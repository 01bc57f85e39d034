"""``/v1/events``: CloudEvents in, kept before they are acknowledged; matched by the workers.

An event counts once for its namespace, source and id. One that is sent to an instance waits
in its mailbox until a listener takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import Response

from api.http import idempotency, page_cursors, problem_types
from api.http.app_state import caller, scope, state
from api.http.problems import Problem
from api.http.resource_blueprint import Resource, listing, raw, respond
from api.resources import cloud_event_body, event_wait_reasons
from api.resources.instances import find
from api.schemas.events import (
    ACCEPTED,
    AcceptedEventSchema,
    EventSchema,
    EventsQuerySchema,
    EventsSchema,
    EventWhySchema,
    IntoNamespaceSchema,
)
from orchestrator.core.model import ENDED_STATUSES, Json
from orchestrator.database.access.idempotency_queries import Answer
from orchestrator.database.connection.session import Session
from orchestrator.database.events import event_queries, match_queries
from orchestrator.database.events.event_queries import EventRow, Received
from orchestrator.database.events.waiting_instance_queries import waiters
from orchestrator.database.operations import overview_queries

blueprint = Resource("events", __name__, url_prefix="/v1", description="CloudEvents.")

#: Events that may lie in one mailbox.
MAILBOX = 10_000


@blueprint.route("/events", methods=["POST"])
@blueprint.answers(202, ACCEPTED, Location="where the event is")
@cloud_event_body.cloud_event_body(many=True)
@blueprint.requires(IntoNamespaceSchema)
def receive(query: dict[str, Any]) -> Response:
    """Take an event, or a batch of up to 1,000

    Whoever waits for it in its namespace is told of it by the workers: see `/v1/events/{id}`.
    An event that has been taken before is answered in the same way, and has no effect.
    """
    given, many = cloud_event_body.read(many=True)
    namespace = into(query.get("namespace"))
    return _taken(namespace, many, lambda reader: event_queries.put(reader, namespace, given))


def into(asked: str | None) -> str:
    """The namespace that something goes into. Raises `Problem` 404, 422."""
    allowed = scope(asked).namespaces
    if asked is not None:
        return asked
    if allowed is None or len(allowed) != 1:
        errors = [{"parameter": "namespace", "message": "which of the key's namespaces?"}]
        raise Problem(problem_types.INVALID, "namespace: which of the key's namespaces?", errors)
    return allowed[0]


@blueprint.route("/instances/<id:id>/events", methods=["POST"])
@blueprint.answers(202, AcceptedEventSchema, Location="where the event is")
@cloud_event_body.cloud_event_body(many=False)
def signal(id: str) -> Response:
    """Take an event for one instance

    It waits in the instance's mailbox until a listener takes it. An instance that has ended
    takes none.
    """
    given, _ = cloud_event_body.read(many=False)
    found = find(id)
    if found.status in ENDED_STATUSES:
        raise Problem(
            problem_types.WRONG_STATUS, f"the instance is {found.status}: it listens no more"
        )

    def put(reader: Session) -> list[Received]:
        if event_queries.is_mailbox_full(reader, found.id, MAILBOX):
            raise Problem(problem_types.TOO_MANY, f"the mailbox has {MAILBOX} events")
        return event_queries.put(reader, found.namespace, given, target=found.id)

    return _taken(found.namespace, False, put)


def _taken(namespace: str, many: bool, put: Callable[[Session], Sequence[Received]]) -> Response:
    """Keep events, then have them matched; with an Idempotency-Key in one transaction."""

    def make(reader: Session) -> Answer:
        shown = [{"id": one.id, "duplicate": one.duplicate} for one in put(reader)]
        if many:
            return idempotency.recordable(202, shown)
        return idempotency.recordable(202, shown[0], {"Location": f"/v1/events/{shown[0]['id']}"})

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
    """Events, received and emitted, the newest first"""
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
    return listing([_summary(EventRow(*row)) for row in page.rows], page_cursors.write(page.last))


@blueprint.route("/events/<id:id>")
@blueprint.answers(200, EventSchema)
def get(id: str) -> Response:
    """An event, with what it matched"""
    found = _found(id)
    return respond(
        {**_summary(found), "matches": _matches(state().services.database, found.number)}
    )


@blueprint.route("/events/<id:id>/why")
@blueprint.answers(200, EventWhySchema)
def why(id: str) -> Response:
    """Why an event matched what it matched, or nobody"""
    services = state().services
    database, settings = services.database, services.settings
    found = _found(id)
    served = overview_queries.is_served(database, settings.control_queue, settings.lease)
    told = event_wait_reasons.causes(
        found,
        match_queries.of_event(database, found.number),
        waiters(database, found.namespace, found.target),
        None if served else settings.control_queue,
    )
    return respond({"id": id, "namespace": found.namespace, "causes": told})


def _found(id: str) -> EventRow:
    found = event_queries.get(state().services.database, id, caller().scope)
    if found is None:
        raise Problem(problem_types.NOT_FOUND, f"there is no event {id}")
    return found


def _summary(row: EventRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "namespace": row.namespace,
        "event": raw(row.event),
        "instance": row.instance,
        "target": row.target,
        "created_at": row.created_at,
        "matched_at": row.matched_at,
    }


def _matches(reader: Session, number: int) -> list[dict[str, Json]]:
    return [
        {"instance": one.instance, "step": one.step or None, "refused": one.refused, "at": one.at}
        for one in match_queries.of_event(reader, number)
    ]
