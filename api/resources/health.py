"""``/livez`` and ``/readyz``: for whoever watches over the process."""

from __future__ import annotations

from flask import Blueprint, Response

from api.http.app_state import state
from api.http.resource_blueprint import respond
from orchestrator.database.schema import upgrade

blueprint = Blueprint("health", __name__)


@blueprint.get("/livez")
def live() -> Response:
    """The process answers; nothing else is asked."""
    return respond({"status": "ok"})


@blueprint.get("/readyz")
def ready() -> Response:
    """The database answers, with the schema that this release knows; else 503. An API that is
    asked announces itself: `orchestrator doctor` asks, and so do most platforms."""
    row = state().services.database.one("select version_num from orchestrator.schema_version")
    found = row[0] if row else None
    if found != upgrade.head():
        return respond({"status": "unknown schema", "schema": found}, 503)
    state().presence.announce_seldom()
    return respond({"status": "ok", "schema": found})
