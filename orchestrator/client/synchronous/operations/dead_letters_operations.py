"""Operations of the API: dead letters."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.exchange import present
from orchestrator.client.synchronous.resource_base import Resources
from orchestrator.client.url_paths import path

Json = Any


class DeadLettersOperations(Resources):
    """The operations of the API: dead letters."""

    def list_dead_letters(
        self,
        *,
        limit: int | None = None,
        resolved: bool | None = None,
        instance: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Iterator[t.DeadLetter]:
        """Dead letters, the newest first.

        ``GET /v1/dead-letters``
        """
        pages: Iterator[Any] = self.pages(
            path("dead-letters"),
            present({"limit": limit, "resolved": resolved, "instance": instance, **(more or {})}),
        )
        return pages

    def get_dead_letter(self, id: str) -> t.DeadLetter:
        """A dead letter.

        ``GET /v1/dead-letters/{id}``
        """
        answer: t.DeadLetter = self.transport.json(
            "GET",
            path("dead-letters", id),
        )
        return answer

    def retry_dead_letter(
        self, id: str, body: t.Command | None = None, *, idempotency_key: str | None = None
    ) -> t.DeadLetter:
        """Retry a dead letter.

        A failed compensation (`reason` is `compensation`) runs once more. A step with too many
        lost attempts (`lost`) starts again in a new run of its instance, as with
        `/instances/{id}/retry`; 409 if its fault was caught, or its instance undone. 503 while
        another transaction has its instance's row for more than a second: try again. A start
        from another application's transaction (`start`) is checked again, under the same
        instance id; if it is refused again, there is a new dead letter.

        ``POST /v1/dead-letters/{id}/retry``
        """
        answer: t.DeadLetter = self.transport.json(
            "POST",
            path("dead-letters", id, "retry"),
            json=body or {},
            headers=present({"Idempotency-Key": idempotency_key}),
        )
        return answer

    def resolve_dead_letter(
        self, id: str, body: t.Command | None = None, *, idempotency_key: str | None = None
    ) -> t.DeadLetter:
        """Resolve a dead letter: a person has handled it otherwise.

        503 while another transaction has its instance's row for more than a second: try again.

        ``POST /v1/dead-letters/{id}/resolve``
        """
        answer: t.DeadLetter = self.transport.json(
            "POST",
            path("dead-letters", id, "resolve"),
            json=body or {},
            headers=present({"Idempotency-Key": idempotency_key}),
        )
        return answer

    def get_instance_compensation(self, id: str) -> t.Compensation:
        """The steps that a cancel or a compensation would undo, in order, and the undone steps.

        ``GET /v1/instances/{id}/compensation``
        """
        answer: t.Compensation = self.transport.json(
            "GET",
            path("instances", id, "compensation"),
        )
        return answer

    def decide_instance_compensation(
        self, id: str, body: t.CompensationDecision, *, idempotency_key: str | None = None
    ) -> t.DeadLetter:
        """Retry or resolve a failed compensation.

        ``POST /v1/instances/{id}/compensation``
        """
        answer: t.DeadLetter = self.transport.json(
            "POST",
            path("instances", id, "compensation"),
            json=body,
            headers=present({"Idempotency-Key": idempotency_key}),
        )
        return answer
