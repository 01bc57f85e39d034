"""Requests and answers without a connection: what both clients share.

A client prepares a request, sends it, and asks `pause` whether and when to send it again. Only
what is safe is repeated: reads, requests that say the same if they are repeated (PUT, DELETE, and
POST with its Idempotency-Key), and whatever the API has refused before it did anything (429).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from orchestrator import json_codec
from orchestrator.client.errors import ApiError
from orchestrator.clock import now
from orchestrator.errors import ConfigurationError
from orchestrator.ids import new_id

#: Pauses before each retry, in seconds.
PAUSES = (0.1, 0.3, 0.9)
#: Longest time that an answer's Retry-After may ask for, in seconds; a later retry is the caller's.
LONGEST_PAUSE = 30.0

_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_UNAVAILABLE = frozenset({502, 503, 504})
_TOO_MANY = 429
#: The type of the problem that a repeated POST gets while its first one is being answered.
_IN_FLIGHT = "idempotency-in-flight"


def base_headers(key: str | None) -> dict[str, str]:
    """Return the headers of every request. Raises `ConfigurationError` for a malformed key."""
    headers = {"Accept": "application/json"}
    if key:
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError("an API key is prefix.secret, of printable ASCII characters")
        headers["Authorization"] = f"Bearer {key}"
    return headers


def prepared(
    method: str, headers: Mapping[str, str] | None, content: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of httpx2 for a request. Raises `NotJson` for an unfit body."""
    merged = dict(headers or {})
    if "json" in content:
        content["content"] = json_codec.encode(json_codec.to_json(content.pop("json")))
        merged.setdefault("Content-Type", "application/json")
    if method == "POST":
        merged.setdefault("Idempotency-Key", new_id())
    return {**content, "headers": merged}


def pause(
    method: str, headers: Mapping[str, str], left: Sequence[float], answer: httpx2.Response | None
) -> float | None:
    """Return the seconds until a request is sent again, or None if its answer counts.

    `left` are the pauses that are left; `answer` is None if none came.
    """
    if not left:
        return None
    safe = method in _REPEATABLE or "Idempotency-Key" in headers
    if answer is None:
        return left[0] if safe else None
    status = answer.status_code
    if status != _TOO_MANY and not (safe and (status in _UNAVAILABLE or _is_in_flight(answer))):
        return None
    asked = max(left[0], retry_after(answer))
    return asked if asked <= LONGEST_PAUSE else None


def retry_after(answer: httpx2.Response) -> float:
    """Return an answer's Retry-After (RFC 9110, 10.2.3) in seconds; 0 without a valid one."""
    value = answer.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - _now()).total_seconds())


def _now() -> datetime:
    return now()


def _is_in_flight(answer: httpx2.Response) -> bool:
    return answer.status_code == 409 and str(_problem(answer).get("type")).endswith(_IN_FLIGHT)


def checked(answer: httpx2.Response) -> httpx2.Response:
    """Return a good answer. Raises `ApiError` for any other."""
    if not answer.is_error:
        return answer
    problem = _problem(answer)
    problem.setdefault("title", answer.reason_phrase)
    raise ApiError(answer.status_code, problem)


def _problem(answer: httpx2.Response) -> dict[str, Any]:
    try:
        problem = answer.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def reason(error: httpx2.TransportError) -> str:
    """Return why there was no answer."""
    if isinstance(error, httpx2.ConnectError):
        return "nothing listens there"
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__


def present(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a query that are not None, in the API's notation."""
    shown = {True: "true", False: "false"}
    return {
        name: shown[value] if isinstance(value, bool) else value
        for name, value in params.items()
        if value is not None
    }
