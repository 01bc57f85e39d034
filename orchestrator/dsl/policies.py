"""Errors, retries, authentication and schedules, as a document has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NewType

from orchestrator.dsl.expression import Expression
from orchestrator.dsl.values import Duration, condition, duration, given

Json = Any
Text = str | Expression

Error = NewType("Error", dict[str, Json])
Retry = NewType("Retry", dict[str, Json])
Authentication = NewType("Authentication", dict[str, Json])
Schedule = NewType("Schedule", dict[str, Json])


def error_of(
    type: Text,
    status: int,
    *,
    title: Text | None = None,
    detail: Text | None = None,
    instance: str | None = None,
) -> Error:
    """Return an error (RFC 9457): `type` is a URI, `status` that of HTTP."""
    made = {"type": type, "status": status}
    return Error(made | given(title=title, detail=detail, instance=instance))


def retry(
    *,
    delay: Duration | None = None,
    backoff: Literal["constant", "exponential", "linear"] | Mapping[str, Json] | None = None,
    attempts: int | None = None,
    attempt_timeout: Duration | None = None,
    within: Duration | None = None,
    jitter: tuple[Duration, Duration] | None = None,
    when: Expression | bool | None = None,
    except_when: Expression | bool | None = None,
) -> Retry:
    """Return a retry policy: at most `attempts` tries, all `within` a time."""
    each = given(count=attempts, duration=_duration(attempt_timeout))
    limit = given(attempt=each or None, duration=_duration(within))
    between = None if jitter is None else _between(*jitter)
    kind: Json = {backoff: {}} if isinstance(backoff, str) else backoff
    made = given(delay=_duration(delay), backoff=kind, limit=limit or None, jitter=between)
    conditions = given(
        when=None if when is None else condition(when),
        exceptWhen=None if except_when is None else condition(except_when),
    )
    return Retry(made | conditions)


def _duration(value: Duration | None) -> Json:
    return None if value is None else duration(value)


def _between(least: Duration, most: Duration) -> dict[str, Json]:
    return {"from": duration(least), "to": duration(most)}


def basic(username: Text, password: Text) -> Authentication:
    """Return basic authentication."""
    return Authentication({"basic": {"username": username, "password": password}})


def digest(username: Text, password: Text) -> Authentication:
    """Return digest authentication."""
    return Authentication({"digest": {"username": username, "password": password}})


def bearer(token: Text) -> Authentication:
    """Return authentication by a bearer token."""
    return Authentication({"bearer": {"token": token}})


def oauth2(authority: str, grant: str, **settings: Json) -> Authentication:
    """Return OAuth 2: `settings` are `client`, `endpoints`, `scopes`, `audiences` and so on."""
    return Authentication({"oauth2": {"authority": authority, "grant": grant, **settings}})


def oidc(authority: str, grant: str, **settings: Json) -> Authentication:
    """Return OpenID Connect; `settings` as for `oauth2`."""
    return Authentication({"oidc": {"authority": authority, "grant": grant, **settings}})


def from_secret(
    scheme: Literal["basic", "bearer", "digest", "oauth2", "oidc"], secret: str
) -> Authentication:
    """Return authentication whose settings are a secret."""
    return Authentication({scheme: {"use": secret}})


def authentication(name: str) -> Authentication:
    """Return one of the authentications of `use`, by its name."""
    return Authentication({"use": name})


def every(time: Duration) -> Schedule:
    """Return a schedule that starts an instance again and again, so often."""
    return Schedule({"every": duration(time)})


def cron(expression: str) -> Schedule:
    """Return a schedule by a cron expression: ``cron("0 9 * * MON")``."""
    return Schedule({"cron": expression})


def after(time: Duration) -> Schedule:
    """Return a schedule that starts an instance so long after the last one has ended."""
    return Schedule({"after": duration(time)})


def on_events(
    consumption: Mapping[str, Json], *, read: Literal["data", "envelope", "raw"] | None = None
) -> Schedule:
    """Return a schedule by events: ``on_events(one(event(type="shop.ordered")))``."""
    return Schedule({"on": dict(consumption), **given(read=read)})
