"""Deploys a document: reads and checks it, and stores it under its version."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any

from flask import Response, request

from api.http import idempotency, problem_types
from api.http.app_state import audit_entry, scope, state
from api.http.problems import Problem
from api.http.request_body import JSON, read
from api.http.request_evaluation import evaluation
from api.http.resource_blueprint import respond
from orchestrator import document
from orchestrator.database.access import audit_queries
from orchestrator.database.access.idempotency_queries import RecordedAnswer
from orchestrator.database.connection.database import Transaction
from orchestrator.database.workers import route_queries
from orchestrator.database.workflows import workflow_queries
from orchestrator.database.workflows.workflow_queries import NewWorkflow, Version
from orchestrator.document import graph
from orchestrator.document.digest import digest
from orchestrator.document.model import Workflow
from orchestrator.ids import new_id
from orchestrator.scheduler.schedules import schedule_deployment

MEDIA_TYPES = frozenset(
    {JSON, "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"}
)


@dataclass(frozen=True, slots=True)
class Checked:
    """A valid document with its warnings."""

    new: NewWorkflow
    warnings: list[dict[str, Any]]


def deploy(*, dry_run: bool, strict: bool) -> Response:
    """Deploy the document in the request's body.

    Raises `Problem` 404 (a namespace of other callers), 409, 413, 415, 422; `DocumentError`.
    """
    checked = _checked(strict)
    if dry_run:
        return respond(_dry_run(checked))
    return idempotency.run_idempotent(
        partial(_put, checked),
        after=lambda: state().catalog.evict((checked.new.namespace, checked.new.name, None)),
    )


def _checked(strict: bool) -> Checked:
    if request.mimetype not in MEDIA_TYPES:
        raise Problem(
            problem_types.MEDIA_TYPE, "the document must be application/yaml or application/json"
        )
    source = read()
    services = state().services
    loaded = document.load(
        source,
        request.mimetype,
        known_tasks=workflow_queries.known_tasks(services.database),
        check_expression=evaluation().check,
        allows_other_namespaces=services.settings.run_across_namespaces,
        shortest_interval=services.settings.shortest_interval,
        known_workflows=cache(
            lambda name: frozenset(workflow_queries.names(services.database, name))
        ),
        queue_problem=route_queries.served(
            services.database, services.settings.lease, services.settings.default_queue
        ).problem,
        allows_process=services.settings.allows_process,
    )
    identity = loaded.document["document"]
    scope(identity["namespace"])
    warnings = [asdict(warning) for warning in loaded.warnings]
    if strict and warnings:
        raise Problem(problem_types.INVALID_DOCUMENT, warnings[0]["message"], warnings)
    new = NewWorkflow(
        id=new_id(),
        namespace=identity["namespace"],
        name=identity["name"],
        version=identity["version"],
        digest=digest(loaded.document),
        document=loaded.document,
        source=source.decode("utf-8-sig"),
        media_type=request.mimetype,
        warnings=warnings,
    )
    return Checked(new, warnings)


def _dry_run(checked: Checked) -> dict[str, Any]:
    new = checked.new
    stored = workflow_queries.get(state().services.database, new.namespace, new.name, new.version)
    outcome = "created" if stored is None else _outcome(new, stored)
    return {
        **_result_json(checked, outcome, stored),
        "graph": {"nodes": graph.blocks(Workflow(new.document))},
    }


def _put(checked: Checked, cursor: Transaction) -> RecordedAnswer:
    new = checked.new
    added = workflow_queries.put(cursor, new)
    stored = workflow_queries.get(cursor, new.namespace, new.name, new.version)
    assert stored is not None  # noqa: S101  it was inserted just now or before
    path = f"/v1/workflows/{new.namespace}/{new.name}/versions/{new.version}"
    if not added and stored.digest != new.digest:
        detail = (
            f"version {new.version} of {new.namespace}/{new.name} has another document, and a"
            " version never changes: give the document a new version"
        )
        raise Problem(problem_types.VERSION_EXISTS, detail, headers={"Location": path})
    schedule_deployment.update_schedules(
        cursor,
        stored.id,
        new.namespace,
        new.name,
        new.version,
        new.document,
        state().services.settings.shortest_interval,
    )
    if added:
        target = f"{new.namespace}/{new.name}/{new.version}"
        audit_queries.write(
            cursor, audit_entry("workflow.deploy", new.namespace, target, digest=new.digest)
        )
        result = _result_json(checked, "created", stored)
        return idempotency.recordable(201, result, {"Location": path})
    return idempotency.recordable(200, _result_json(checked, "unchanged", stored))


def _outcome(new: NewWorkflow, stored: Version) -> str:
    return "unchanged" if stored.digest == new.digest else "conflict"


def _result_json(checked: Checked, outcome: str, stored: Version | None) -> dict[str, Any]:
    new = checked.new
    return {
        "namespace": new.namespace,
        "name": new.name,
        "version": new.version,
        "digest": new.digest,
        "created_at": stored.created_at if stored else None,
        "outcome": outcome,
        "warnings": checked.warnings,
    }
