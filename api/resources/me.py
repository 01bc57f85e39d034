"""``/v1/me``: who asks, and what they may do."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from flask import Response

from api.http.app_state import caller, state
from api.http.resource_blueprint import Resource, respond
from api.schemas.me import MeSchema

blueprint = Resource("me", __name__, url_prefix="/v1/me", description="Who asks.")


@blueprint.route("")
@blueprint.answers(200, MeSchema)
def me() -> Response:
    """The caller, their role and namespaces"""
    found = caller()
    allowed = found.scope.namespaces
    return respond(
        {
            "name": found.name,
            "role": found.role.name.lower(),
            "namespaces": None if allowed is None else list(allowed),
            "authentication": found.via,
            "expires_at": found.expires_at,
            "version": _version(),
            "links": {"flower": state().services.settings.flower_url},
        }
    )


def _version() -> str | None:
    try:
        return version("celery-orchestrator")
    except PackageNotFoundError:
        return None
