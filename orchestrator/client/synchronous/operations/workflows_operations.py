"""Operations of the API: workflows."""

# Written from the API's description by: python -m tests.support.client_twin

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.client import api_types as t
from orchestrator.client.exchange import present
from orchestrator.client.synchronous.resource_base import Resources
from orchestrator.client.url_paths import path

Json = Any


class WorkflowsOperations(Resources):
    """The operations of the API: workflows."""

    def list_workflows(
        self,
        *,
        limit: int | None = None,
        namespace: str | None = None,
        q: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Iterator[t.ListedWorkflow]:
        """Workflows by namespace and name, each with its newest version.

        ``GET /v1/workflows``
        """
        pages: Iterator[Any] = self.pages(
            path("workflows"),
            present({"limit": limit, "namespace": namespace, "q": q, **(more or {})}),
        )
        return pages

    def deploy_workflow(
        self,
        body: dict[str, Any],
        *,
        dry_run: bool | None = None,
        strict: bool | None = None,
        idempotency_key: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> t.Deployed:
        """Deploy a document of the Serverless Workflow DSL.

        The same document again changes nothing (200); another document under the same version
        is a 409. Errors name the line and column.

        ``POST /v1/workflows``
        """
        answer: t.Deployed = self.transport.json(
            "POST",
            path("workflows"),
            params=present({"dry_run": dry_run, "strict": strict, **(more or {})}),
            json=body,
            headers=present({"Idempotency-Key": idempotency_key}),
        )
        return answer

    def get_workflow(self, namespace: str, name: str) -> t.Workflow:
        """The newest version of a workflow.

        With `Accept: application/yaml` the answer is the deployed text.

        ``GET /v1/workflows/{namespace}/{name}``
        """
        answer: t.Workflow = self.transport.json(
            "GET",
            path("workflows", namespace, name),
        )
        return answer

    def delete_workflow(self, namespace: str, name: str) -> None:
        """Remove a workflow with all its versions; 409 while it has open instances.

        ``DELETE /v1/workflows/{namespace}/{name}``
        """
        self.transport.request(
            "DELETE",
            path("workflows", namespace, name),
        )

    def get_workflow_versions(self, namespace: str, name: str) -> t.Versions:
        """Every version of a workflow, newest first.

        ``GET /v1/workflows/{namespace}/{name}/versions``
        """
        answer: t.Versions = self.transport.json(
            "GET",
            path("workflows", namespace, name, "versions"),
        )
        return answer

    def get_workflow_version(self, namespace: str, name: str, version: str) -> t.Workflow:
        """A version of a workflow.

        With `Accept: application/yaml` the answer is the deployed text.

        ``GET /v1/workflows/{namespace}/{name}/versions/{version}``
        """
        answer: t.Workflow = self.transport.json(
            "GET",
            path("workflows", namespace, name, "versions", version),
        )
        return answer

    def delete_workflow_version(self, namespace: str, name: str, version: str) -> None:
        """Remove a version; 409 while it has open instances.

        ``DELETE /v1/workflows/{namespace}/{name}/versions/{version}``
        """
        self.transport.request(
            "DELETE",
            path("workflows", namespace, name, "versions", version),
        )
