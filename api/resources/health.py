"""``/livez`` and ``/readyz``: health checks for the platform and `orchestrator doctor`."""

from __future__ import annotations

from flask import Blueprint, Response

from api.http.app_state import state
from api.http.resource_blueprint import respond
from orchestrator.database.schema import upgrade

blueprint = Blueprint("health", __name__)


@blueprint.get("/livez")
def live() -> Response:
    """Answer without checking anything else."""
    return respond({"status": "ok"})


@blueprint.get("/readyz")
def ready() -> Response:
    """Answer 200 if the database has the schema of this release, else 503.

    The API also announces itself here: most platforms call this, and `orchestrator doctor`.
    """
    row = state().services.database.one("select version_num from orchestrator.schema_version")
    version = row[0] if row else None
    if version != upgrade.head():
        return respond({"status": "unknown schema", "schema": version}, 503)
    state().presence.announce_if_due()
    return respond({"status": "ok", "schema": version})
