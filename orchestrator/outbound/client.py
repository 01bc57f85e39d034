"""The HTTP client for other systems."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator import clock
from orchestrator.outbound.address_guard import Guard, Lookup, system_lookup
from orchestrator.outbound.bounded_response import Response
from orchestrator.outbound.origin_confinement import NOTHING_CONFINED, Confined

if TYPE_CHECKING:
    import httpx2

    from orchestrator.outbound.request_sender import RequestSender

_CACHE_TIME = 60.0  # seconds
_CACHE_SIZE = 32
_CacheKey = tuple[str, tuple[tuple[str, str], ...]]


class OutboundClient:
    """Sends requests to public addresses and to those that settings open.

    `allow`: see `Guard`. `ca`: a file of trusted certificates besides the system's.
    `max_bytes` bounds a response's body, `timeout` (seconds) a whole exchange. Thread-safe and
    fork-safe: connections are kept for some seconds, by each process for itself.
    """

    def __init__(
        self,
        allow: Iterable[str] = (),
        ca: str | None = None,
        max_bytes: int = 8 * 1024 * 1024,
        timeout: float = 60.0,
        max_redirects: int = 10,
        lookup: Lookup = system_lookup,
    ) -> None:
        self._guard = Guard(allow, lookup)
        self._ca = ca
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._max_redirects = max_redirects
        self._fetched: dict[_CacheKey, tuple[float, Response]] = {}

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
        confined: Confined = NOTHING_CONFINED,
    ) -> Response:
        """Send a request and return its response, whatever its status.

        `query` is added to that of the URL. `redirects`: follow them; `confined` lists what is not
        sent to another origin, besides credentials. `timeout` replaces the client's own. Raises an
        `OutboundError`: `Refused` and `InvalidRequest` before the forbidden request is sent,
        `TimedOut`, `Unreachable`, `BadResponse`.
        """
        return self._sender.send(
            method,
            url,
            headers=headers,
            query=query,
            content=content,
            auth=auth,
            redirects=redirects,
            timeout=self._timeout if timeout is None else timeout,
            confined=confined,
        )

    @cached_property
    def _sender(self) -> RequestSender:
        # Import the sender on first use: many processes never send a request, and the import of
        # httpx2 takes 4 MB of memory.
        from orchestrator.outbound.request_sender import RequestSender

        return RequestSender(self._guard, self._ca, self._max_bytes, self._max_redirects)

    def fetch(
        self,
        url: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        auth: httpx2.Auth | None = None,
        timeout: float | None = None,
    ) -> Response:
        """GET a document that calls need (an API's description), following redirects. The headers
        are not sent to another origin.

        A successful response is cached for `_CACHE_TIME`, so that a loop of calls fetches it
        once.
        """
        key = (url, tuple(headers))
        cached = self._fetched.get(key) if auth is None else None
        if cached is not None and clock.monotonic() - cached[0] < _CACHE_TIME:
            return cached[1]
        response = self.send(
            "GET",
            url,
            headers=key[1],
            auth=auth,
            redirects=True,
            timeout=timeout,
            confined=Confined(frozenset(name for name, _ in key[1])),
        )
        if auth is None and response.status == 200:
            self._cache(key, response)
        return response

    def _cache(self, key: _CacheKey, response: Response) -> None:
        while len(self._fetched) >= _CACHE_SIZE:
            self._fetched.pop(next(iter(self._fetched), ("", ())), None)
        self._fetched[key] = (clock.monotonic(), response)
