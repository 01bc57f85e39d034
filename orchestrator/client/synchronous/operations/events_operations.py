"""Operations of the API: events."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.exchange import present
from orchestrator.client.synchronous.resource_base import Resources
from orchestrator.client.url_paths import path

Json = Any


class EventsOperations(Resources):
    """The operations of the API: events."""

    def list_events(
        self,
        *,
        limit: int | None = None,
        namespace: str | None = None,
        type: str | None = None,
        source: str | None = None,
        target: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Iterator[t.EventSummary]:
        """Received and emitted events, the newest first.

        ``GET /v1/events``
        """
        pages: Iterator[Any] = self.pages(
            path("events"),
            present(
                {
                    "limit": limit,
                    "namespace": namespace,
                    "type": type,
                    "source": source,
                    "target": target,
                    **(more or {}),
                }
            ),
        )
        return pages

    def send_events(
        self,
        body: dict[str, str | int | bool],
        *,
        dry_run: bool | None = None,
        namespace: str | None = None,
        idempotency_key: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> t.EventPlan | t.AcceptedEvent | list[t.AcceptedEvent]:
        """Accept an event, or a batch of up to 1,000.

        Workers offer it to the listeners of its namespace: see `/v1/events/{id}`. A repeated
        event is answered in the same way and has no effect. With `dry_run` nothing is stored:
        the answer says who would get one event now, of listeners, schedules and subscriptions.

        ``POST /v1/events``
        """
        answer: t.EventPlan | t.AcceptedEvent | list[t.AcceptedEvent] = self.transport.json(
            "POST",
            path("events"),
            params=present({"dry_run": dry_run, "namespace": namespace, **(more or {})}),
            json=body,
            headers=present({"Idempotency-Key": idempotency_key}),
        )
        return answer

    def signal_instance(
        self,
        id: str,
        body: dict[str, str | int | bool],
        *,
        dry_run: bool | None = None,
        idempotency_key: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> t.EventPlan | t.AcceptedEvent:
        """Accept an event for one instance.

        It waits in the instance's mailbox until a listener takes it. An instance that has ended
        accepts none. `dry_run` as for `/v1/events`.

        ``POST /v1/instances/{id}/events``
        """
        answer: t.EventPlan | t.AcceptedEvent = self.transport.json(
            "POST",
            path("instances", id, "events"),
            params=present({"dry_run": dry_run, **(more or {})}),
            json=body,
            headers=present({"Idempotency-Key": idempotency_key}),
        )
        return answer

    def get_event(self, id: str) -> t.Event:
        """An event with its matches.

        ``GET /v1/events/{id}``
        """
        answer: t.Event = self.transport.json(
            "GET",
            path("events", id),
        )
        return answer

    def get_event_why(self, id: str) -> t.EventWhy:
        """Which listeners took an event, or why none did.

        ``GET /v1/events/{id}/why``
        """
        answer: t.EventWhy = self.transport.json(
            "GET",
            path("events", id, "why"),
        )
        return answer
