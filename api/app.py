"""Makes the API's Flask application from the services."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import flask_smorest  # type: ignore[import-untyped]
from flask import Flask, Request, current_app, g, request
from werkzeug.routing import MapAdapter

from api.console import login, oidc_login, pages
from api.http import etags, idempotency, problem_types, problems, trace_id
from api.http.app_state import EXTENSION, AppState, caller_of, state
from api.http.authentication import Authenticator, Role
from api.http.body_validators import Validators
from api.http.problems import Problem
from api.http.rate_limiter import Rate, RateLimiter
from api.http.resource_blueprint import IdConverter, UncheckedId
from api.http.sessions import Sessions
from api.resources import (
    api_docs,
    api_keys,
    bulk_operations,
    dead_letters,
    doctor,
    event_stream,
    events,
    feed,
    graphs,
    health,
    history,
    instance_commands,
    instances,
    me,
    metrics,
    schedules,
    secrets,
    steps,
    subscriptions,
    system_overview,
    time_accounts,
    wait_reasons,
    workflow_statistics,
    workflows,
)
from api.shared.change_feed import ChangeFeed
from api.shared.doctor_reports import DoctorReports
from api.shared.gauge_cache import Gauges
from api.shared.hint_sender import Hints
from api.shared.instance_waiters import SHARE, STREAMS, WAITS, Waiters
from api.shared.live_feed import Feed
from api.shared.oidc_provider import OidcProvider
from api.shared.oidc_settings import OidcSettings, oidc_settings
from api.shared.request_places import RequestPlaces
from orchestrator import log
from orchestrator.clock import monotonic
from orchestrator.metrics import Meter, Series
from orchestrator.scheduler.process_announcement import Presence

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from orchestrator.bootstrap import Services
    from orchestrator.settings import Settings

RESOURCES = (
    workflows,
    graphs,
    workflow_statistics,
    instances,
    steps,
    history,
    instance_commands,
    time_accounts,
    wait_reasons,
    dead_letters,
    bulk_operations,
    schedules,
    event_stream,
    feed,
    events,
    subscriptions,
    system_overview,
    doctor,
    secrets,
    api_keys,
    me,
)

#: The host names of this machine. Without keys all others are refused: a foreign page whose name
#: resolves to 127.0.0.1 (DNS rebinding) sends its own name.
LOCAL = ["localhost", "127.0.0.1"]
_IPV6_LOOPBACK = re.compile(r"\[::1\](:[0-9]{1,5})?")

#: The most requests of one process that wait for the sandbox; one owner of keys may have a share.
EVALUATIONS = 32

#: Headers of every answer. The API is JSON for programs: no page may frame, sniff or cache it.
SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
)

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


def create_app(
    services: Services,
    *,
    authenticate: bool = False,
    rate: Rate | None = None,
    waits: int = WAITS,
    streams: int = STREAMS,
    series: Callable[[], Iterable[Series]] | None = None,
) -> Flask:
    """Return the application.

    `authenticate`: every caller needs an API key; without it the server must bind to loopback
    only. `rate`: each key's request rate, instead of the setting. `waits` and `streams`: the most
    waiting requests and open streams. `series`: the counters of all serving processes, if there
    are several.
    """
    settings = services.settings
    oidc = oidc_settings(settings)
    public = urlsplit(settings.public_url or "").hostname
    app = _flask(None if authenticate else [*LOCAL, *([public] if public else ())])
    described = _describe(app)
    app.extensions[EXTENSION] = AppState(
        services=services,
        authenticator=Authenticator(services.database, authenticate),
        sessions=Sessions(services.database, settings.public_url, oidc),
        oidc=_provider(settings, oidc),
        catalog=services.versions,
        outbox=services.outbox,
        hints=Hints(services.dispatcher),
        limiter=RateLimiter(rate or Rate(), settings.broker_url),
        validators=Validators(described.spec.to_dict),
        feed=Feed(services.database),
        changes=ChangeFeed(services.database),
        waiters=Waiters(services.database, waits, streams, shares=authenticate),
        doctor=DoctorReports(services),
        gauges=Gauges(services.database, settings.lease),
        series=series or services.meter.read,
        presence=Presence(services.database, "api", settings.broker_url),
        sandbox_places=RequestPlaces(EVALUATIONS, EVALUATIONS // (SHARE if authenticate else 1)),
    )
    app.register_blueprint(health.blueprint)
    app.register_blueprint(api_docs.blueprint)
    app.register_blueprint(metrics.blueprint)
    app.register_blueprint(login.blueprint)
    app.register_blueprint(oidc_login.blueprint)
    app.register_blueprint(pages.blueprint)
    app.before_request(_check_request)
    if prefix := app.extensions[EXTENSION].sessions.prefix:
        app.wsgi_app = _Prefixed(app.wsgi_app, prefix)  # type: ignore[method-assign]
    app.wsgi_app = _ResponseHeaders(app.wsgi_app, services.meter)  # type: ignore[method-assign]
    problems.install(app)
    log.add_context("request", trace_id.ids)
    return app


def _provider(settings: Settings, oidc: OidcSettings | None) -> OidcProvider | None:
    """Return the identity provider, to which browsers come back at the public URL."""
    if oidc is None:
        return None
    return OidcProvider(oidc, f"{str(settings.public_url).rstrip('/')}{oidc_login.CALLBACK}")


class _Application(Flask):
    """Flask, which also answers to `[::1]`: werkzeug cuts a trusted host at its first colon."""

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is not None and _IPV6_LOOPBACK.fullmatch(request.headers.get("Host", "")):
            return self.url_map.bind_to_environ(request.environ, subdomain="")
        return super().create_url_adapter(request)


def _flask(hosts: list[str] | None) -> Flask:
    """Return an application without routes that answers to these host names, or to all."""
    app = _Application("api", static_folder=None)
    app.config.update(CONFIG, TRUSTED_HOSTS=hosts)
    # Turn off werkzeug's redirects to another spelling of a path, with a final slash or without
    # default values. An unknown path is answered with 404, also without a key.
    app.url_map.strict_slashes = False
    app.url_map.redirect_defaults = False
    app.url_map.converters["id"] = IdConverter
    return app


class _Api(flask_smorest.Api):  # type: ignore[misc]  # it has no types
    """flask-smorest without error handlers of its own: `api.http.problems` answers all errors."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Register none."""


def _describe(app: Flask) -> Any:
    api = _Api(app)
    api.register_converter(IdConverter, lambda _: {"type": "string", "format": "uuid"})
    api.spec.components.security_scheme("key", {"type": "http", "scheme": "bearer"})
    for resource in RESOURCES:
        api.register_blueprint(resource.blueprint)
    paths = api.spec._paths  # noqa: SLF001  apispec gives copies only
    idempotency.describe(paths)
    etags.describe(paths)
    return api


def _check_request() -> None:
    """Check path, key, rate and role before the body is read. Raises `Problem`."""
    if "\0" in request.path:
        raise Problem(problem_types.MALFORMED, "the path has the character NUL")
    if "%2f" in request.environ.get("RAW_URI", "").partition("?")[0].lower():
        # Refuse an encoded slash. Flask decodes the path before it looks for the route, so an id
        # that contains a slash would name another resource.
        raise Problem(problem_types.NOT_FOUND, "no part of a path may contain a slash")
    endpoint = request.endpoint
    request.environ[metrics.ROUTE] = request.url_rule.rule if request.url_rule else ""
    view = None if endpoint is None else current_app.view_functions[endpoint]
    least: Role | None = getattr(view, "least_role", None)
    if least is None:
        return
    app = state()
    g.caller = caller_of(app, request)
    if app.authenticator.required:
        app.limiter.count(g.caller.owner)
    if g.caller.role < least:
        raise Problem(problem_types.FORBIDDEN, f"this requires the role {least.name.lower()}")
    if request.method == "POST":
        idempotency.header_key()
    for name, value in (request.view_args or {}).items():
        if isinstance(value, UncheckedId):
            request.view_args[name] = instances.identified(value)  # type: ignore[index]


class _Prefixed:
    """Takes the prefix of `ORCHESTRATOR_PUBLIC_URL` off the paths of requests, where a proxy in
    front has left it."""

    def __init__(self, app: WSGIApplication, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == self._prefix or path.startswith(f"{self._prefix}/"):
            environ = {**environ, "PATH_INFO": path.removeprefix(self._prefix) or "/"}
        return self._app(environ, start_response)


class _ResponseHeaders:
    """Adds the request's id and the security headers to every answer, and counts it.

    It wraps the application, since adding each header in Flask would cost more time.
    """

    def __init__(self, app: WSGIApplication, meter: Meter) -> None:
        self._app = app
        self._meter = meter

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        common = [*SECURITY, (trace_id.HEADER, trace_id.begin(environ))]
        began = monotonic()

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            metrics.count_response(self._meter, environ, status, monotonic() - began)
            return start_response(status, _added(headers, common), *rest)

        return self._app(environ, start)


def _added(headers: list[tuple[str, str]], common: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers with the common ones that they do not contain yet."""
    names = {name for name, _ in headers}
    return [*headers, *(header for header in common if header[0] not in names)]
