"""What belongs to the present app and the present request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flask import current_app, g, request

from api.http import problem_types
from api.http.problems import Problem
from orchestrator.database.access.audit_queries import Entry
from orchestrator.database.keyset_pages import Scope

if TYPE_CHECKING:
    from api.http.authentication import Authenticator, Caller
    from api.http.body_validators import Validators
    from api.http.rate_limiter import RateLimiter
    from api.shared.gauge_cache import Gauges
    from api.shared.hint_sender import Hints
    from api.shared.instance_waiters import Waiters
    from api.shared.live_feed import Feed
    from api.shared.workflow_cache import Catalog
    from orchestrator.bootstrap import Services
    from orchestrator.metrics import Series
    from orchestrator.scheduler.process_announcement import Presence

EXTENSION = "orchestrator"


@dataclass(frozen=True)
class AppState:
    """What one API process keeps from request to request."""

    services: Services
    authenticator: Authenticator
    catalog: Catalog
    hints: Hints
    limiter: RateLimiter
    validators: Validators
    waiters: Waiters
    feed: Feed
    gauges: Gauges
    series: Callable[[], Iterable[Series]]
    presence: Presence

    def close(self) -> None:
        """Answer those who wait, send the hints that are left, give everything back."""
        self.waiters.close()
        self.feed.close()
        self.hints.close()
        self.presence.close()
        self.services.close()


def state() -> AppState:
    """The present app's state."""
    return cast("AppState", current_app.extensions[EXTENSION])


def caller() -> Caller:
    """Who asks."""
    return cast("Caller", g.caller)


def scope(namespace: str | None = None) -> Scope:
    """The namespaces that the caller may see.

    Raises `Problem` 404 where `namespace` is given and is not among them.
    """
    allowed = caller().scope
    if namespace is not None and not allowed.has(namespace):
        raise Problem(problem_types.NOT_FOUND, f"there is no namespace {namespace[:100]!r}")
    return allowed


def audit_entry(
    action: str,
    namespace: str | None = None,
    target: str | None = None,
    reason: str | None = None,
    **details: object,
) -> Entry:
    """The line of the audit log for a change that the caller makes."""
    return Entry(
        actor=caller().name,
        action=action,
        namespace=namespace,
        target=target,
        reason=reason,
        address=request.remote_addr,
        details=details or None,
    )
