"""Methods for deployed workflows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.errors import ApiError
from orchestrator.client.models import Deployed
from orchestrator.client.url_paths import workflow_path


class AsyncWorkflowMethods(AsyncResources):
    """The methods of the client for workflows."""

    async def deploy(
        self, document: str | bytes | Path | Mapping[str, Any], dry_run: bool = False
    ) -> Deployed:
        """Deploy a document: YAML or JSON text, a path, or a dict. Repeating it changes nothing.

        `dry_run` only validates. Raises `ApiError`: 422 with `errors`, 409 if this version was
        deployed with another content.
        """
        params = {"dry_run": "true"} if dry_run else None
        response = await self.transport.request(
            "POST", "/v1/workflows", params=params, **_sent(document)
        )
        data = self.transport.read(response)
        return Deployed(
            workflow=f"{data.get('namespace')}/{data.get('name')}",
            version=str(data.get("version")),
            new=response.status_code == 201,
            warnings=tuple(data.get("warnings") or ()),
            data=data,
        )

    def workflows(self, **filters: str) -> AsyncIterator[dict[str, Any]]:
        """Yield deployed workflows by namespace and name, each with its newest version."""
        return self.pages("/v1/workflows", filters)

    async def workflow(self, workflow: str, version: str | None = None) -> dict[str, Any]:
        """Return one workflow (``"shop/order"``), by default its newest version. Raises `ApiError`
        404."""
        deployed: dict[str, Any] = await self._json("GET", workflow_path(workflow, version))
        return deployed

    async def source(self, workflow: str, version: str | None = None) -> str | None:
        """Return a deployed document as it was sent; None if it does not exist."""
        try:
            at, headers = workflow_path(workflow, version), {"Accept": "application/yaml"}
            return (await self.transport.request("GET", at, headers=headers)).text
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def versions(self, workflow: str) -> AsyncIterator[dict[str, Any]]:
        """Yield every version of a workflow, newest first. Raises `ApiError` 404."""
        return self.pages(f"{workflow_path(workflow)}/versions")

    async def delete_workflow(self, workflow: str, version: str | None = None) -> None:
        """Delete a workflow with all its versions, or one of them.

        Raises `ApiError`: 404, 409 while instances of it run or can still be compensated.
        """
        await self.transport.request("DELETE", workflow_path(workflow, version))


def _sent(document: str | bytes | Path | Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a request that sends a document."""
    if isinstance(document, Mapping):
        return {"json": document}
    text = document.read_bytes() if isinstance(document, Path) else document
    return {"content": text, "headers": {"Content-Type": "application/yaml"}}
