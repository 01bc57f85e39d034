"""Operations of the API: commands."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.exchange import present
from orchestrator.client.url_paths import path

Json = Any


class AsyncCommandsOperations(AsyncResources):
    """The operations of the API: commands."""

    async def retry_instance_step_now(
        self,
        id: str,
        step: int,
        body: t.Command | None = None,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> t.Accepted:
        """Try a step again now, instead of at its `retry_at`.

        409 if the step waits for no retry, or the instance is suspended.

        ``POST /v1/instances/{id}/steps/{step}/retry-now``
        """
        answer: t.Accepted = await self.transport.json(
            "POST",
            path("instances", id, "steps", step, "retry-now"),
            json=body or {},
            headers=present({"Idempotency-Key": idempotency_key, "If-Match": if_match}),
        )
        return answer

    async def suspend_instance(
        self,
        id: str,
        body: t.Command | None = None,
        *,
        dry_run: bool | None = None,
        idempotency_key: str | None = None,
        if_match: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> t.CommandPlan | t.Accepted:
        """Let the running steps finish, and start no others.

        ``POST /v1/instances/{id}/suspend``
        """
        answer: t.CommandPlan | t.Accepted = await self.transport.json(
            "POST",
            path("instances", id, "suspend"),
            params=present({"dry_run": dry_run, **(more or {})}),
            json=body or {},
            headers=present({"Idempotency-Key": idempotency_key, "If-Match": if_match}),
        )
        return answer

    async def resume_instance(
        self,
        id: str,
        body: t.Command | None = None,
        *,
        dry_run: bool | None = None,
        idempotency_key: str | None = None,
        if_match: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> t.CommandPlan | t.Accepted:
        """Continue a suspended instance.

        ``POST /v1/instances/{id}/resume``
        """
        answer: t.CommandPlan | t.Accepted = await self.transport.json(
            "POST",
            path("instances", id, "resume"),
            params=present({"dry_run": dry_run, **(more or {})}),
            json=body or {},
            headers=present({"Idempotency-Key": idempotency_key, "If-Match": if_match}),
        )
        return answer

    async def cancel_instance(
        self,
        id: str,
        body: t.Command | None = None,
        *,
        dry_run: bool | None = None,
        idempotency_key: str | None = None,
        if_match: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> t.CommandPlan | t.Accepted:
        """Stop an instance and undo what it completed.

        ``POST /v1/instances/{id}/cancel``
        """
        answer: t.CommandPlan | t.Accepted = await self.transport.json(
            "POST",
            path("instances", id, "cancel"),
            params=present({"dry_run": dry_run, **(more or {})}),
            json=body or {},
            headers=present({"Idempotency-Key": idempotency_key, "If-Match": if_match}),
        )
        return answer

    async def terminate_instance(
        self,
        id: str,
        body: t.Command | None = None,
        *,
        dry_run: bool | None = None,
        idempotency_key: str | None = None,
        if_match: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> t.CommandPlan | t.Accepted:
        """Stop an instance and undo nothing.

        ``POST /v1/instances/{id}/terminate``
        """
        answer: t.CommandPlan | t.Accepted = await self.transport.json(
            "POST",
            path("instances", id, "terminate"),
            params=present({"dry_run": dry_run, **(more or {})}),
            json=body or {},
            headers=present({"Idempotency-Key": idempotency_key, "If-Match": if_match}),
        )
        return answer

    async def retry_instance(
        self,
        id: str,
        body: t.Retry | None = None,
        *,
        dry_run: bool | None = None,
        idempotency_key: str | None = None,
        if_match: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> t.CommandPlan | t.Accepted:
        """Open a new run of an instance that failed; its completed steps stay.

        ``POST /v1/instances/{id}/retry``
        """
        answer: t.CommandPlan | t.Accepted = await self.transport.json(
            "POST",
            path("instances", id, "retry"),
            params=present({"dry_run": dry_run, **(more or {})}),
            json=body or {},
            headers=present({"Idempotency-Key": idempotency_key, "If-Match": if_match}),
        )
        return answer

    async def compensate_instance(
        self,
        id: str,
        body: t.Compensate | None = None,
        *,
        dry_run: bool | None = None,
        idempotency_key: str | None = None,
        if_match: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> t.CommandPlan | t.Accepted:
        """Undo what an ended instance completed.

        ``POST /v1/instances/{id}/compensate``
        """
        answer: t.CommandPlan | t.Accepted = await self.transport.json(
            "POST",
            path("instances", id, "compensate"),
            params=present({"dry_run": dry_run, **(more or {})}),
            json=body or {},
            headers=present({"Idempotency-Key": idempotency_key, "If-Match": if_match}),
        )
        return answer

    async def skip_instance(
        self,
        id: str,
        body: t.Skip | None = None,
        *,
        dry_run: bool | None = None,
        idempotency_key: str | None = None,
        if_match: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> t.CommandPlan | t.Accepted:
        """End a waiting step with a given output.

        ``POST /v1/instances/{id}/skip``
        """
        answer: t.CommandPlan | t.Accepted = await self.transport.json(
            "POST",
            path("instances", id, "skip"),
            params=present({"dry_run": dry_run, **(more or {})}),
            json=body or {},
            headers=present({"Idempotency-Key": idempotency_key, "If-Match": if_match}),
        )
        return answer
