"""Authentication of calls (dsl-reference.md, Authentication)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx2

from orchestrator.calls import call_errors, oauth2
from orchestrator.calls.call_context import CallContext
from orchestrator.calls.http_exchange import Credentials
from orchestrator.calls.token_cache import Token
from orchestrator.calls.uri_template import text_of
from orchestrator.core import document_arguments
from orchestrator.core.dsl_errors import Fault
from orchestrator.errors import WorkflowError

Json = Any


def credentials_of(policy: Json, context: CallContext) -> Credentials:
    """Return the credentials of an authentication policy: inline, `{use: name}`, or None.

    Raises `WorkflowError`: configuration for an invalid policy, authorization for a secret that
    does not exist, authentication if no token was issued.
    """
    if policy is None:
        return Credentials()
    resolved = _resolved_policy(policy, context)
    for scheme, credentials in _SCHEMES.items():
        if scheme in resolved:
            return credentials(_properties(scheme, resolved[scheme], context), context)
    raise call_errors.configuration(f"the authentication is none of {', '.join(_SCHEMES)}")


def _resolved_policy(policy: Json, context: CallContext) -> Mapping[str, Json]:
    """Return an inline policy, or the named one with its expressions evaluated."""
    name = policy.get("use") if isinstance(policy, dict) else policy
    if isinstance(name, str):
        if name not in context.authentications:
            raise call_errors.configuration(f"there is no authentication named {name!r}")
        policy = evaluate_structured(
            document_arguments.policy_in_authored_structure, context.authentications[name], context
        )
    if not isinstance(policy, dict):
        raise call_errors.configuration("an authentication is an object, or the name of one")
    return policy


def evaluate_structured(
    shape: Callable[[Json, Json], Json], stored: Json, context: CallContext
) -> Mapping[str, Json]:
    """Evaluate a part of the document; keep the structure that the document gives it.

    `shape`: see `core.document_arguments.in_authored_structure`. Raises `WorkflowError`
    (validation, configuration) and what `CallContext.fill` raises.
    """
    try:
        evaluated: Mapping[str, Json] = shape(stored, context.fill(stored))
    except Fault as fault:
        raise WorkflowError(**fault.error) from fault
    return evaluated


def _properties(scheme: str, value: Json, context: CallContext) -> Mapping[str, Json]:
    """Return the scheme's properties, which may be in a secret: `{use: secret}`."""
    if isinstance(value, dict) and isinstance(value.get("use"), str):
        value = context.secrets.value(value["use"])
    if scheme == "bearer" and isinstance(value, str):
        return {"token": value}
    if not isinstance(value, dict):
        raise call_errors.configuration(f"the {scheme} authentication is not an object")
    return value


def _basic(properties: Mapping[str, Json], _: CallContext) -> Credentials:
    pair = f"{_required(properties, 'username')}:{_required(properties, 'password')}"
    return _authorization(f"Basic {base64.b64encode(pair.encode()).decode()}")


def _bearer(properties: Mapping[str, Json], _: CallContext) -> Credentials:
    return _authorization(f"Bearer {_required(properties, 'token')}")


def _digest(properties: Mapping[str, Json], _: CallContext) -> Credentials:
    username, password = _required(properties, "username"), _required(properties, "password")
    return Credentials(auth=httpx2.DigestAuth(username, password))


def _oauth2(properties: Mapping[str, Json], context: CallContext) -> Credentials:
    return _token(oauth2.token_of(properties, context, oidc=False), context)


def _oidc(properties: Mapping[str, Json], context: CallContext) -> Credentials:
    return _token(oauth2.token_of(properties, context, oidc=True), context)


def _token(token: Token, context: CallContext) -> Credentials:
    authorized = _authorization(f"{token.scheme} {token.value}")
    return replace(authorized, on_rejected=lambda: context.tokens.remove(token))


_SCHEMES = {
    "basic": _basic,
    "bearer": _bearer,
    "digest": _digest,
    "oauth2": _oauth2,
    "oidc": _oidc,
}


def _authorization(value: str) -> Credentials:
    return Credentials(headers=(("Authorization", value),))


def _required(properties: Mapping[str, Json], name: str) -> str:
    value = properties.get(name)
    if value is None or isinstance(value, dict | list):
        raise call_errors.configuration(f"the authentication lacks its {name}")
    return text_of(value)
