"""Operations of the API: schedules."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.exchange import present
from orchestrator.client.url_paths import path

Json = Any


class AsyncSchedulesOperations(AsyncResources):
    """The operations of the API: schedules."""

    def list_schedules(
        self,
        *,
        limit: int | None = None,
        namespace: str | None = None,
        workflow: str | None = None,
        state: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> AsyncIterator[t.ScheduleSummary]:
        """Schedules by namespace, workflow and kind.

        ``GET /v1/schedules``
        """
        pages: AsyncIterator[Any] = self.pages(
            path("schedules"),
            present(
                {
                    "limit": limit,
                    "namespace": namespace,
                    "workflow": workflow,
                    "state": state,
                    **(more or {}),
                }
            ),
        )
        return pages

    async def get_schedule(
        self, id: str, *, next: int | None = None, more: Mapping[str, str] | None = None
    ) -> t.Schedule:
        """A schedule, with its next due times.

        `next` is the number of due times. A paused or stopped schedule has none, nor has one
        that waits for an event or for the end of an instance.

        ``GET /v1/schedules/{id}``
        """
        answer: t.Schedule = await self.transport.json(
            "GET", path("schedules", id), params=present({"next": next, **(more or {})})
        )
        return answer

    async def change_schedule(
        self, id: str, body: t.ChangeSchedule, *, if_match: str | None = None
    ) -> t.Schedule:
        """Pause a schedule, or resume it.

        Due times that pass while it is paused do not fire later; `backfill` fires them.

        ``PATCH /v1/schedules/{id}``
        """
        answer: t.Schedule = await self.transport.json(
            "PATCH", path("schedules", id), json=body, headers=present({"If-Match": if_match})
        )
        return answer

    async def trigger_schedule(
        self,
        id: str,
        body: t.Trigger | None = None,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> t.Firing:
        """Start an instance now, also if the schedule is paused or an instance is still open.

        ``POST /v1/schedules/{id}/trigger``
        """
        answer: t.Firing = await self.transport.json(
            "POST",
            path("schedules", id, "trigger"),
            json=body or {},
            headers=present({"Idempotency-Key": idempotency_key, "If-Match": if_match}),
        )
        return answer

    async def backfill_schedule(
        self,
        id: str,
        body: t.Backfill,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> t.Backfilled:
        """Fire the due times of a range that have not fired.

        At most 1,000 of them. They start at once, or one after the other if the policy forbids
        overlap. A repeated request fires none of them twice.

        ``POST /v1/schedules/{id}/backfill``
        """
        answer: t.Backfilled = await self.transport.json(
            "POST",
            path("schedules", id, "backfill"),
            json=body,
            headers=present({"Idempotency-Key": idempotency_key, "If-Match": if_match}),
        )
        return answer

    def list_schedule_firings(
        self,
        id: str,
        *,
        limit: int | None = None,
        outcome: str | None = None,
        since: str | None = None,
        until: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> AsyncIterator[t.Firing]:
        """Firings of a schedule, the latest first.

        ``GET /v1/schedules/{id}/firings``
        """
        pages: AsyncIterator[Any] = self.pages(
            path("schedules", id, "firings"),
            present(
                {"limit": limit, "outcome": outcome, "since": since, "until": until, **(more or {})}
            ),
        )
        return pages
