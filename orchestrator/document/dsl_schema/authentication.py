"""Authentication policies (dsl-reference.md, Authentication)."""

from __future__ import annotations

from orchestrator.document.dsl_schema.schema_builders import (
    LIST_OF_TEMPLATES,
    LITERAL,
    TEMPLATE,
    Revision,
    Schema,
    exactly_one,
    mapping,
    one_of,
    open_mapping,
    ref,
    when,
)

SCHEMES = ("basic", "bearer", "digest", "oauth2", "oidc")

_NAME: Schema = {**LITERAL, "minLength": 1}
_GRANTS = (
    "authorization_code",
    "client_credentials",
    "password",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:token-exchange",
)
_CLIENT_METHODS = (
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "none",
)
_ENCODINGS = ("application/x-www-form-urlencoded", "application/json")


def definitions(revision: Revision) -> dict[str, Schema]:
    """Return policies, and fields for a policy or its name, as `$defs`."""
    schemes: dict[str, Schema] = {scheme: ref(f"auth-{scheme}") for scheme in SCHEMES}
    required = ["authority", "grant"] if revision is Revision.JULY else []
    endpoints = open_mapping(dict.fromkeys(("token", "revocation", "introspection"), TEMPLATE))
    return {
        "auth-basic": _own_or_secret({"username": TEMPLATE, "password": TEMPLATE}),
        "auth-bearer": _own_or_secret({"token": TEMPLATE}),
        "auth-digest": _own_or_secret({"username": TEMPLATE, "password": TEMPLATE}),
        "auth-oauth2": _own_or_secret({**_oauth2(), "endpoints": endpoints}, required),
        "auth-oidc": _own_or_secret(_oauth2(), required),
        "oauth2-token": mapping({"token": TEMPLATE, "type": TEMPLATE}, ["token", "type"]),
        "authentication": _policy(schemes),
        "authentication-or-name": mapping(
            {"use": _NAME, **schemes}, **exactly_one("use", *SCHEMES)
        ),
    }


def _policy(schemes: dict[str, Schema]) -> Schema:
    """Return the schema of a policy. A policy is open: if it has several schemes, exactly one of
    them must be valid."""
    several = [{"properties": {key: each}, "required": [key]} for key, each in schemes.items()]
    single = when(exactly_one(*schemes), {"properties": schemes}, {"oneOf": several})
    return {"type": "object", **single, "properties": dict.fromkeys(schemes, True)}


def _own_or_secret(own: dict[str, Schema], required: list[str] | None = None) -> Schema:
    """Return the schema of a scheme's own settings, or of the name of the secret that contains
    them."""
    keys = list(own) if required is None else required
    secret = mapping({"use": _NAME}, ["use"])
    return {"type": "object", **when({"required": ["use"]}, secret, mapping(own, keys))}


def _oauth2() -> dict[str, Schema]:
    client = {
        "id": TEMPLATE,
        "secret": TEMPLATE,
        "assertion": TEMPLATE,
        "authentication": one_of(*_CLIENT_METHODS),
    }
    return {
        "authority": ref("uri"),
        "grant": one_of(*_GRANTS),
        "client": mapping(client),
        "request": open_mapping({"encoding": one_of(*_ENCODINGS)}),
        "issuers": LIST_OF_TEMPLATES,
        "scopes": LIST_OF_TEMPLATES,
        "audiences": LIST_OF_TEMPLATES,
        "username": TEMPLATE,
        "password": TEMPLATE,
        "subject": ref("oauth2-token"),
        "actor": ref("oauth2-token"),
    }
