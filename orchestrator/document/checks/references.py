"""Check that names are defined: errors, retries, timeouts, authentications, secrets, catalogs
(dsl-reference.md, Use)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from orchestrator.document.checks.check_context import Context
from orchestrator.document.dsl_schema.authentication import SCHEMES
from orchestrator.document.message_text import quoted
from orchestrator.document.model import escape
from orchestrator.document.task_sites import TaskSite

Json = Any

_SINGULAR = {
    "errors": "error",
    "retries": "retry policy",
    "timeouts": "timeout",
    "authentications": "authentication policy",
    "secrets": "secret",
    "catalogs": "catalog",
}


def check(context: Context) -> None:
    """Check that `use` defines every name that the document refers to."""
    _check_defined(context, "/timeout", "timeouts", context.document.get("timeout"))
    for site in context.sites:
        for pointer, section, name in _names(site):
            _check_defined(context, pointer, section, name)
    _check_policies(context)


def report_undefined(context: Context, pointer: str, section: str, name: str) -> None:
    """Report that a section of `use` lacks a name."""
    known: Iterable[str] = context.used(section)
    message = f"no {_SINGULAR[section]} {quoted(name)} in 'use.{section}'"
    context.error(pointer, message + context.meant(name, known))


def _check_defined(context: Context, pointer: str, section: str, name: Json) -> None:
    if isinstance(name, str) and name not in context.used(section):
        report_undefined(context, pointer, section, name)


def _names(site: TaskSite) -> Iterator[tuple[str, str, Json]]:
    body, pointer = site.body, site.pointer
    yield f"{pointer}/timeout", "timeouts", body.get("timeout")
    if site.kind == "raise":
        yield f"{pointer}/raise/error", "errors", body["raise"]["error"]
    elif site.kind == "try":
        yield f"{pointer}/catch/retry", "retries", body["catch"].get("retry")
    if "metadata" in body:
        yield f"{pointer}/metadata/retry", "retries", site.metadata.get("retry")


def _check_policies(context: Context) -> None:
    """Check authentication policies in the endpoints and arguments of calls, scripts, schemas and
    catalogs."""
    places: list[tuple[str, Json]] = [("/use/catalogs", context.used("catalogs"))]
    places += [(f"/{key}", context.document.get(key)) for key in ("input", "output")]
    for site in context.sites:
        keys = ("with" if site.kind == "call" else "run", "input", "output", "export")
        places += [(f"{site.pointer}/{key}", site.body[key]) for key in keys if key in site.body]
    for pointer, value in places:
        for place, policy in _authentications(value, pointer):
            _check_policy(context, place, policy)
    for name, policy in context.used("authentications").items():
        _check_policy(context, f"/use/authentications/{escape(name)}", policy)


#: Keys that can lead to a policy within arguments, a process or a schema's resource. The check
#: skips the author's own data beside them (a body, parameters).
_KEYS_TO_POLICIES = frozenset(
    {
        "endpoint", "document", "proto", "service", "agentCard", "server", "transport", "http",
        "script", "source", "schema", "resource",
    }
)  # fmt: skip


def _authentications(value: Json, pointer: str) -> Iterator[tuple[str, Json]]:
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        place = f"{pointer}/{escape(key)}"
        if key == "authentication":
            yield place, inner
        elif key in _KEYS_TO_POLICIES or pointer == "/use/catalogs":
            yield from _authentications(inner, place)


def _check_policy(context: Context, pointer: str, policy: Json) -> None:
    if not isinstance(policy, dict):
        return
    _check_defined(context, f"{pointer}/use", "authentications", policy.get("use"))
    for scheme in SCHEMES:
        settings = policy.get(scheme)
        if isinstance(settings, dict):
            _check_defined(context, f"{pointer}/{scheme}/use", "secrets", settings.get("use"))
            if scheme in _TOKEN_SCHEMES and "use" not in settings:
                _check_token_settings(context, f"{pointer}/{scheme}", scheme, settings)


#: Schemes that request a token from an authority.
_TOKEN_SCHEMES = ("oauth2", "oidc")


def _check_token_settings(
    context: Context, pointer: str, scheme: str, settings: dict[str, Json]
) -> None:
    """Warn of settings without which no token can be requested. The January schema does not require
    them."""
    missing = [key for key in ("authority", "grant") if not settings.get(key)]
    if missing:
        keys = " and ".join(quoted(key) for key in missing)
        message = (
            f"{quoted(scheme)} can't ask for a token without {keys} (or 'use', a secret that"
            " holds them); this task will fault"
        )
        context.warn(pointer, message, at_key=True)
