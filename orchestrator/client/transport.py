"""HTTP requests of the client: a connection pool, a few retries, translation of errors."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2

from orchestrator import json_codec
from orchestrator.errors import ConfigurationError, OrchestratorError
from orchestrator.ids import new_id

#: Pauses before each retry, in seconds. Only requests that are safe to repeat are retried: reads,
#: and changes with an Idempotency-Key.
PAUSES = (0.1, 0.3, 0.9)
_RETRIED_STATUSES = frozenset({502, 503, 504})


class Unreachable(OrchestratorError):
    """The API does not answer, or another server answers at its address."""

    def __init__(self, url: str, reason: str | None) -> None:
        other = "is not the orchestrator's API: its answer is not JSON"
        super().__init__(f"{url} {other if reason is None else f'does not answer ({reason})'}")
        self.url = url


class ApiError(OrchestratorError):
    """The API refused a request.

    `status` is the HTTP status; `problem` the RFC 9457 body: `{type, title, status, detail,
    trace_id, errors: [{pointer, line, column, message}]}`.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = dict(problem)
        super().__init__(str(problem.get("detail") or problem.get("title") or f"HTTP {status}"))

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The errors in the request, each with its position."""
        return list(self.problem.get("errors") or ())


class Transport:
    """Sends requests under ``/v1`` of the API at `url`, with the key as bearer token.

    `timeout` and `pauses` are in seconds; a failed request is repeated after each pause.
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
        headers = {"Accept": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {_checked_key(key)}"
        self._http = httpx2.Client(base_url=self.url, headers=headers)

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
        merged = dict(headers or {})
        if "json" in content:
            content["content"] = json_codec.encode(json_codec.to_json(content.pop("json")))
            merged.setdefault("Content-Type", "application/json")
        if method == "POST":
            merged.setdefault("Idempotency-Key", new_id())
        response = self._try(
            method, path, headers=merged, timeout=httpx2.Timeout(self.timeout + wait), **content
        )
        return _checked(response)

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Send a request and return the JSON of its answer; see `request` and `read`."""
        return self.read(self.request(method, path, **options))

    def read(self, response: httpx2.Response) -> Any:
        """Return the JSON of an answer; raises `Unreachable` if it is not JSON."""
        try:
            return response.json()
        except ValueError:  # also bytes that are not UTF-8
            raise Unreachable(self.url, None) from None

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[Iterator[str]]:
        """Open a stream of server-sent events; yields its lines."""
        timeout = httpx2.Timeout(self.timeout, read=None)
        try:
            with self._http.stream("GET", path, headers=dict(headers), timeout=timeout) as response:
                if response.is_error:
                    response.read()
                _checked(response)
                yield response.iter_lines()
        except httpx2.TransportError as error:
            raise Unreachable(self.url, _reason(error)) from error

    def _try(self, method: str, path: str, **request: Any) -> httpx2.Response:
        for pause in (*self.pauses, None):
            try:
                response = self._http.request(method, path, **request)
            except httpx2.TransportError as error:
                if pause is None:
                    raise Unreachable(self.url, _reason(error)) from error
            else:
                if pause is None or response.status_code not in _RETRIED_STATUSES:
                    return response
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")


def _checked_key(key: str) -> str:
    """Return a key if it fits into a header; raises `ConfigurationError` otherwise."""
    if key.isascii() and key.isprintable():
        return key
    raise ConfigurationError("an API key is prefix.secret, of printable ASCII characters")


def _reason(error: httpx2.TransportError) -> str:
    if isinstance(error, httpx2.ConnectError):
        return "nothing listens there"
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__


def _checked(response: httpx2.Response) -> httpx2.Response:
    if not response.is_error:
        return response
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    problem.setdefault("title", response.reason_phrase)
    raise ApiError(response.status_code, problem)
