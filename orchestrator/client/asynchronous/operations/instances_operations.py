"""Operations of the API: instances."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

from orchestrator.client import api_types as t
from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.exchange import present
from orchestrator.client.url_paths import path

Json = Any


class AsyncInstancesOperations(AsyncResources):
    """The operations of the API: instances."""

    def list_instances(
        self,
        *,
        limit: int | None = None,
        status: str | None = None,
        compensation: str | None = None,
        namespace: str | None = None,
        workflow: str | None = None,
        business_id: str | None = None,
        id: str | None = None,
        attempt: str | None = None,
        parent: str | None = None,
        started_after: str | None = None,
        started_before: str | None = None,
        attention: str | None = None,
        waiting_for: str | None = None,
        error_type: str | None = None,
        q: str | None = None,
        sort: Literal["created_at", "-created_at", "started_at", "-started_at", "attention"]
        | None = None,
        more: Mapping[str, str] | None = None,
    ) -> AsyncIterator[t.ListedInstance]:
        """Instances, newest first.

        Besides the parameters shown, `label.key=value` selects by a label, and
        `input.path=value` by a member of the input: `input.customer.id=7`,
        `input.items[].sku=b-7`. A value matches text and, if it is one, a number, `true`,
        `false` or `null`; in double quotes text only. Several such parameters may be combined.

        ``GET /v1/instances``
        """
        pages: AsyncIterator[Any] = self.pages(
            path("instances"),
            present(
                {
                    "limit": limit,
                    "status": status,
                    "compensation": compensation,
                    "namespace": namespace,
                    "workflow": workflow,
                    "business_id": business_id,
                    "id": id,
                    "attempt": attempt,
                    "parent": parent,
                    "started_after": started_after,
                    "started_before": started_before,
                    "attention": attention,
                    "waiting_for": waiting_for,
                    "error.type": error_type,
                    "q": q,
                    "sort": sort,
                    **(more or {}),
                }
            ),
        )
        return pages

    async def start_instances(
        self, body: t.Start | list[t.Start], *, idempotency_key: str | None = None
    ) -> t.Instance | t.InstanceSummary | list[t.InstanceSummary]:
        """Start an instance, or up to 1,000 of them.

        All of an array are started, or none. With `Prefer: wait=N` the answer to a single start
        is the instance once it is final, or after N seconds (at most 60): 200 if it is final,
        202 if not. A `business_id` in use is a 409 with the `Location` of its instance.

        ``POST /v1/instances``
        """
        answer: (
            t.Instance | t.InstanceSummary | list[t.InstanceSummary]
        ) = await self.transport.json(
            "POST",
            path("instances"),
            json=body,
            headers=present({"Idempotency-Key": idempotency_key}),
        )
        return answer

    async def count_instances(
        self,
        *,
        status: str | None = None,
        compensation: str | None = None,
        namespace: str | None = None,
        workflow: str | None = None,
        business_id: str | None = None,
        id: str | None = None,
        attempt: str | None = None,
        parent: str | None = None,
        started_after: str | None = None,
        started_before: str | None = None,
        attention: str | None = None,
        waiting_for: str | None = None,
        error_type: str | None = None,
        q: str | None = None,
        facets: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> t.Counts:
        """How many instances have each status.

        At most 10,000 instances of each status are counted, 1,000 with labels, so that millions
        do not slow the answer. The filters are those of the list. `facets` adds the numbers of
        instances by what they wait for, by what a person should look at, and so on, up to 1,000
        of each value.

        ``GET /v1/instances/counts``
        """
        answer: t.Counts = await self.transport.json(
            "GET",
            path("instances", "counts"),
            params=present(
                {
                    "status": status,
                    "compensation": compensation,
                    "namespace": namespace,
                    "workflow": workflow,
                    "business_id": business_id,
                    "id": id,
                    "attempt": attempt,
                    "parent": parent,
                    "started_after": started_after,
                    "started_before": started_before,
                    "attention": attention,
                    "waiting_for": waiting_for,
                    "error.type": error_type,
                    "q": q,
                    "facets": facets,
                    **(more or {}),
                }
            ),
        )
        return answer

    async def get_instance(
        self, id: str, *, wait: float | None = None, more: Mapping[str, str] | None = None
    ) -> t.Instance:
        """An instance.

        With `wait` (or `Prefer: wait=N`) the answer comes once it is final, or after so many
        seconds with its state at that time.

        ``GET /v1/instances/{id}``
        """
        answer: t.Instance = await self.transport.json(
            "GET",
            path("instances", id),
            params=present({"wait": wait, **(more or {})}),
            wait=wait or 0,
        )
        return answer
