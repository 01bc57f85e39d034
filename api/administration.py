"""What people look at across instances: ``/v1/workers``, ``/v1/queues`` and their like."""

from __future__ import annotations

from typing import Any

from flask import Response

from api import cursors
from api.auth import Role
from api.context import scope, state
from api.resource import Resource, listing, raw
from api.schemas.administration import (
    AuditQuerySchema,
    AuditSchema,
    ListenersSchema,
    NamespacesSchema,
    QueuesSchema,
    TimersSchema,
    WorkersQuerySchema,
    WorkersSchema,
)
from api.schemas.common import PageSchema
from orchestrator.database import audit, overview
from orchestrator.database.pages import Page

blueprint = Resource(
    "administration", __name__, url_prefix="/v1", description="What goes on across instances."
)


def _listing(page: Page, *names: str, **shown: Any) -> Response:
    """A page whose rows have these names, in order; `shown` says how to show some of them."""
    items = [
        {name: shown.get(name, _as_it_is)(value) for name, value in zip(names, row, strict=True)}
        for row in page.rows
    ]
    return listing(items, cursors.write(page.last))


def _as_it_is(value: Any) -> Any:
    return value


def _step(number: int) -> int | None:
    """A timer's step; 0 stands for the instance itself."""
    return number or None


@blueprint.route("/workers", role=Role.OPERATOR)
@blueprint.answers(200, WorkersSchema)
@blueprint.asks(WorkersQuerySchema)
def workers(query: dict[str, Any]) -> Response:
    """Workers, the latest started first"""
    services = state().services
    page = overview.workers(
        services.database,
        services.settings.lease,
        live=query.get("live"),
        limit=query["limit"],
        after=cursors.read(query["cursor"], (cursors.moment, cursors.id)),
    )
    return _listing(
        page,
        *("started_at", "id", "name", "pid", "pool", "concurrency", "queues", "tasks"),
        *("free", "held", "state", "seen_at", "stopped_at", "counts"),
        counts=raw,
    )


@blueprint.route("/queues", role=Role.OPERATOR)
@blueprint.answers(200, QueuesSchema)
def queues() -> Response:
    """Queues: what waits, what runs, who serves them"""
    services = state().services
    rows = overview.queues(services.database, services.settings.lease)
    names = ("name", "waiting", "oldest", "running", "workers", "slots", "free", "exact")
    return _listing(Page(rows, None), *names)


@blueprint.route("/timers")
@blueprint.answers(200, TimersSchema)
@blueprint.asks(PageSchema)
def timers(query: dict[str, Any]) -> Response:
    """What is due when, the next first"""
    page = overview.timers(
        state().services.database,
        scope(),
        limit=query["limit"],
        after=cursors.read(
            query["cursor"], (cursors.moment, cursors.id, cursors.number, cursors.text)
        ),
    )
    names = ("due_at", "instance", "step", "kind", "namespace", "reference")
    return _listing(page, *names, step=_step)


@blueprint.route("/listeners")
@blueprint.answers(200, ListenersSchema)
@blueprint.asks(PageSchema)
def listeners(query: dict[str, Any]) -> Response:
    """Who waits for which events, the longest waiting first"""
    page = overview.listeners(
        state().services.database,
        scope(),
        limit=query["limit"],
        after=cursors.read(query["cursor"], (cursors.moment, cursors.id, cursors.number)),
    )
    names = ("created_at", "instance", "step", "namespace", "mode", "filters", "correlation")
    return _listing(page, *names, "reference", filters=raw, correlation=raw)


@blueprint.route("/audit", role=Role.ADMIN)
@blueprint.answers(200, AuditSchema)
@blueprint.asks(AuditQuerySchema)
def log(query: dict[str, Any]) -> Response:
    """The audit log, the newest entry first"""
    page = audit.listed(
        state().services.database,
        scope(),
        action=query.get("action"),
        target=query.get("target"),
        limit=query["limit"],
        after=cursors.read(query["cursor"], (cursors.number,)),
    )
    return _listing(
        page,
        *("id", "at", "namespace", "actor", "action", "target", "reason", "details", "address"),
        details=raw,
    )


@blueprint.route("/namespaces")
@blueprint.answers(200, NamespacesSchema)
def namespaces() -> Response:
    """The namespaces that the key opens and that have workflows"""
    rows: list[tuple[Any, ...]] = list(overview.namespaces(state().services.database, scope()))
    return _listing(Page(rows, None), "name", "workflows")
