"""Operations of the API: steps."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from orchestrator.client import api_types as t
from orchestrator.client.exchange import present
from orchestrator.client.synchronous.resource_base import Resources
from orchestrator.client.url_paths import path

Json = Any


class StepsOperations(Resources):
    """The operations of the API: steps."""

    def list_instance_steps(
        self,
        id: str,
        *,
        limit: int | None = None,
        parent: int | None = None,
        child: str | None = None,
        status: str | None = None,
        fields: Literal["all", "summary"] | None = None,
        since: int | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Iterator[t.Step | t.StepSummary]:
        """Steps in the order of their creation, each with every attempt.

        The `parent` of each step makes them a tree. `fields=summary` leaves out what workflows
        and tasks wrote: arguments, inputs, outputs, progress and tracebacks. The answer has the
        `sequence` of the instance's last transition; `since=` that number returns only the
        steps that may have changed since.

        ``GET /v1/instances/{id}/steps``
        """
        pages: Iterator[Any] = self.pages(
            path("instances", id, "steps"),
            present(
                {
                    "limit": limit,
                    "parent": parent,
                    "child": child,
                    "status": status,
                    "fields": fields,
                    "since": since,
                    **(more or {}),
                }
            ),
        )
        return pages

    def get_instance_step(self, id: str, step: int) -> t.Step:
        """A step.

        ``GET /v1/instances/{id}/steps/{step}``
        """
        answer: t.Step = self.transport.json(
            "GET",
            path("instances", id, "steps", step),
        )
        return answer
