"""The load's own HTTP client: one kept-alive connection, next to no cost of its own.

The measured rate is the product's; a comfortable client would take its share of the cores.
"""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit

import orjson


class Connection:
    """A connection to the API."""

    def __init__(self, api_url: str, timeout: float = 60) -> None:
        parts = urlsplit(api_url)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=timeout
        )

    def post(self, path: str, body: Any) -> Any:
        """The answer to a POST. Raises AssertionError where it is none of success."""
        self._connection.request(
            "POST", path, orjson.dumps(body), {"Content-Type": "application/json"}
        )
        answer = self._connection.getresponse()
        told = answer.read()
        if answer.status >= 300:
            raise AssertionError(f"{path}: {answer.status} {told[:500]!r}")
        return orjson.loads(told)
