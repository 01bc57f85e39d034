"""Requests access tokens from a token endpoint: `oauth2` and `oidc` (dsl-reference.md, OAUTH2 and
OpenIdConnect Authentication; RFC 6749, 7523, 8693)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from orchestrator import json_codec
from orchestrator.calls import call_errors
from orchestrator.calls.http_content import content_of
from orchestrator.calls.http_exchange import is_success, translated_errors
from orchestrator.calls.oauth2_request import object_of, request_fields
from orchestrator.calls.token_cache import Token
from orchestrator.calls.uri_template import expand

if TYPE_CHECKING:
    from orchestrator.calls.call_context import CallContext


Json = Any

WELL_KNOWN = "/.well-known/openid-configuration"
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"


def token_of(properties: Mapping[str, Json], context: CallContext, *, oidc: bool) -> Token:
    """Return a cached token for these properties, or a new one.

    Raises `WorkflowError`: configuration, authentication (no token, or one of another issuer),
    communication, timeout, authorization.
    """
    endpoint = _token_endpoint(properties, context, oidc)
    # Put the resolved URL into the cache's key, so that tenants do not share a token: one URL
    # template can stand for the token endpoints of many tenants.
    key = json_codec.dumps([oidc, endpoint.url, dict(properties)])
    cached = context.tokens.get(key)
    if cached is not None:
        return cached
    return context.tokens.put(key, _request_token(properties, endpoint, context, oidc))


def _request_token(
    properties: Mapping[str, Json], target: _TokenEndpoint, context: CallContext, oidc: bool
) -> Token:
    endpoint = _discovered(target.url, context) if target.discovery else target.url
    fields, headers = request_fields(properties, endpoint)
    if oidc and "openid" not in fields.get("scope", "").split():  # OpenID Connect Core, 3.1.2.1
        fields["scope"] = f"{fields.get('scope', '')} openid".strip()
    encoding = object_of(properties, "request").get("encoding") or _FORM
    body = json_codec.encode(fields) if encoding == _JSON else urlencode(fields).encode()
    with translated_errors():
        response = context.outbound.send(
            "POST",
            endpoint,
            headers=[("Content-Type", encoding), ("Accept", _JSON), *headers],
            content=body,
            timeout=context.timeout,
        )
    answer = content_of(response)
    if not is_success(response.status):
        reason = _error_description(context.secrets.mask(answer))
        raise call_errors.authentication(f"{endpoint} gave no token ({response.status}): {reason}")
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str):
        raise call_errors.authentication(f"{endpoint} answered without an access token")
    _check_issuer(token, properties)
    return Token(_scheme(answer), token, _lifetime(answer))


def _error_description(answer: Json) -> str:
    """Return the error and description of an error response (RFC 6749, 5.2); never the whole
    response."""
    if not isinstance(answer, dict):
        return "no reason is given"
    parts = (answer.get("error"), answer.get("error_description"))
    return ", ".join(str(part)[:200] for part in parts if part) or "no reason is given"


def _scheme(answer: Mapping[str, Json]) -> str:
    scheme = answer.get("token_type")
    return scheme if isinstance(scheme, str) and scheme.lower() != "bearer" else "Bearer"


def _lifetime(answer: Mapping[str, Json]) -> float:
    seconds = answer.get("expires_in")
    return float(seconds) if isinstance(seconds, int | float) else 0.0


@dataclass(frozen=True, slots=True)
class _TokenEndpoint:
    """The URL of a token endpoint, or of the discovery document that names it."""

    url: str
    discovery: bool = False


def _token_endpoint(
    properties: Mapping[str, Json], context: CallContext, oidc: bool
) -> _TokenEndpoint:
    """Return the endpoint: below the authority, or in its discovery document.

    An `oidc` authority that ends in `/token` is the token endpoint itself, as in other runtimes.
    """
    authority = properties.get("authority")
    if not isinstance(authority, str):
        raise call_errors.configuration("the authentication lacks its authority")
    authority = expand(authority, context.input).rstrip("/")
    if authority.endswith(WELL_KNOWN):
        return _TokenEndpoint(authority, discovery=True)
    if oidc:
        if authority.endswith("/token"):
            return _TokenEndpoint(authority)
        return _TokenEndpoint(authority + WELL_KNOWN, discovery=True)
    path = object_of(properties, "endpoints").get("token") or "/oauth2/token"
    return _TokenEndpoint(f"{authority}/{expand(str(path), context.input).lstrip('/')}")


def _discovered(url: str, context: CallContext) -> str:
    with translated_errors():
        response = context.outbound.fetch(url, timeout=context.timeout)
    document = content_of(response) if is_success(response.status) else None
    endpoint = document.get("token_endpoint") if isinstance(document, dict) else None
    if not isinstance(endpoint, str):
        raise call_errors.communication(
            response.status if not is_success(response.status) else 502,
            f"{url} names no token endpoint",
        )
    return endpoint


def _check_issuer(token: str, properties: Mapping[str, Json]) -> None:
    """Refuse a JWT of an issuer that is not listed. An opaque token has no issuer."""
    issuers = properties.get("issuers")
    if not issuers or token.count(".") != 2:
        return
    claims = token.split(".")[1]
    try:
        payload = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    except ValueError:
        return
    issuer = payload.get("iss") if isinstance(payload, dict) else None
    if issuer is not None and issuer not in issuers:
        raise call_errors.authentication(f"the token is of {issuer!r}, which is no listed issuer")
