"""The state of the current app, and the caller and namespaces of the current request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flask import Request, current_app, g, request

from api.http import problem_types
from api.http.problems import Problem
from orchestrator.database.access.audit_queries import AuditEntry
from orchestrator.database.keyset_pages import Scope
from orchestrator.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from api.http.authentication import Authenticator, Caller
    from api.http.body_validators import Validators
    from api.http.rate_limiter import RateLimiter
    from api.http.sessions import Sessions
    from api.shared.change_feed import ChangeFeed
    from api.shared.doctor_reports import DoctorReports
    from api.shared.gauge_cache import Gauges
    from api.shared.hint_sender import Hints
    from api.shared.instance_waiters import Waiters
    from api.shared.live_feed import Feed
    from api.shared.oidc_provider import OidcProvider
    from api.shared.request_places import RequestPlaces
    from orchestrator.bootstrap import Services
    from orchestrator.metrics import Series
    from orchestrator.scheduler.process_announcement import Presence
    from orchestrator.start_requests.outbox_mover import OutboxMover
    from orchestrator.start_requests.workflow_versions import Catalog

EXTENSION = "orchestrator"


@dataclass(frozen=True)
class AppState:
    """The objects that one API process shares among its requests."""

    services: Services
    authenticator: Authenticator
    sessions: Sessions
    oidc: OidcProvider | None
    catalog: Catalog
    outbox: OutboxMover
    hints: Hints
    limiter: RateLimiter
    validators: Validators
    waiters: Waiters
    feed: Feed
    changes: ChangeFeed
    doctor: DoctorReports
    gauges: Gauges
    series: Callable[[], Iterable[Series]]
    presence: Presence
    sandbox_places: RequestPlaces

    def close(self) -> None:
        """Answer the waiting requests, send the queued hints, then close all connections."""
        self.waiters.close()
        self.feed.close()
        self.changes.close()
        self.hints.close()
        self.presence.close()
        self.services.close()


def state() -> AppState:
    """Return the state of the current app."""
    return cast("AppState", current_app.extensions[EXTENSION])


def caller() -> Caller:
    """Return the caller of the current request."""
    return cast("Caller", g.caller)


def caller_of(app: AppState, asked: Request) -> Caller:
    """Return who sends a request: by key, by session, or anybody. Raises `Problem` 401, 403."""
    authorization = asked.headers.get("Authorization")
    if not app.authenticator.required:
        app.sessions.check_origin(asked)  # a page elsewhere must not act for this machine's user
    elif authorization is None:
        person = app.sessions.caller(asked)
        if person is not None:
            return person
    return app.authenticator.caller(authorization, asked.remote_addr)


def key_check() -> Callable[[], bool]:
    """Return a function that tells later, also outside of the request, whether the caller's key or
    session is still valid and grants the same."""
    app, granted = state(), caller()
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001

    def is_valid() -> bool:
        try:
            return caller_of(app, asked) == granted
        except Problem:
            return False
        except DatabaseUnavailable:
            return True  # nobody can revoke it meanwhile

    return is_valid


def scope(namespace: str | None = None) -> Scope:
    """Return the namespaces that the caller may see.

    Raises `Problem` 404 if `namespace` is given and is not among them.
    """
    allowed = caller().scope
    if namespace is not None and not allowed.has(namespace):
        raise Problem(problem_types.NOT_FOUND, f"there is no namespace {namespace[:100]!r}")
    return allowed


def target_namespace(namespace: str | None) -> str:
    """Return the namespace that something is put into: the given one, or the caller's only one.

    Raises `Problem` 404, 422.
    """
    allowed = scope(namespace).namespaces
    if namespace is not None:
        return namespace
    if allowed is None or len(allowed) != 1:
        errors = [{"parameter": "namespace", "message": "which of the key's namespaces?"}]
        raise Problem(problem_types.INVALID, "namespace: which of the key's namespaces?", errors)
    return allowed[0]


def audit_entry(
    action: str,
    namespace: str | None = None,
    target: str | None = None,
    reason: str | None = None,
    **details: object,
) -> AuditEntry:
    """Return the audit log's entry for a change by the caller."""
    return AuditEntry(
        actor=caller().name,
        action=action,
        namespace=namespace,
        target=target,
        reason=reason,
        address=request.remote_addr,
        details=details or None,
    )
