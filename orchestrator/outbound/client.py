"""The HTTP client for the world outside."""

from __future__ import annotations

import re
import ssl
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import httpx2

from orchestrator import clock
from orchestrator.errors import ConfigurationError
from orchestrator.outbound.connect import Deadline, GuardedTransport
from orchestrator.outbound.errors import (
    BadResponse,
    InvalidRequest,
    OutboundError,
    Refused,
    TimedOut,
    Unreachable,
)
from orchestrator.outbound.guard import Guard, Lookup, system_lookup

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")
_OURS = frozenset(
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
_METHODS_REFUSED = frozenset({"CONNECT", "TRACE"})
_CACHED_FOR = 60.0  # seconds
_CACHED_AT_MOST = 32
_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32  # whichever header comes
_Asked = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. `headers` are pairs as they were sent; `content` is decompressed.

    `method`, `url` and `request_headers` are those of the last request, after redirects.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    content: bytes
    method: str
    url: str
    request_headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        """The value of a header, or None."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None


class Outbound:
    """Sends requests, to public addresses and to those that settings open.

    `allow` and `resolve`: see `Guard`. `ca`: a file of certificates to trust besides the
    system's. `max_bytes` bounds a response's body, `timeout` (seconds) a whole exchange.
    Thread-safe and fork-safe: it holds no connection.
    """

    def __init__(
        self,
        allow: Iterable[str] = (),
        resolve: Iterable[str] = (),
        ca: str | None = None,
        max_bytes: int = 8 * 1024 * 1024,
        timeout: float = 60.0,
        max_redirects: int = 10,
        lookup: Lookup = system_lookup,
    ) -> None:
        self._guard = Guard(allow, resolve, lookup)
        self._ca = ca
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._max_redirects = max_redirects
        self._fetched: dict[_Asked, tuple[float, Response]] = {}

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        query: Iterable[tuple[str, str]] = (),
        content: bytes | None = None,
        auth: httpx2.Auth | None = None,
        redirects: bool = False,
        timeout: float | None = None,
    ) -> Response:
        """Send a request and read its response, whatever its status.

        `query` is added to that of the URL. `redirects`: follow them. `timeout` stands in for
        the client's own. Raises an `OutboundError`: `Refused` and `InvalidRequest` before anything
        was sent to where it may not go, `TimedOut`, `Unreachable`, `BadResponse`.
        """
        deadline = Deadline(self._timeout if timeout is None else timeout)
        with _translated(), self._client(deadline, auth) as client:
            request = client.build_request(
                _method(method),
                _url(url, query),
                headers=[*_headers(headers), (b"Accept-Encoding", b"gzip")],
                content=content,
            )
            response = client.send(request, stream=True, follow_redirects=redirects)
            try:
                return _read(response, self._max_bytes)
            finally:
                response.close()

    def fetch(
        self,
        url: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        auth: httpx2.Auth | None = None,
        timeout: float | None = None,
    ) -> Response:
        """GET a document that calls need (an API's description), redirects followed.

        A successful response is kept for a minute, so that a loop of calls asks once.
        """
        key = (url, tuple(headers))
        kept = self._fetched.get(key) if auth is None else None
        if kept is not None and clock.monotonic() - kept[0] < _CACHED_FOR:
            return kept[1]
        response = self.send("GET", url, headers=key[1], auth=auth, redirects=True, timeout=timeout)
        if auth is None and response.status == 200:
            self._keep(key, response)
        return response

    def _keep(self, key: _Asked, response: Response) -> None:
        while len(self._fetched) >= _CACHED_AT_MOST:
            self._fetched.pop(next(iter(self._fetched), ("", ())), None)
        self._fetched[key] = (clock.monotonic(), response)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        context = httpx2.create_ssl_context(trust_env=False)
        if self._ca is not None:
            try:
                context.load_verify_locations(cafile=self._ca)
            except (OSError, ssl.SSLError) as error:
                raise ConfigurationError(f"{self._ca} holds no certificates: {error}") from error
        return context

    def _client(self, deadline: Deadline, auth: httpx2.Auth | None) -> httpx2.Client:
        return httpx2.Client(
            transport=GuardedTransport(self._context, self._guard, deadline),
            auth=auth,
            max_redirects=self._max_redirects,
            timeout=None,  # the deadline bounds each wait
            trust_env=False,
            headers={"User-Agent": "celery-orchestrator", "Accept": "*/*"},
            event_hooks={"request": [_inspect]},
        )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OutboundError:
        raise
    except httpx2.TimeoutException as error:
        raise TimedOut(f"no answer in time ({_said(error)})") from error
    except httpx2.TooManyRedirects as error:
        raise BadResponse(f"too many redirects ({_said(error)})") from error
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
        raise Refused(f"the URL may not be called: {_said(error)}") from error
    except httpx2.LocalProtocolError as error:
        raise InvalidRequest(_said(error)) from error
    except httpx2.RequestError as error:
        raise Unreachable(_said(error)) from error


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _method(method: str) -> str:
    name = method.upper()
    if not _TOKEN.fullmatch(name) or name in _METHODS_REFUSED:
        raise InvalidRequest(f"{method[:40]!r} is not a method for calls")
    return name


def _url(url: str, query: Iterable[tuple[str, str]]) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
        added = list(query)
        if not added:
            return parsed
        return parsed.copy_with(params=[*parsed.params.multi_items(), *added])
    except httpx2.InvalidURL as error:
        raise InvalidRequest(f"{url[:200]!r} is not a URL: {error}") from error


def _headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    found = list(headers)
    for name, value in found:
        if not _TOKEN.fullmatch(name):
            raise InvalidRequest(f"{name[:40]!r} is not the name of a header")
        if not _HEADER_VALUE.fullmatch(value):
            raise InvalidRequest(f"the header {name} holds a control character")
        if name.lower() in _OURS:
            raise InvalidRequest(f"the header {name} is set by the client")
    return [
        (name.encode(), value.encode())
        for name, value in found
        if name.lower() != "accept-encoding"  # what we can decode, we say ourselves
    ]


def _inspect(request: httpx2.Request) -> None:
    """Look at each request before it goes, redirected ones too."""
    url = request.url
    if url.scheme not in ("http", "https"):
        raise Refused(f"{url.scheme or 'no scheme'}: is not called, only http and https")
    if not url.host:
        raise Refused("the URL names no host")
    if url.userinfo:
        raise Refused("the URL holds a user's name; use an authentication instead")


def _read(response: httpx2.Response, max_bytes: int) -> Response:
    encoding = response.headers.get("content-encoding", "identity")
    pieces, size = [], 0
    for piece in _decoded(response.iter_raw(), encoding.strip().lower(), max_bytes):
        size += len(piece)
        if size > max_bytes:
            raise BadResponse(f"the response is larger than {max_bytes} bytes")
        pieces.append(piece)
    return Response(
        status=response.status_code,
        headers=_pairs(response.headers),
        content=b"".join(pieces),
        method=response.request.method,
        url=str(response.request.url),
        request_headers=_pairs(response.request.headers),
    )


def _pairs(headers: httpx2.Headers) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.raw)


def _decoded(pieces: Iterable[bytes], encoding: str, max_bytes: int) -> Iterator[bytes]:
    """Decompress step by step, so that a bomb goes off outside."""
    if encoding in ("identity", ""):
        yield from pieces
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise BadResponse(f"the response is encoded as {encoding[:40]!r}, which was not asked for")
    decoder, begun = zlib.decompressobj(_ZLIB_OR_GZIP), False
    try:
        for piece in pieces:
            rest = piece
            while rest:
                if decoder.eof:  # another member may follow, or padding (RFC 1952, 2.2)
                    rest = rest.lstrip(b"\0")
                    if not rest:
                        break
                    decoder = zlib.decompressobj(_ZLIB_OR_GZIP)
                yield decoder.decompress(rest, max_bytes + 1)
                if decoder.unconsumed_tail:
                    raise BadResponse(f"the response is larger than {max_bytes} bytes")
                rest, begun = decoder.unused_data, True
        yield decoder.flush()
    except zlib.error as error:
        raise BadResponse(f"the response is not {encoding}: {error}") from error
    if begun and not decoder.eof:  # no byte at all is an answer to HEAD, or a 304
        raise BadResponse(f"the response was cut off in the midst of its {encoding}")
