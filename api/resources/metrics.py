"""``/metrics``: what this process counts, and what Postgres says of the whole, for Prometheus."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from api.http import problem_types
from api.http.app_state import state
from api.http.authentication import Role
from api.http.problems import Problem
from orchestrator.metrics import Meter
from orchestrator.metrics import catalog as metrics

#: Where a request's environment has the rule of its route.
ROUTE = "orchestrator.route"

#: Methods that have a name in HTTP; every other one is counted as one.
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def show() -> Response:
    """Everything, in the format that the scraper takes. Asks for a key that opens all
    namespaces, unless the settings open it: names of workflows stand in it."""
    ours = state()
    if not ours.services.settings.metrics_without_key:
        caller = ours.authenticator.caller(request.headers.get("Authorization"))
        if caller.role < Role.VIEWER or caller.scope.namespaces is not None:
            raise Problem(problem_types.FORBIDDEN, "metrics need a key for all namespaces")
    # Only where somebody asks: the library takes its time to load.
    from orchestrator.metrics.exposition import exposition_text, families

    found = [*ours.gauges.families(), *families(ours.series())]
    body, content_type = exposition_text(found, request.headers.get("Accept"))
    return Response(body, content_type=content_type)


def answered(meter: Meter, environ: dict[str, Any], status: str, seconds: float) -> None:
    """An answer begins. Paths that we do not have are one route, whatever they are."""
    method = environ["REQUEST_METHOD"]
    named = method if method in _METHODS else "other"
    route = environ.get(ROUTE) or "none"
    meter.count(metrics.REQUESTS, (named, route, status[:3]))
    meter.observe(metrics.REQUEST_SECONDS, seconds, (named, route))
