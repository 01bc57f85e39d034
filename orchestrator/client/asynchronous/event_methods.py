"""Methods for events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.models import Json
from orchestrator.client.url_paths import path
from orchestrator.ids import new_id


class AsyncEventMethods(AsyncResources):
    """The methods of the client for events."""

    async def signal(self, id: str, type: str, data: Json = None, source: str = "/client") -> str:
        """Send one instance an event of type `type`. It waits in the mailbox until a listener takes
        it. Returns the event's id. Raises `ApiError` 404, 409 if the instance has ended."""
        return await self.send_event({"type": type, "source": source, "data": data}, to=id)

    async def send_event(
        self, event: Mapping[str, Json], namespace: str | None = None, to: str | None = None
    ) -> str:
        """Send a CloudEvent: to a namespace, or into the mailbox of the instance `to`.

        Missing `specversion` and `id` are added. Sending the same event again has no effect.
        Returns the id that the API knows it by. Raises `ApiError` 400 if it is not a CloudEvent,
        409 if the instance has ended, 422 if the namespace is missing.
        """
        at = path("events") if to is None else path("instances", to, "events")
        whole = {"specversion": "1.0", "id": new_id(), **event}
        params = {"namespace": namespace} if namespace and to is None else None
        answer = await self._json("POST", at, params=params, json=whole)
        return str(answer["id"])

    async def plan_event(
        self, event: Mapping[str, Json], namespace: str | None = None, to: str | None = None
    ) -> dict[str, Any]:
        """Return who would get a CloudEvent now: `{duplicate, listeners: [{instance, business_id,
        workflow, step, name, reference}], more, mailbox, starts, webhooks, warnings}`. Nothing
        changes. Arguments and errors as of `send_event`."""
        at = path("events") if to is None else path("instances", to, "events")
        params = {
            "dry_run": "true",
            **({"namespace": namespace} if namespace and to is None else {}),
        }
        whole = {"specversion": "1.0", "id": new_id(), **event}
        answer: dict[str, Any] = await self._json("POST", at, params=params, json=whole)
        return answer

    async def events(
        self, *, after: str | None = None, **filters: str
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield CloudEvents as they are received and sent, and lifecycle events, from now on or
        after the stream's id `after`.

        Filters as in the API (``type="com.shop.*"``). It never ends by itself; a broken
        connection is opened again, and continues after the last event.
        """
        async with aclosing(self.endless_stream("/v1/events/stream", filters, after)) as events:
            async for _, event in events:
                yield event

    async def why_event(self, id: str) -> dict[str, Any]:
        """Return what an event matched, or why it matched nothing: `{id, namespace, causes: [{kind,
        message, ...}]}`, with at least one cause. Raises `ApiError` 404."""
        answer: dict[str, Any] = await self._json("GET", path("events", id, "why"))
        return answer
