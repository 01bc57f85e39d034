"""``/v1/workflows``: deploy, read and remove documents."""

from __future__ import annotations

from typing import Any

from flask import Response

from api.http import page_cursors, problem_types
from api.http.app_state import audit_entry, scope, state
from api.http.problems import Problem
from api.http.request_body import JSON
from api.http.resource_blueprint import Resource, View, listing, raw, respond, wants
from api.resources import workflow_deployment
from api.schemas.workflows import (
    DeployedSchema,
    DeployQuerySchema,
    VersionsSchema,
    WorkflowSchema,
    WorkflowsQuerySchema,
    WorkflowsSchema,
)
from orchestrator import clock
from orchestrator.database.access import audit_queries
from orchestrator.database.connection.database import Transaction
from orchestrator.database.workflows import workflow_queries
from orchestrator.database.workflows.workflow_queries import Version
from orchestrator.scheduler.schedules import schedule_deployment
from orchestrator.start_requests.workflow_versions import missing_message

YAML = "application/yaml"
_TEXT = {"type": "string"}
_DOCUMENT = {
    "required": True,
    "content": {JSON: {"schema": {"type": "object"}}, YAML: {"schema": _TEXT}},
}

blueprint = Resource(
    "workflows", __name__, url_prefix="/v1/workflows", description="Deployed documents."
)


@blueprint.route("", methods=["POST"])
@blueprint.answers(201, DeployedSchema, Location="where the version is")
@blueprint.answers(200, DeployedSchema)
@blueprint.described(requestBody=_DOCUMENT)
@blueprint.requires(DeployQuerySchema)
def deploy(query: dict[str, bool]) -> Response:
    """Deploy a document of the Serverless Workflow DSL

    The same document again changes nothing (200); another document under the same version
    is a 409. Errors name the line and column.
    """
    return workflow_deployment.deploy(dry_run=query["dry_run"], strict=query["strict"])


@blueprint.route("")
@blueprint.answers(200, WorkflowsSchema)
@blueprint.requires(WorkflowsQuerySchema)
def list_(query: dict[str, Any]) -> Response:
    """Workflows by namespace and name, each with its newest version"""
    page = workflow_queries.listed(
        state().services.database,
        scope(query.get("namespace")),
        namespace=query.get("namespace"),
        contains=query.get("q"),
        limit=query["limit"],
        after=page_cursors.read(query["cursor"], (page_cursors.text, page_cursors.text)),
    )
    names = ("namespace", "name", "version", "title", "summary", "created_at")
    return listing(
        [dict(zip(names, row, strict=True)) for row in page.rows], page_cursors.write(page.last)
    )


def _document(view: View) -> View:
    """Document the answers of a view that returns one version."""
    source = blueprint.answers(200, _TEXT, media_type=YAML)
    return blueprint.answers(200, WorkflowSchema)(source(view))


@blueprint.route("/<namespace>/<name>")
@_document
def newest(namespace: str, name: str) -> Response:
    """The newest version of a workflow

    With `Accept: application/yaml` the answer is the deployed text.
    """
    return _respond(find(namespace, name))


@blueprint.route("/<namespace>/<name>/versions")
@blueprint.answers(200, VersionsSchema)
def versions(namespace: str, name: str) -> Response:
    """Every version of a workflow, newest first"""
    found = _versions(namespace, name)
    return listing([_version_json(version) for version in found], None)


@blueprint.route("/<namespace>/<name>/versions/<version>")
@_document
def get(namespace: str, name: str, version: str) -> Response:
    """A version of a workflow

    With `Accept: application/yaml` the answer is the deployed text.
    """
    return _respond(find(namespace, name, version))


@blueprint.route("/<namespace>/<name>", methods=["DELETE"])
@blueprint.answers(204, meaning="It is removed")
def remove_all(namespace: str, name: str) -> Response:
    """Remove a workflow with all its versions; 409 while it has open instances"""
    return _remove(_versions(namespace, name))


@blueprint.route("/<namespace>/<name>/versions/<version>", methods=["DELETE"])
@blueprint.answers(204, meaning="It is removed")
def remove(namespace: str, name: str, version: str) -> Response:
    """Remove a version; 409 while it has open instances"""
    return _remove([find(namespace, name, version)])


def _missing(*parts: str) -> Problem:
    message = missing_message(state().services.database, scope().has(parts[0]), *parts)
    return Problem(problem_types.NOT_FOUND, message)


def find(namespace: str, name: str, version: str | None = None) -> Version:
    """Return a version, the newest where `version` is None. Raises `Problem` 404."""
    allowed = scope().has(namespace)
    database = state().services.database
    found = workflow_queries.get(database, namespace, name, version) if allowed else None
    if found is None:
        raise _missing(namespace, name, *((version,) if version else ()))
    return found


def _versions(namespace: str, name: str) -> list[Version]:
    allowed = scope().has(namespace)
    found = workflow_queries.versions(state().services.database, namespace, name) if allowed else []
    if not found:
        raise _missing(namespace, name)
    return found


def _version_json(found: Version) -> dict[str, Any]:
    return {
        "namespace": found.namespace,
        "name": found.name,
        "version": found.version,
        "digest": found.digest,
        "created_at": found.created_at,
    }


def _respond(found: Version) -> Response:
    if wants(YAML):
        text = workflow_queries.source(state().services.database, found.id)
        return Response(text, content_type=f"{YAML}; charset=utf-8")
    return respond(
        {
            **_version_json(found),
            "document": raw(found.document),
            "warnings": raw(found.warnings) or [],
        }
    )


def _remove(versions: list[Version]) -> Response:
    ids = [version.id for version in versions]
    checked_at = clock.now()
    database = state().services.database
    free = not workflow_queries.in_use(database, ids)
    if free:
        with database.transaction() as cursor:
            schedule_deployment.lock_schedules(cursor, ids)
            free = workflow_queries.remove(cursor, ids, checked_at)
            schedule_deployment.stop_schedules(cursor, ids if free else [])
            _audit(cursor, versions if free else [])
    if not free:
        raise Problem(
            problem_types.IN_USE, "it has instances that are open or can still be compensated"
        )
    state().catalog.evict(
        *(
            (removed.namespace, removed.name, name)
            for removed in versions
            for name in (removed.version, None)
        )
    )
    return Response(status=204)


def _audit(cursor: Transaction, removed: list[Version]) -> None:
    for version in removed:
        target = f"{version.namespace}/{version.name}/{version.version}"
        audit_queries.write(cursor, audit_entry("workflow.remove", version.namespace, target))
