"""What belongs to the present app and the present request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flask import current_app, g, request

from api import kinds
from api.problems import Problem
from orchestrator.database.audit import Entry
from orchestrator.database.pages import Scope

if TYPE_CHECKING:
    from api.auth import Authenticator, Caller
    from api.bodies import Validators
    from api.catalog import Catalog
    from api.feed import Feed
    from api.gauges import Gauges
    from api.hints import Hints
    from api.limits import RateLimiter
    from api.waiting import Waiters
    from orchestrator.bootstrap import Services
    from orchestrator.metrics import Series
    from orchestrator.scheduler.presence import Presence

EXTENSION = "orchestrator"


@dataclass(frozen=True)
class State:
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


def state() -> State:
    """The present app's state."""
    return cast("State", current_app.extensions[EXTENSION])


def caller() -> Caller:
    """Who asks."""
    return cast("Caller", g.caller)


def scope(namespace: str | None = None) -> Scope:
    """The namespaces that the caller may see.

    Raises `Problem` 404 where `namespace` is given and is not among them.
    """
    allowed = caller().scope
    if namespace is not None and not allowed.has(namespace):
        raise Problem(kinds.NOT_FOUND, f"there is no namespace {namespace[:100]!r}")
    return allowed


def entry(
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
