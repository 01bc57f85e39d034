"""Deploys the document of a replacement (`replacement_workflow`) into the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator import json_codec
from orchestrator.database.workflows import generated_versions, workflow_queries
from orchestrator.database.workflows.workflow_queries import NewWorkflow
from orchestrator.document.digest import digest
from orchestrator.execution.process.outage_retry import retry_through_outage
from orchestrator.ids import new_id

if TYPE_CHECKING:
    from orchestrator.canvas.document import Converted
    from orchestrator.database.connection.database import Database


def deploy(database: Database, converted: Converted) -> str:
    """Deploy the document unless it is there; return the id of its version. Outages of the
    database are waited for."""
    return retry_through_outage(
        lambda: _deployed(database, converted), "the workflow of a replacement"
    )


def _deployed(database: Database, converted: Converted) -> str:
    """Deploy the document unless it is there; return the id of its version."""
    document: dict[str, Any] = converted.document
    about = document["document"]
    identity = (about["namespace"], about["name"], about["version"])
    stored = workflow_queries.get(database, *identity)
    while stored is None:
        new = NewWorkflow(
            id=new_id(),
            namespace=about["namespace"],
            name=about["name"],
            version=about["version"],
            digest=digest(document),
            document=document,
            source=json_codec.dumps(document),
            media_type="application/json",
        )
        with database.transaction() as transaction:
            workflow_queries.put(transaction, new)
        stored = workflow_queries.get(database, *identity)
    generated_versions.renew(database, stored.id)
    return stored.id
