"""`call: http` (dsl-reference.md, HTTP Call)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from orchestrator import json_codec
from orchestrator.calls import call_errors
from orchestrator.calls.authentication import credentials_of
from orchestrator.calls.call_context import CallContext
from orchestrator.calls.call_secrets import mentions
from orchestrator.calls.http_exchange import Request, exchange, headers_of, output_of, query_of
from orchestrator.calls.uri_template import expand
from orchestrator.outbound import Confined

Json = Any


def perform(arguments: Mapping[str, Json], context: CallContext) -> Json:
    """Make the request and return the part of its response that `output` selects.

    `arguments`: method, endpoint (a URI template or `{uri, authentication}`), headers, query, body,
    output, redirect. Raises `WorkflowError`.
    """
    method = arguments.get("method")
    if not isinstance(method, str):
        raise call_errors.validation("the call has no method")
    uri, policy = endpoint_of(arguments.get("endpoint"), context)
    follows = arguments.get("redirect") is True
    headers = headers_of(arguments.get("headers"))
    secret = _secret_parts(arguments, context) if follows else Confined()
    body, headers = body_of(arguments.get("body"), headers)
    request = Request(
        method=method,
        uri=uri,
        headers=headers,
        query=query_of(arguments.get("query")),
        body=body,
        redirect=follows,
        secret_headers=secret.headers,
        secret_body=secret.body,
    )
    response = exchange(request, credentials_of(policy, context), context)
    return output_of(response, arguments.get("output"), method)


def _secret_parts(arguments: Mapping[str, Json], context: CallContext) -> Confined:
    """Return the parts of the request that were made with secrets."""
    headers = context.secret_members("headers", arguments.get("headers") or {})
    body = context.secret_members("body", {"body": arguments.get("body")})
    stored = context.stored.get("body") if isinstance(context.stored, dict) else None
    return Confined(headers, bool(body) or mentions(stored))


def endpoint_of(endpoint: Json, context: CallContext) -> tuple[str, Json]:
    """Return the URI of an endpoint, its template expanded, and its authentication policy."""
    uri, policy = endpoint, None
    if isinstance(endpoint, dict):
        uri, policy = endpoint.get("uri"), endpoint.get("authentication")
    if not isinstance(uri, str):
        raise call_errors.validation("the endpoint of a call is a URI, or an object with one")
    return expand(uri, context.input), policy


def body_of(
    body: Json, headers: tuple[tuple[str, str], ...]
) -> tuple[bytes | None, tuple[tuple[str, str], ...]]:
    """Return a body's bytes and the headers. A text is sent unchanged; anything else as JSON, or as
    a form if the content type is that of a form. Null is no body."""
    if body is None:
        return None, headers
    declared = next((value for name, value in headers if name.lower() == "content-type"), None)
    if isinstance(body, str):
        return body.encode(), _typed(headers, declared, "text/plain; charset=utf-8")
    if (declared or "").lower().startswith("application/x-www-form-urlencoded"):
        return urlencode(query_of(body)).encode(), headers
    return json_codec.encode(body), _typed(headers, declared, "application/json")


def _typed(
    headers: tuple[tuple[str, str], ...], declared: str | None, default: str
) -> tuple[tuple[str, str], ...]:
    return headers if declared is not None else (*headers, ("Content-Type", default))
