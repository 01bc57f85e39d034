"""A request and its response, for all kinds of calls over HTTP.

Errors are the DSL's. An unsuccessful status is a `communication` error with that status; no
response in time is a `timeout`. An address that the workflow may not reach is an `authorization`
error, which a retry of communication errors does not repeat.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from orchestrator import json_codec
from orchestrator.calls import call_errors
from orchestrator.calls.call_context import CallContext
from orchestrator.calls.http_content import (
    content_of,
    failed_data,
    headers_as_object,
    is_text,
    text_of_body,
    without_query,
)
from orchestrator.calls.uri_template import text_of
from orchestrator.outbound import (
    BadResponse,
    Confined,
    InvalidRequest,
    OutboundError,
    Refused,
    Response,
    TimedOut,
)

Json = Any

OUTPUTS = ("content", "response", "raw")
_HIDDEN_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `body` None means no body. `redirect`: follow redirections, and accept one without
    a target as a success (dsl-reference.md, HTTP Call). Headers named in `secret_headers`, and the
    body if `secret_body`, are made with secrets and are not sent to another origin."""

    method: str
    uri: str
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    redirect: bool = False
    secret_headers: frozenset[str] = frozenset()
    secret_body: bool = False


@dataclass(frozen=True, slots=True)
class Credentials:
    """The authentication of a request: headers, or a challenge and response. `on_rejected` is
    called if the server answers 401."""

    headers: tuple[tuple[str, str], ...] = ()
    auth: httpx2.Auth | None = None
    on_rejected: Callable[[], None] | None = None


def exchange(request: Request, credentials: Credentials, context: CallContext) -> Response:
    """Send a request. Raise `WorkflowError` for an unsuccessful response."""
    headers = frozenset(name for name, _ in credentials.headers) | request.secret_headers
    with translated_errors():
        response = context.outbound.send(
            request.method,
            request.uri,
            headers=(*request.headers, *credentials.headers),
            confined=Confined(headers, request.secret_body),
            query=request.query,
            content=request.body,
            auth=credentials.auth,
            redirects=request.redirect,
            timeout=context.timeout,
        )
    if response.status == 401 and credentials.on_rejected is not None:
        credentials.on_rejected()
    if not is_success(response.status, redirect=request.redirect):
        raise failure(response, context)
    return response


def is_success(status: int, *, redirect: bool = False) -> bool:
    """Whether the status is a success; `redirect`: redirections count as success."""
    return 200 <= status <= (399 if redirect else 299)


def failure(response: Response, context: CallContext) -> Exception:
    """Return the error of an unsuccessful response, with the beginning of its text as detail and
    the response as data (`failed_data`)."""
    # Mask the secrets before the text is cut: the mask would not recognise half a secret.
    text = context.secrets.mask(text_of_body(response)) if is_text(response) else ""
    text = text[:300].strip()
    where = f"{response.method} {without_query(response.url)} answered {response.status}"
    detail = f"{where}: {text}" if text else where
    return call_errors.communication(response.status, detail, failed_data(response))


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate errors of outgoing requests into the DSL's errors."""
    try:
        yield
    except Refused as error:
        raise call_errors.authorization(str(error)) from error
    except InvalidRequest as error:
        raise call_errors.validation(str(error)) from error
    except TimedOut as error:
        raise call_errors.timeout(str(error)) from error
    except OutboundError as error:
        status = 502 if isinstance(error, BadResponse) else 503
        raise call_errors.communication(status, str(error)) from error


def headers_of(value: Json) -> tuple[tuple[str, str], ...]:
    """Return the headers in a call's arguments. Null leaves a header out, an array repeats it."""
    return _pairs(value, "headers")


def query_of(value: Json) -> tuple[tuple[str, str], ...]:
    """Return the query in a call's arguments. Null leaves a member out, an array repeats it."""
    return _pairs(value, "query")


def _pairs(value: Json, what: str) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise call_errors.validation(f"the {what} of a call must be an object")
    return tuple(
        (name, json_codec.dumps(item) if isinstance(item, dict | list) else text_of(item))
        for name, items in value.items()
        for item in (items if isinstance(items, list) else [items])
        if item is not None
    )


def output_of(response: Response, form: Json, method: str) -> Json:
    """Return a call's output from its response: `content` (the default), `response` or `raw`."""
    if form == "raw":
        return base64.b64encode(response.content).decode()
    if form == "response":
        return _response_object(response, method)
    if form in (None, "content"):
        return content_of(response)
    raise call_errors.validation(
        f"the output of a call is one of {', '.join(OUTPUTS)}, not {form!r}"
    )


def _response_object(response: Response, method: str) -> Json:
    """Return the response in the form of the DSL (dsl-reference.md, HTTP Response), without the
    credentials of the request."""
    sent = [pair for pair in response.request_headers if pair[0].lower() not in _HIDDEN_HEADERS]
    return {
        "request": {"method": method, "uri": response.url, "headers": headers_as_object(sent)},
        "statusCode": response.status,
        "headers": headers_as_object(response.headers),
        "content": content_of(response),
    }
