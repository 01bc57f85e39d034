"""``/metrics`` for Prometheus: the counters of the API's processes and the gauges of Postgres."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from api.http import problem_types
from api.http.app_state import state
from api.http.authentication import Role
from api.http.problems import Problem
from orchestrator.extras import PartMissing
from orchestrator.metrics import Meter
from orchestrator.metrics import catalog as metrics

#: The key of a request's environment under which the rule of its route is stored.
ROUTE = "orchestrator.route"

#: Methods that are counted by name; all others are counted together.
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def show() -> Response:
    """Return all metrics in the format that the scraper accepts.

    They contain names of workflows: unless a setting allows it, a key for all namespaces is
    required. Raises `Problem` 401, 403, or 501 without the extra [metrics].
    """
    app = state()
    if not app.services.settings.metrics_without_key:
        caller = app.authenticator.caller(request.headers.get("Authorization"), request.remote_addr)
        if caller.role < Role.VIEWER or caller.scope.namespaces is not None:
            raise Problem(problem_types.FORBIDDEN, "metrics require a key for all namespaces")
    # Import the module of the metrics' text format at the first request and not at the API's start:
    # its library loads slowly.
    try:
        from orchestrator.metrics.exposition import exposition_text, families
    except PartMissing as error:
        raise Problem(problem_types.NOT_IMPLEMENTED, str(error)) from error
    found = [*app.gauges.families(), *families(app.series())]
    body, content_type = exposition_text(found, request.headers.get("Accept"))
    return Response(body, content_type=content_type)


def count_response(meter: Meter, environ: dict[str, Any], status: str, seconds: float) -> None:
    """Count a response and its duration. All unknown paths count as one route."""
    method = environ["REQUEST_METHOD"]
    label = method if method in _METHODS else "other"
    route = environ.get(ROUTE) or "none"
    meter.count(metrics.REQUESTS, (label, route, status[:3]))
    meter.observe(metrics.REQUEST_SECONDS, seconds, (label, route))
