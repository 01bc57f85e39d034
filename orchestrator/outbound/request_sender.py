"""Sends one request with httpx2."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import httpx2

from orchestrator.errors import ConfigurationError
from orchestrator.outbound.address_guard import Guard
from orchestrator.outbound.bounded_response import Response, read
from orchestrator.outbound.errors import (
    BadResponse,
    InvalidRequest,
    NoAddress,
    OutboundError,
    Refused,
    TimedOut,
    Unreachable,
)
from orchestrator.outbound.guarded_transport import Deadline, GuardedTransport

if TYPE_CHECKING:
    from orchestrator.outbound.origin_confinement import Confined

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")
_CLIENT_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
_SCHEMES = ("http", "https")
_METHODS_REFUSED = frozenset({"CONNECT", "TRACE"})


class RequestSender:
    """Sends requests by the rules of an `OutboundClient`; the parameters are the same."""

    def __init__(self, guard: Guard, ca: str | None, max_bytes: int, max_redirects: int) -> None:
        self._guard = guard
        self._ca = ca
        self._max_bytes = max_bytes
        self._max_redirects = max_redirects

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Iterable[tuple[str, str]],
        query: Iterable[tuple[str, str]],
        content: bytes | None,
        auth: httpx2.Auth | None,
        redirects: bool,
        timeout: float,
        confined: Confined,
    ) -> Response:
        """Send a request, as `OutboundClient.send` does; `timeout` is in seconds."""
        deadline = Deadline(timeout)
        with _translated(), self._client(deadline, auth, confined) as client:
            request = client.build_request(
                _method(method),
                _url(url, query),
                headers=[*_headers(headers), (b"Accept-Encoding", b"gzip")],
                content=content,
            )
            response = client.send(request, stream=True, follow_redirects=redirects)
            try:
                return read(response, self._max_bytes)
            finally:
                response.close()

    @cached_property
    def _context(self) -> ssl.SSLContext:
        context = httpx2.create_ssl_context(trust_env=False)
        if self._ca is not None:
            try:
                context.load_verify_locations(cafile=self._ca)
            except (OSError, ssl.SSLError) as error:
                raise ConfigurationError(f"{self._ca} holds no certificates: {error}") from error
        return context

    def _client(
        self, deadline: Deadline, auth: httpx2.Auth | None, confined: Confined
    ) -> httpx2.Client:
        return httpx2.Client(
            transport=GuardedTransport(self._context, self._guard, deadline),
            auth=auth,
            max_redirects=self._max_redirects,
            timeout=None,  # the deadline bounds each wait
            trust_env=False,
            headers={"User-Agent": "celery-orchestrator", "Accept": "*/*"},
            event_hooks={"request": [_inspect, _Origin(confined).confine]},
        )


class _Origin:
    """The first origin of a request; removes what a redirection to another origin must not carry.

    httpx2 builds a redirected request from the previous one. So what is removed once stays removed,
    also if a later redirection returns to the first origin.
    """

    def __init__(self, confined: Confined) -> None:
        self._names = {*_CREDENTIALS, *(name.lower() for name in confined.headers)}
        self._body = confined.body
        self._first: tuple[str, str, int | None] | None = None

    def confine(self, request: httpx2.Request) -> None:
        """Remove what is confined to the first origin. Raise `Refused` for a confined body."""
        url = request.url
        origin = (url.scheme, url.host, url.port)
        self._first = self._first or origin
        if origin == self._first:
            return
        for name in self._names:
            request.headers.pop(name, None)
        if self._body and request.headers.get("content-length", "0") != "0":
            raise Refused(
                f"a redirection to {url.scheme}://{url.netloc.decode('ascii')} would take a body"
                " made with secrets to another origin"
            )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OutboundError:
        raise
    except httpx2.TimeoutException as error:
        raise TimedOut(f"no answer in time ({_message(error)})") from error
    except httpx2.TooManyRedirects as error:
        raise BadResponse(f"too many redirects ({_message(error)})") from error
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
        raise Refused(f"the URL may not be called: {_message(error)}") from error
    except httpx2.LocalProtocolError as error:
        raise InvalidRequest(_message(error)) from error
    except httpx2.RequestError as error:
        raise Unreachable(_message(error)) from error


def _message(error: Exception) -> str:
    return str(error) or type(error).__name__


def _method(method: str) -> str:
    name = method.upper()
    if not _TOKEN.fullmatch(name) or name in _METHODS_REFUSED:
        raise InvalidRequest(f"{method[:40]!r} is not a method for calls")
    return name


def _url(url: str, query: Iterable[tuple[str, str]]) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
        _check_host(url, parsed)
        added = list(query)
        if not added:
            return parsed
        return parsed.copy_with(params=[*parsed.params.multi_items(), *added])
    except httpx2.InvalidURL as error:
        raise InvalidRequest(f"{url[:200]!r} is not a URL: {error}") from error


def _check_host(url: str, parsed: httpx2.URL) -> None:
    """Raise `NoAddress` for a URL without host or scheme (`https://`, `/a`, `host:80/a`), and
    `Refused` for another scheme: a `file:` URL is not a communication failure."""
    if "://" in url and parsed.scheme and parsed.scheme not in _SCHEMES:
        raise Refused(f"{parsed.scheme}: is not called, only http and https")
    if parsed.scheme not in _SCHEMES or not parsed.host:
        raise NoAddress(f"{url[:200]!r} names no host: a URL is like 'https://example.com/path'")


def _headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    pairs = list(headers)
    for name, value in pairs:
        if not _TOKEN.fullmatch(name):
            raise InvalidRequest(f"{name[:40]!r} is not the name of a header")
        if not _HEADER_VALUE.fullmatch(value):
            raise InvalidRequest(f"the header {name} holds a control character")
        if name.lower() in _CLIENT_HEADERS:
            raise InvalidRequest(f"the header {name} is set by the client")
    return [
        (name.encode(), value.encode())
        for name, value in pairs
        if name.lower() != "accept-encoding"  # the client sets it to what it can decode
    ]


def _inspect(request: httpx2.Request) -> None:
    """Check each request before it is sent, including redirected ones."""
    url = request.url
    if url.scheme not in _SCHEMES:
        raise Refused(f"{url.scheme}: is not called, only http and https")
    if url.userinfo:
        raise Refused("the URL holds a user's name; use an authentication instead")
