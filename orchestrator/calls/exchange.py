"""A request and its response, as calls over HTTP share them.

Errors are those of the DSL: a status that is none of success is a `communication` error with
that status, no response in time a `timeout`, and an address that the workflow may not reach an
`authorization` error, which no retry of communication errors repeats.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2

from orchestrator import codec
from orchestrator.calls import faults
from orchestrator.calls.context import CallContext
from orchestrator.calls.uris import text_of
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
_KEPT_TO_OURSELVES = frozenset({"authorization", "cookie", "proxy-authorization"})
_TEXTUAL = ("json", "xml", "yaml", "javascript", "x-www-form-urlencoded", "graphql", "csv")


@dataclass(frozen=True, slots=True)
class Request:
    """A request to make. `body` of None is none; `redirect`: follow redirections, and take
    one that leads nowhere for a success (dsl-reference.md, HTTP Call). What was made with
    secrets, `secret_headers` by their names, does not go along to another origin."""

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
    """What goes with a request: headers, or an exchange of challenge and answer. `refused` is
    called when the other side did not take them."""

    headers: tuple[tuple[str, str], ...] = ()
    auth: httpx2.Auth | None = None
    refused: Callable[[], None] | None = None


def exchange(request: Request, credentials: Credentials, context: CallContext) -> Response:
    """Send a request. Raises `WorkflowError` for every response that is no success."""
    headers = frozenset(name for name, _ in credentials.headers) | request.secret_headers
    with translated():
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
    if response.status == 401 and credentials.refused is not None:
        credentials.refused()
    if not is_success(response.status, redirect=request.redirect):
        raise failure(response)
    return response


def is_success(status: int, *, redirect: bool = False) -> bool:
    """Is this a status of success, redirections included or not?"""
    return 200 <= status <= (399 if redirect else 299)


def failure(response: Response) -> Exception:
    """The error for a response that is no success, with the beginning of what it said."""
    said = _text(response)[:300].strip() if _is_text(response) else ""
    where = f"{response.method} {_without_query(response.url)} answered {response.status}"
    return faults.communication(response.status, f"{where}: {said}" if said else where)


@contextmanager
def translated() -> Iterator[None]:
    """What an outgoing request may raise, as the DSL's errors."""
    try:
        yield
    except Refused as error:
        raise faults.authorization(str(error)) from error
    except InvalidRequest as error:
        raise faults.validation(str(error)) from error
    except TimedOut as error:
        raise faults.timeout(str(error)) from error
    except OutboundError as error:
        status = 502 if isinstance(error, BadResponse) else 503
        raise faults.communication(status, str(error)) from error


def headers_of(value: Json) -> tuple[tuple[str, str], ...]:
    """The headers that a call's arguments say. Null leaves one out, an array says it often."""
    return _pairs(value, "headers")


def query_of(value: Json) -> tuple[tuple[str, str], ...]:
    """The query that a call's arguments say. Null leaves one out, an array says it often."""
    return _pairs(value, "query")


def _pairs(value: Json, what: str) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise faults.validation(f"the {what} of a call must be an object")
    return tuple(
        (name, codec.dumps(item) if isinstance(item, dict | list) else text_of(item))
        for name, items in value.items()
        for item in (items if isinstance(items, list) else [items])
        if item is not None
    )


def output_of(response: Response, form: Json, method: str) -> Json:
    """What a call outputs of its response: `content` (the default), `response` or `raw`."""
    if form == "raw":
        return base64.b64encode(response.content).decode()
    if form == "response":
        return _described(response, method)
    if form in (None, "content"):
        return content_of(response)
    raise faults.validation(f"the output of a call is one of {', '.join(OUTPUTS)}, not {form!r}")


def _described(response: Response, method: str) -> Json:
    """The response as the DSL has it (dsl-reference.md, HTTP Response), without the
    credentials that were sent."""
    sent = [pair for pair in response.request_headers if pair[0].lower() not in _KEPT_TO_OURSELVES]
    return {
        "request": {"method": method, "uri": response.url, "headers": _joined(sent)},
        "statusCode": response.status,
        "headers": _joined(response.headers),
        "content": content_of(response),
    }


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def content_of(response: Response) -> Json:
    """A response's content: JSON deserialised, text as text, anything else in base64; null
    where there is none. Content of no declared type is taken for what it can be read as."""
    if not response.content:
        return None
    media = media_type(response)
    if media == "application/json" or media.endswith("+json"):
        return _json(response)
    if _is_text(response):
        return _text(response)
    return _guessed(response) if not media else base64.b64encode(response.content).decode()


def media_type(response: Response) -> str:
    """The response's media type, without parameters; empty where it says none."""
    return (response.header("content-type") or "").partition(";")[0].strip().lower()


def _json(response: Response) -> Json:
    try:
        return codec.loads(response.content)
    except codec.NotJson as error:
        where = _without_query(response.url)
        raise faults.communication(502, f"{where} answered with broken JSON: {error}") from error


def _is_text(response: Response) -> bool:
    media = media_type(response)
    return media.startswith("text/") or any(media.endswith(kind) for kind in _TEXTUAL)


def _text(response: Response) -> str:
    declared = (response.header("content-type") or "").lower().partition("charset=")[2]
    charset = declared.partition(";")[0].strip(" \"'") or "utf-8"
    try:
        return response.content.decode(charset, "replace")
    except LookupError:
        return response.content.decode("utf-8", "replace")


def _guessed(response: Response) -> Json:
    try:
        return codec.loads(response.content)
    except codec.NotJson:
        pass
    try:
        return response.content.decode()
    except UnicodeDecodeError:
        return base64.b64encode(response.content).decode()


def _without_query(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"
