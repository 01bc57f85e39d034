"""The Flask application of the API, made from services: nothing exists before it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flask_smorest  # type: ignore[import-untyped]
from flask import Flask, Response, current_app, g, request

from api import (
    commands,
    health,
    history,
    instances,
    kinds,
    problems,
    steps,
    trace,
    workflows,
)
from api.auth import Authenticator, Role
from api.bodies import Validators
from api.catalog import Catalog
from api.context import EXTENSION, State, state
from api.hints import Hints
from api.problems import Problem
from api.waiting import Waiters

if TYPE_CHECKING:
    from orchestrator.bootstrap import Services

RESOURCES = (workflows, instances, steps, history, commands)

#: How many requests the server works on at once, unless told.
THREADS = 16

#: On every answer. The API is JSON for programs: no page may frame, sniff or cache it.
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}

CONFIG = {
    "API_TITLE": "celery-orchestrator",
    "API_VERSION": "v1",
    "OPENAPI_VERSION": "3.1.0",
    "OPENAPI_URL_PREFIX": "/",
    "API_SPEC_OPTIONS": {
        "info": {"description": "Durable workflows for teams that run Celery."},
        "security": [{"key": []}],
    },
}


def create_app(services: Services, *, authenticate: bool = False, threads: int = THREADS) -> Flask:
    """The application.

    `authenticate` asks every caller for an API key; without it the server must bind to
    loopback only. `threads` is how many requests the server handles at once: half of them
    may wait for instances, a quarter may stream.
    """
    app = Flask("api", static_folder=None)
    app.config.update(CONFIG)
    # Unknown resources are a 404, whoever asks: there is nothing behind them to guard.
    app.url_map.strict_slashes = False
    app.url_map.redirect_defaults = False
    described = _describe(app)
    app.extensions[EXTENSION] = State(
        services=services,
        authenticator=Authenticator(services.database, authenticate),
        catalog=Catalog(services.database),
        hints=Hints(services.dispatcher),
        validators=Validators(described.spec.to_dict),
        waiters=Waiters(services.database, max(1, threads // 2), max(1, threads // 4)),
    )
    app.register_blueprint(health.blueprint)
    app.before_request(_admit)
    app.after_request(_sign)
    problems.install(app)
    return app


def _describe(app: Flask) -> Any:
    api = flask_smorest.Api(app)
    api.DEFAULT_ERROR_RESPONSE_NAME = None
    api.spec.components.security_scheme("key", {"type": "http", "scheme": "bearer"})
    for resource in RESOURCES:
        api.register_blueprint(resource.blueprint)
    return api


def _admit() -> None:
    """Let the request in, or refuse it before anything is read of its body."""
    if "\0" in request.path:
        raise Problem(kinds.MALFORMED, "the path has the character NUL")
    endpoint = request.endpoint
    view = None if endpoint is None else current_app.view_functions[endpoint]
    least: Role | None = getattr(view, "least_role", None)
    if least is None:
        return
    g.caller = state().authenticator.caller(request.headers.get("Authorization"))
    if g.caller.role < least:
        raise Problem(kinds.FORBIDDEN, f"this needs the role {least.name.lower()}")


def _sign(response: Response) -> Response:
    for name, value in SECURITY.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = trace.current()
    return response
