"""The base of the client's methods: read one answer, or all items of a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.client.transport import Transport


class Resources:
    """The resources of the API behind a transport."""

    transport: Transport

    def pages(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Yield every item of a paged list; pages are requested as needed."""
        query = dict(params or {})
        while True:
            page = self._json("GET", path, params=query)
            yield from page["items"]
            if not page.get("next"):
                return
            query["cursor"] = page["next"]

    def _json(self, method: str, path: str, **content: Any) -> Any:
        return self.transport.json(method, path, **content)
