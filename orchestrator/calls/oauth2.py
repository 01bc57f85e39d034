"""Access tokens from a token endpoint: `oauth2` and `oidc` (dsl-reference.md, OAUTH2 and
OpenIdConnect Authentication; RFC 6749, 7523, 8693)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from orchestrator import clock, json_codec
from orchestrator.calls import call_errors
from orchestrator.calls.http_content import content_of
from orchestrator.calls.http_exchange import is_success, translated_errors
from orchestrator.calls.token_cache import Token
from orchestrator.calls.uri_template import expand, text_of

if TYPE_CHECKING:
    from orchestrator.calls.call_context import CallContext

Json = Any

WELL_KNOWN = "/.well-known/openid-configuration"
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"
_GRANTS = frozenset({"client_credentials", "password", "refresh_token"})
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def token_of(properties: Mapping[str, Json], context: CallContext, *, oidc: bool) -> Token:
    """A token for these properties: one that is still good, or a new one.

    Raises `WorkflowError`: configuration, authentication (the endpoint gave none, or one of
    another issuer), communication, timeout, authorization.
    """
    place = _token_endpoint(properties, context, oidc)
    # The place as it was resolved: one template stands for the endpoints of many tenants.
    key = json_codec.dumps([oidc, place.url, dict(properties)])
    kept = context.tokens.get(key)
    if kept is not None:
        return kept
    return context.tokens.put(key, _request_token(properties, place, context, oidc))


def _request_token(
    properties: Mapping[str, Json], place: _TokenEndpoint, context: CallContext, oidc: bool
) -> Token:
    endpoint = _discovered(place.url, context) if place.discovery else place.url
    fields, headers = _request(properties, endpoint)
    if oidc and "openid" not in fields.get("scope", "").split():  # OpenID Connect Core, 3.1.2.1
        fields["scope"] = f"{fields.get('scope', '')} openid".strip()
    encoding = _object(properties, "request").get("encoding") or _FORM
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
    """What an error response says (RFC 6749, 5.2); never the whole of it."""
    if not isinstance(answer, dict):
        return "it does not say why"
    said = (answer.get("error"), answer.get("error_description"))
    return ", ".join(str(part)[:200] for part in said if part) or "it does not say why"


def _scheme(answer: Mapping[str, Json]) -> str:
    scheme = answer.get("token_type")
    return scheme if isinstance(scheme, str) and scheme.lower() != "bearer" else "Bearer"


def _lifetime(answer: Mapping[str, Json]) -> float:
    seconds = answer.get("expires_in")
    return float(seconds) if isinstance(seconds, int | float) else 0.0


@dataclass(frozen=True, slots=True)
class _TokenEndpoint:
    """A token endpoint's URL, or that of the discovery document that names it."""

    url: str
    discovery: bool = False


def _token_endpoint(
    properties: Mapping[str, Json], context: CallContext, oidc: bool
) -> _TokenEndpoint:
    """Where tokens are: below the authority, or where its discovery document says.

    An `oidc` authority that is a token endpoint itself is taken as such, as other runtimes do.
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
    path = _object(properties, "endpoints").get("token") or "/oauth2/token"
    return _TokenEndpoint(f"{authority}/{expand(str(path), context.input).lstrip('/')}")


def _discovered(url: str, context: CallContext) -> str:
    with translated_errors():
        response = context.outbound.fetch(url, timeout=context.timeout)
    document = content_of(response) if is_success(response.status) else None
    endpoint = document.get("token_endpoint") if isinstance(document, dict) else None
    if not isinstance(endpoint, str):
        raise call_errors.communication(
            response.status if not is_success(response.status) else 502,
            f"{url} does not tell a token endpoint",
        )
    return endpoint


def _request(
    properties: Mapping[str, Json], endpoint: str
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The fields of a token request, and its headers."""
    grant = properties.get("grant")
    fields = {"grant_type": text_of(grant)}
    client, headers = _client(_object(properties, "client"), endpoint)
    fields.update(client)
    if grant in _GRANTS:
        names = ("username", "password", "refresh_token")
        fields.update({name: text_of(properties[name]) for name in names if name in properties})
    elif grant == _EXCHANGE:
        fields.update(_tokens(properties))
    else:
        raise call_errors.configuration(f"the grant {grant!r} cannot be used without a person")
    if properties.get("scopes"):
        fields["scope"] = " ".join(map(text_of, properties["scopes"]))
    if properties.get("audiences"):
        fields["audience"] = " ".join(map(text_of, properties["audiences"]))
    return fields, headers


def _tokens(properties: Mapping[str, Json]) -> dict[str, str]:
    """The tokens that are exchanged for another (RFC 8693, 2.1)."""
    fields: dict[str, str] = {}
    for role in ("subject", "actor"):
        given = _object(properties, role)
        if given:
            fields[f"{role}_token"] = text_of(given.get("token"))
            fields[f"{role}_token_type"] = text_of(given.get("type"))
    if "subject_token" not in fields:
        raise call_errors.configuration("a token exchange needs its subject")
    return fields


def _client(
    client: Mapping[str, Json], endpoint: str
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """How the client proves itself: in the fields, or in a header."""
    method = client.get("authentication") or "client_secret_post"
    name, secret = text_of(client.get("id")), text_of(client.get("secret"))
    if method == "client_secret_basic":
        pair = f"{quote(name, safe='')}:{quote(secret, safe='')}"
        basic = base64.b64encode(pair.encode()).decode()
        return {}, [("Authorization", f"Basic {basic}")]
    if method in ("client_secret_jwt", "private_key_jwt"):
        assertion = text_of(client.get("assertion"))
        if not assertion and method == "private_key_jwt":
            raise call_errors.configuration("private_key_jwt needs the client's assertion")
        assertion = assertion or _assertion(name, secret, endpoint)
        fields = {"client_assertion_type": _ASSERTION, "client_assertion": assertion}
        return {**({"client_id": name} if name else {}), **fields}, []
    fields = {"client_id": name, "client_secret": "" if method == "none" else secret}
    return {key: value for key, value in fields.items() if value}, []


def _assertion(name: str, secret: str, audience: str) -> str:
    """A JWT that only who knows the secret can sign (RFC 7523, 3)."""
    now = int(clock.now().timestamp())
    claims = {"iss": name, "sub": name, "aud": audience, "jti": str(uuid.uuid4())}
    head = _part({"alg": "HS256", "typ": "JWT"})
    signed = f"{head}.{_part({**claims, 'iat': now, 'exp': now + 60})}"
    digest = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_base64url(digest)}"


def _part(value: Json) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _check_issuer(token: str, properties: Mapping[str, Json]) -> None:
    """Refuse a JWT of another issuer than those listed. An opaque token says nothing."""
    issuers = properties.get("issuers")
    if not issuers or token.count(".") != 2:
        return
    claims = token.split(".")[1]
    try:
        said = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    except ValueError:
        return
    issuer = said.get("iss") if isinstance(said, dict) else None
    if issuer is not None and issuer not in issuers:
        raise call_errors.authentication(f"the token is of {issuer!r}, which is no listed issuer")


def _object(properties: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = properties.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise call_errors.configuration(f"the authentication's {name} is not an object")
    return value
