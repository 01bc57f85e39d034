"""Sends one request with httpx2."""

from __future__ import annotations

import os
import re
import ssl
import weakref
from collections.abc import Callable, Iterable, Iterator
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
#: Methods whose requests may be sent again (RFC 9110, 9.2.2).
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
#: Seconds that a connection may be idle before it is not used again. Servers close idle connections
#: after 2 s and more. A request that cannot be repeated never gets near that.
_IDLE, _IDLE_UNREPEATABLE = 4.0, 1.0
#: How often a request is sent that meets connections that were just closed.
_TRIES = 3
_METHODS_REFUSED = frozenset({"CONNECT", "TRACE"})


class RequestSender:
    """Sends requests by the rules of an `OutboundClient`; the parameters are the same."""

    def __init__(self, guard: Guard, ca: str | None, max_bytes: int, max_redirects: int) -> None:
        self._guard = guard
        self._ca = ca
        self._max_bytes = max_bytes
        self._max_redirects = max_redirects
        self._process: tuple[int, dict[float, GuardedTransport]] = (0, {})

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
        with _translated(), deadline.bounding():
            method = _method(method)
            address, sent = _url(url, query), [*_headers(headers), (b"Accept-Encoding", b"gzip")]

            def attempt(*, keeps: bool) -> httpx2.Response:
                client = self._client(method, auth, confined, keeps=keeps)
                request = client.build_request(method, address, headers=sent, content=content)
                return client.send(request, stream=True, follow_redirects=redirects)

            response = _respond(attempt, method, deadline)
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
        self, method: str, auth: httpx2.Auth | None, confined: Confined, *, keeps: bool
    ) -> httpx2.Client:
        """Return a client for one request. It is never closed: its connections are everybody's.
        `keeps`: it may use a kept connection, and keeps its own."""
        return httpx2.Client(
            transport=self._transport(method)
            if keeps
            else GuardedTransport(self._context, self._guard, 0),
            auth=auth,
            max_redirects=self._max_redirects,
            timeout=None,  # the deadline bounds each wait
            trust_env=False,
            headers={"User-Agent": "celery-orchestrator", "Accept": "*/*"},
            event_hooks={"request": [_inspect, _Origin(confined).confine]},
        )

    def _transport(self, method: str) -> GuardedTransport:
        """Return the process's connections for such requests. A fork makes its own."""
        idle = _IDLE if method in _REPEATABLE else _IDLE_UNREPEATABLE
        pid, transports = self._process
        if pid != os.getpid():
            # Two threads may do this at once. Each dictionary is closed in the end, so that no lock
            # is needed, which a fork could copy while another thread has it.
            pid, transports = self._process = (os.getpid(), {})
            weakref.finalize(self, _close, pid, transports)
        found = transports.get(idle)
        if found is None:
            found = transports.setdefault(idle, GuardedTransport(self._context, self._guard, idle))
        return found


def _close(pid: int, transports: dict[float, GuardedTransport]) -> None:
    """Close the connections of a process, unless this is a fork of it."""
    if pid == os.getpid():
        for transport in transports.values():
            transport.close()


def _respond(
    attempt: Callable[..., httpx2.Response], method: str, deadline: Deadline
) -> httpx2.Response:
    """Send a request. One that can be repeated is sent again if it met a kept connection that the
    server was just closing; the last time over a connection of its own."""
    for _ in range(_TRIES - 1):
        try:
            return attempt(keeps=True)
        except (httpx2.RemoteProtocolError, httpx2.NetworkError):
            if deadline.has_connected or method not in _REPEATABLE:
                raise
    return attempt(keeps=False)


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
