"""Views across instances: ``/v1/workers``, ``/v1/queues``, timers, listeners, audit log."""

from __future__ import annotations

from typing import Any

from flask import Response

from api.http import page_cursors
from api.http.app_state import scope, state
from api.http.authentication import Role
from api.http.resource_blueprint import Resource, listing, raw
from api.schemas.common import PageSchema
from api.schemas.system_overview import (
    AuditQuerySchema,
    AuditSchema,
    ListenersSchema,
    NamespacesSchema,
    QueuesSchema,
    TimersSchema,
    WorkersQuerySchema,
    WorkersSchema,
)
from orchestrator.database.access import audit_queries
from orchestrator.database.keyset_pages import Page
from orchestrator.database.operations import overview_queries

blueprint = Resource(
    "administration", __name__, url_prefix="/v1", description="Views across instances."
)


def _listing(page: Page, *names: str, **converters: Any) -> Response:
    """Return a page whose columns have these names, in order; `converters` change some values."""
    items = [
        {
            name: converters.get(name, _unchanged)(value)
            for name, value in zip(names, row, strict=True)
        }
        for row in page.rows
    ]
    return listing(items, page_cursors.write(page.last))


def _unchanged(value: Any) -> Any:
    return value


def _step(number: int) -> int | None:
    """Return a timer's step; 0 means the instance itself."""
    return number or None


@blueprint.route("/workers", role=Role.OPERATOR)
@blueprint.answers(200, WorkersSchema)
@blueprint.requires(WorkersQuerySchema)
def workers(query: dict[str, Any]) -> Response:
    """Workers, the latest started first"""
    services = state().services
    page = overview_queries.workers(
        services.database,
        services.settings.lease,
        live=query.get("live"),
        limit=query["limit"],
        after=page_cursors.read(query["cursor"], (page_cursors.moment, page_cursors.id)),
    )
    return _listing(
        page,
        *("started_at", "id", "name", "pid", "pool", "concurrency", "queues", "tasks"),
        *("free", "in_flight", "state", "seen_at", "stopped_at", "counts"),
        counts=raw,
    )


@blueprint.route("/queues", role=Role.OPERATOR)
@blueprint.answers(200, QueuesSchema)
def queues() -> Response:
    """Queues: waiting and running attempts, and workers"""
    services = state().services
    rows = overview_queries.queues(services.database, services.settings.lease)
    names = ("name", "waiting", "oldest", "running", "workers", "slots", "free", "exact")
    return _listing(Page(rows, None), *names)


@blueprint.route("/timers")
@blueprint.answers(200, TimersSchema)
@blueprint.requires(PageSchema)
def timers(query: dict[str, Any]) -> Response:
    """Timers, the next due first"""
    page = overview_queries.timers(
        state().services.database,
        scope(),
        limit=query["limit"],
        after=page_cursors.read(
            query["cursor"],
            (page_cursors.moment, page_cursors.id, page_cursors.number, page_cursors.text),
        ),
    )
    names = ("due_at", "instance", "step", "kind", "namespace", "reference")
    return _listing(page, *names, step=_step)


@blueprint.route("/listeners")
@blueprint.answers(200, ListenersSchema)
@blueprint.requires(PageSchema)
def listeners(query: dict[str, Any]) -> Response:
    """Listeners, the longest waiting first"""
    page = overview_queries.listeners(
        state().services.database,
        scope(),
        limit=query["limit"],
        after=page_cursors.read(
            query["cursor"], (page_cursors.moment, page_cursors.id, page_cursors.number)
        ),
    )
    names = ("created_at", "instance", "step", "namespace", "mode", "filters", "correlation")
    return _listing(page, *names, "reference", filters=raw, correlation=raw)


@blueprint.route("/audit", role=Role.ADMIN)
@blueprint.answers(200, AuditSchema)
@blueprint.requires(AuditQuerySchema)
def log(query: dict[str, Any]) -> Response:
    """The audit log, the newest entry first"""
    page = audit_queries.listed(
        state().services.database,
        scope(),
        action=query.get("action"),
        target=query.get("target"),
        limit=query["limit"],
        after=page_cursors.read(query["cursor"], (page_cursors.number,)),
    )
    return _listing(
        page,
        *("id", "at", "namespace", "actor", "action", "target", "reason", "details", "address"),
        details=raw,
    )


@blueprint.route("/namespaces")
@blueprint.answers(200, NamespacesSchema)
def namespaces() -> Response:
    """The namespaces that the key may access and that have workflows"""
    rows: list[tuple[Any, ...]] = list(
        overview_queries.namespaces(state().services.database, scope())
    )
    return _listing(Page(rows, None), "name", "workflows")
