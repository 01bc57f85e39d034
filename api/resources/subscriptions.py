"""``/v1/subscriptions``: who is told of which events, and how that goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from flask import Response

from api.http import etags, idempotency, page_cursors, problem_types
from api.http.app_state import audit_entry, scope, state
from api.http.problems import Problem
from api.http.request_body import json_body
from api.http.resource_blueprint import Resource, listing, respond
from api.resources.events import into
from api.schemas.events import (
    ChangeSubscriptionSchema,
    DeliveriesQuerySchema,
    DeliveriesSchema,
    DeliverySchema,
    NewSubscriptionSchema,
    NewSubscriptionSecretSchema,
    SubscriptionSchema,
    SubscriptionsQuerySchema,
    SubscriptionsSchema,
)
from orchestrator.core.model import Json
from orchestrator.database.access import audit_queries
from orchestrator.database.access.idempotency_queries import Answer
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.events import delivery_queries, subscription_queries
from orchestrator.database.events.delivery_queries import DeliveryRow
from orchestrator.database.events.subscription_queries import SubscriptionRow
from orchestrator.event_handler import standard_webhooks
from orchestrator.event_handler.compiled_event_filter import EventFilter
from orchestrator.expressions import (
    EvaluatorUnavailable,
    ExpressionError,
    is_expression,
    program_of,
)
from orchestrator.ids import new_id

blueprint = Resource(
    "subscriptions", __name__, url_prefix="/v1/subscriptions", description="Who is told."
)


#: An attribute of CloudEvents.
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,64}")


@blueprint.route("", methods=["POST"])
@blueprint.answers(201, NewSubscriptionSecretSchema, Location="where the subscription is")
@json_body(NewSubscriptionSchema)
def make(body: dict[str, Any]) -> Response:
    """Subscribe to events

    Each event that the filter takes is sent to a webhook, or starts a workflow. Lifecycle
    events (`io.serverlessworkflow...`) are for filters that name their type, or the beginning
    of it. A webhook's secret is made unless it is given, and shown this once.
    """
    namespace = into(body.get("namespace"))
    row = replace(_with_filter(_new(namespace, body), body["filter"]), id=new_id())
    secret = _secret(body["webhook"]) if "webhook" in body else None

    def put(cursor: Transaction) -> Answer:
        subscription_queries.put(cursor, row, secret)
        audit_queries.write(cursor, audit_entry("subscription.create", namespace, row.id))
        made = subscription_queries.get(cursor, row.id, scope())
        assert made is not None  # noqa: S101  it was put in just now
        shown = {**_shown(made), "secret": None}
        return idempotency.recordable(201, shown, {"Location": f"/v1/subscriptions/{row.id}"})

    return idempotency.run_idempotent(
        put, reveal=idempotency.reveal_secret("secret", secret) if secret else None
    )


def _new(namespace: str, body: dict[str, Any]) -> SubscriptionRow:
    if ("webhook" in body) == ("workflow" in body):
        raise _invalid("", "either a webhook or a workflow is told")
    target = (
        {"workflow": body["workflow"]}
        if "workflow" in body
        else {"webhook": {"url": body["webhook"]["url"]}}
    )
    return SubscriptionRow("", namespace, body.get("description"), {}, None, False, target)


def _secret(webhook: dict[str, Any]) -> str:
    given: str | None = webhook.get("secret")
    if given is not None and not standard_webhooks.is_secret(given):
        raise _invalid("/webhook/secret", "a secret is `whsec_` and 24 to 64 bytes in base64")
    return given or standard_webhooks.new_secret()


def _with_filter(row: SubscriptionRow, given: dict[str, Json]) -> SubscriptionRow:
    """The row with a filter whose expressions can be evaluated. Raises `Problem` 422, 503."""
    for name in given:
        if not _ATTRIBUTE.fullmatch(name):
            raise _invalid("/filter", f"{name[:100]!r} is not the name of an attribute")
    for pointer, program in _programs(given, "/filter"):
        try:
            state().services.evaluator.check(program, ())
        except ExpressionError as error:
            raise _invalid(pointer, str(error)) from None
        except EvaluatorUnavailable:
            raise Problem(problem_types.NO_EVALUATOR) from None
    filter = EventFilter({"with": given})
    return replace(row, filter=given, type=filter.type, lifecycle=filter.lifecycle)


def _programs(value: Json, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _programs(item, f"{at}/{name.replace('~', '~0').replace('/', '~1')}")
    elif is_expression(value):
        yield at, program_of(value)


def _invalid(pointer: str, message: str) -> Problem:
    return Problem(problem_types.INVALID, message, [{"pointer": pointer, "message": message}])


@blueprint.route("")
@blueprint.answers(200, SubscriptionsSchema)
@blueprint.requires(SubscriptionsQuerySchema)
def list_(query: dict[str, Any]) -> Response:
    """Subscriptions, the newest first"""
    page = subscription_queries.listed(
        state().services.database,
        scope(query.get("namespace")),
        namespace=query.get("namespace"),
        states=query["state"],
        limit=query["limit"],
        after=page_cursors.read(query["cursor"], (page_cursors.moment, page_cursors.id)),
    )
    rows = [SubscriptionRow(*row[2:]) for row in page.rows]
    return listing([_shown(row) for row in rows], page_cursors.write(page.last))


@blueprint.route("/<id:id>")
@blueprint.answers(200, SubscriptionSchema, ETag="for `If-Match`")
def get(id: str) -> Response:
    """A subscription"""
    shown = _shown(_find(state().services.database, id))
    return respond(shown, headers=etags.headers(etags.tag_of(shown)))


def _find(reader: Session, id: str, *, lock: bool = False) -> SubscriptionRow:
    found = subscription_queries.get(reader, id, scope(), lock=lock)
    if found is None:
        raise Problem(problem_types.NOT_FOUND, f"there is no subscription {id}")
    return found


@blueprint.route("/<id:id>", methods=["PATCH"], tagged=True)
@blueprint.answers(200, SubscriptionSchema, ETag="for `If-Match`")
@json_body(ChangeSubscriptionSchema)
def change(body: dict[str, Any], id: str) -> Response:
    """Change a subscription: pause it, activate it (again), tell it of other events

    While it is paused nothing new is for it, and what was on its way waits.
    """

    def act(cursor: Transaction, row: SubscriptionRow) -> Answer:
        secret = None
        changed = replace(row, description=body.get("description", row.description))
        if "filter" in body:
            changed = _with_filter(changed, body["filter"])
        if "webhook" in body:
            if "webhook" not in row.target:
                raise _invalid("/webhook", "the subscription starts a workflow")
            changed = replace(changed, target={"webhook": {"url": body["webhook"]["url"]}})
            secret = _secret(body["webhook"]) if "secret" in body["webhook"] else None
        if "state" in body:
            changed = replace(changed, state=body["state"], reason=None)
        subscription_queries.change(cursor, changed, secret)
        delivery_queries.announce(cursor)
        audit_queries.write(cursor, audit_entry("subscription.change", row.namespace, row.id))
        shown = _shown(_find(cursor, id))
        return idempotency.recordable(200, shown, etags.headers(etags.tag_of(shown)))

    return idempotency.run_idempotent(partial(_on, id, act))


@blueprint.route("/<id:id>", methods=["DELETE"], tagged=True)
@blueprint.answers(204)
def remove(id: str) -> Response:
    """End a subscription: nothing more is sent, and its deliveries are forgotten"""
    with state().services.database.transaction() as cursor:
        row = _seen(cursor, id)
        subscription_queries.remove(cursor, id)
        audit_queries.write(cursor, audit_entry("subscription.delete", row.namespace, id))
    return Response(status=204)


def _on(
    id: str, act: Callable[[Transaction, SubscriptionRow], Answer], cursor: Transaction
) -> Answer:
    return act(cursor, _seen(cursor, id))


def _seen(cursor: Transaction, id: str) -> SubscriptionRow:
    """The subscription, locked, as the client has seen it. Raises `Problem` 404, 412."""
    row = _find(cursor, id, lock=True)
    etags.require_match(etags.tag_of(_shown(row)), "subscription")
    return row


@blueprint.route("/<id:id>/deliveries")
@blueprint.answers(200, DeliveriesSchema)
@blueprint.requires(DeliveriesQuerySchema)
def list_deliveries(query: dict[str, Any], id: str) -> Response:
    """What was sent, and what is to be, the newest first"""
    database = state().services.database
    page = delivery_queries.listed(
        database,
        _find(database, id).id,
        states=query["state"],
        limit=query["limit"],
        after=page_cursors.read(query["cursor"], (page_cursors.moment, page_cursors.id)),
    )
    rows = [DeliveryRow(*row[2:]) for row in page.rows]
    return listing([asdict(row) for row in rows], page_cursors.write(page.last))


@blueprint.route("/<id:id>/deliveries/<id:delivery>")
@blueprint.answers(200, DeliverySchema)
def get_delivery(id: str, delivery: str) -> Response:
    """A delivery"""
    database = state().services.database
    _find(database, id)
    return respond(asdict(_delivery(database, id, delivery)))


def _delivery(reader: Session, id: str, delivery: str) -> DeliveryRow:
    found = delivery_queries.get(reader, id, delivery)
    if found is None:
        raise Problem(problem_types.NOT_FOUND, f"there is no delivery {delivery}")
    return found


@blueprint.route("/<id:id>/deliveries/<id:delivery>/retry", methods=["POST"], tagged=True)
@blueprint.answers(202, DeliverySchema)
def retry(id: str, delivery: str) -> Response:
    """Send an event once more, whether it arrived, was given up or waits for its next try

    It has the same `webhook-id` as before.
    """

    def act(cursor: Transaction, row: SubscriptionRow) -> Answer:
        if "webhook" not in row.target:
            raise Problem(
                problem_types.CONFLICT, "the subscription sends nothing: it starts a workflow"
            )
        found = _delivery(cursor, id, delivery)
        if found.event is None:
            raise Problem(problem_types.CONFLICT, "the event has been forgotten")
        delivery_queries.resend(cursor, delivery)
        delivery_queries.announce(cursor)
        audit_queries.write(cursor, audit_entry("delivery.retry", row.namespace, delivery))
        return idempotency.recordable(202, asdict(_delivery(cursor, id, delivery)))

    return idempotency.run_idempotent(partial(_on, id, act))


def _shown(row: SubscriptionRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "namespace": row.namespace,
        "description": row.description,
        "filter": row.filter,
        "webhook": row.target.get("webhook"),
        "workflow": row.target.get("workflow"),
        "state": row.state,
        "reason": row.reason,
        "failures": row.failures,
        "failing_since": row.failing_since,
        "created_at": row.created_at,
        "changed_at": row.changed_at,
    }
