"""HTTP requests of the synchronous client: a connection pool, retries, streams."""

# Written from asynchronous/transport.py by: python -m tests.support.client_twin

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2

from orchestrator.client.errors import Unreachable
from orchestrator.client.exchange import PAUSES, base_headers, checked, pause, prepared, reason


class Transport:
    """Sends requests under ``/v1`` of the API at `url`, with the key as bearer token.

    `timeout` and `pauses` are in seconds; a request that is safe to repeat is repeated after each
    pause if the API does not answer, is not available or has too many requests.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        timeout: float = 10.0,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self.url = url.rstrip("/")
        self.pauses = pauses
        self.timeout = timeout
        self._http = httpx2.Client(base_url=self.url, headers=base_headers(key))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        wait: float = 0,
        headers: Mapping[str, str] | None = None,
        **content: Any,
    ) -> httpx2.Response:
        """Send a request and return the response; raises `ApiError` or `Unreachable`.

        `wait` is how long the API may take beyond the usual time, in seconds; `content` is
        an argument of httpx2: `json`, `content`, `params`. `json` may be any value that a task may
        return; raises `NotJson` with the position for other values.
        """
        request = prepared(method, headers, content)
        timeout = httpx2.Timeout(self.timeout + wait)
        left = list(self.pauses)
        while True:
            answer, error = self._try(method, path, timeout=timeout, **request)
            seconds = pause(method, request["headers"], left, answer)
            if seconds is None:
                break
            left.pop(0)
            time.sleep(seconds)
        if answer is None:
            raise Unreachable(self.url, reason(error)) from error
        return checked(answer)

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Send a request and return the JSON of its answer; see `request` and `read`."""
        return self.read(self.request(method, path, **options))

    def read(self, response: httpx2.Response) -> Any:
        """Return the JSON of an answer, None if it is empty; raises `Unreachable` if it is not
        JSON."""
        if response.status_code == 204:
            return None
        try:
            return response.json()
        except ValueError:  # also bytes that are not UTF-8
            raise Unreachable(self.url, None) from None

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], params: Mapping[str, Any] | None = None
    ) -> Iterator[Iterator[str]]:
        """Open a stream of server-sent events; yields its lines."""
        timeout = httpx2.Timeout(self.timeout, read=None)
        opened = self._http.stream(
            "GET", path, headers=dict(headers), params=params, timeout=timeout
        )
        try:
            with opened as response:
                if response.is_error:
                    response.read()
                checked(response)
                yield response.iter_lines()
        except httpx2.TransportError as error:
            raise Unreachable(self.url, reason(error)) from error

    def _try(
        self, method: str, path: str, **request: Any
    ) -> tuple[httpx2.Response | None, httpx2.TransportError]:
        """Return the answer, or None and why none came."""
        try:
            return self._http.request(method, path, **request), httpx2.TransportError("")
        except httpx2.TransportError as error:
            return None, error
