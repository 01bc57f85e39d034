"""The fields and headers of a token request (RFC 6749, 7523, 8693)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from orchestrator import clock
from orchestrator.calls import call_errors
from orchestrator.calls.uri_template import text_of

Json = Any

_GRANTS = frozenset({"client_credentials", "password", "refresh_token"})

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def request_fields(
    properties: Mapping[str, Json], endpoint: str
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the fields of a token request, and its headers."""
    grant = properties.get("grant")
    fields = {"grant_type": text_of(grant)}
    client, headers = _client_authentication(object_of(properties, "client"), endpoint)
    fields.update(client)
    if grant in _GRANTS:
        names = ("username", "password", "refresh_token")
        fields.update({name: text_of(properties[name]) for name in names if name in properties})
    elif grant == _EXCHANGE:
        fields.update(_tokens_to_exchange(properties))
    else:
        raise call_errors.configuration(f"the grant {grant!r} cannot be used without a person")
    if properties.get("scopes"):
        fields["scope"] = " ".join(map(text_of, properties["scopes"]))
    if properties.get("audiences"):
        fields["audience"] = " ".join(map(text_of, properties["audiences"]))
    return fields, headers


def _tokens_to_exchange(properties: Mapping[str, Json]) -> dict[str, str]:
    """Return the tokens to exchange (RFC 8693, 2.1)."""
    fields: dict[str, str] = {}
    for role in ("subject", "actor"):
        token = object_of(properties, role)
        if token:
            fields[f"{role}_token"] = text_of(token.get("token"))
            fields[f"{role}_token_type"] = text_of(token.get("type"))
    if "subject_token" not in fields:
        raise call_errors.configuration("a token exchange needs its subject")
    return fields


def _client_authentication(
    client: Mapping[str, Json], endpoint: str
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the client's authentication: as fields, or as a header."""
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
    """Return a JWT, signed with the client's secret (RFC 7523, 3)."""
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


def object_of(properties: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    """Return an object among the properties, empty if it is absent."""
    value = properties.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise call_errors.configuration(f"the authentication's {name} is not an object")
    return value
