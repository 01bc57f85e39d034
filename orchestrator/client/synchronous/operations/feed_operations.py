"""Operations of the API: feed."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from orchestrator.client.exchange import present
from orchestrator.client.synchronous.resource_base import Resources
from orchestrator.client.url_paths import path

Json = Any


class FeedOperations(Resources):
    """The operations of the API: feed."""

    def stream_feed(
        self,
        *,
        namespace: str | None = None,
        more: Mapping[str, str] | None = None,
        after: str | None = None,
    ) -> Iterator[tuple[str, Json]]:
        """The instances that change.

        Server-sent events `change`, at most one or a few each half second, whose data are an
        array of `{instance, namespace, sequence, status, compensation}`: each instance as it is
        now, however often it changed. `lost` says that changes were left out: read anew what
        you show. `Last-Event-ID` continues a stream; a stream ends after ten minutes.

        ``GET /v1/feed``
        """
        with closing(
            self.endless_stream(
                path("feed"), present({"namespace": namespace, **(more or {})}), after
            )
        ) as events:
            yield from events
