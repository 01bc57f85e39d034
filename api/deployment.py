"""Deploying a document: read, checked, and kept as the version that it says it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from flask import Response, request

from api import keyed, kinds
from api.bodies import JSON, read
from api.context import entry, scope, state
from api.problems import Problem
from api.resource import respond
from orchestrator import document
from orchestrator.core.values import Json
from orchestrator.database import audit, workflows
from orchestrator.database.connection import Transaction
from orchestrator.database.idempotency import Answer
from orchestrator.database.workflows import NewWorkflow, Version
from orchestrator.ids import new_id
from orchestrator.scheduler import schedules

MEDIA_TYPES = frozenset(
    {JSON, "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"}
)


@dataclass(frozen=True, slots=True)
class Checked:
    """A document that may be deployed, with the doubts about it."""

    new: NewWorkflow
    warnings: list[dict[str, Any]]


def deploy(*, dry_run: bool, strict: bool) -> Response:
    """Deploy the document in the request's body.

    Raises `Problem` 404 (a foreign namespace), 409, 413, 415, 422; `DocumentError`.
    """
    checked = _checked(strict)
    if dry_run:
        return respond(_rehearsed(checked))
    return keyed.change(
        partial(_put, checked),
        after=lambda: state().catalog.forget((checked.new.namespace, checked.new.name, None)),
    )


def _checked(strict: bool) -> Checked:
    if request.mimetype not in MEDIA_TYPES:
        raise Problem(kinds.MEDIA_TYPE, "the document must be application/yaml or application/json")
    source = read()
    services = state().services
    loaded = document.load(
        source,
        request.mimetype,
        known_tasks=workflows.known_tasks(services.database),
        check_expression=services.evaluator.check,
        across=services.settings.run_across_namespaces,
        shortest_interval=services.settings.shortest_interval,
        known_workflows=partial(workflows.names, services.database),
    )
    named = loaded.document["document"]
    scope(named["namespace"])
    warnings = [asdict(warning) for warning in loaded.warnings]
    if strict and warnings:
        raise Problem(kinds.INVALID_DOCUMENT, warnings[0]["message"], warnings)
    new = NewWorkflow(
        id=new_id(),
        namespace=named["namespace"],
        name=named["name"],
        version=named["version"],
        digest=digest(loaded.document),
        document=loaded.document,
        source=source.decode("utf-8-sig"),
        media_type=request.mimetype,
        warnings=warnings,
    )
    return Checked(new, warnings)


def digest(value: Json) -> str:
    """SHA-256 of a value in canonical form: layout, comments and the order of keys don't
    count."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _rehearsed(checked: Checked) -> dict[str, Any]:
    new = checked.new
    there = workflows.get(state().services.database, new.namespace, new.name, new.version)
    outcome = "created" if there is None else _outcome(new, there)
    return _shown(checked, outcome, there)


def _put(checked: Checked, cursor: Transaction) -> Answer:
    new = checked.new
    added = workflows.put(cursor, new)
    there = workflows.get(cursor, new.namespace, new.name, new.version)
    assert there is not None  # noqa: S101  just added, or found to be there
    path = f"/v1/workflows/{new.namespace}/{new.name}/versions/{new.version}"
    if not added and there.digest != new.digest:
        detail = (
            f"version {new.version} of {new.namespace}/{new.name} has another document, and a"
            " version never changes: give the document a new version"
        )
        raise Problem(kinds.VERSION_EXISTS, detail, headers={"Location": path})
    schedules.deployed(
        cursor,
        there.id,
        new.namespace,
        new.name,
        new.version,
        new.document,
        state().services.settings.shortest_interval,
    )
    if added:
        target = f"{new.namespace}/{new.name}/{new.version}"
        audit.write(cursor, entry("workflow.deploy", new.namespace, target, digest=new.digest))
        shown = _shown(checked, "created", there)
        return keyed.answered(201, shown, {"Location": path})
    return keyed.answered(200, _shown(checked, "unchanged", there))


def _outcome(new: NewWorkflow, there: Version) -> str:
    return "unchanged" if there.digest == new.digest else "conflict"


def _shown(checked: Checked, outcome: str, there: Version | None) -> dict[str, Any]:
    new = checked.new
    return {
        "namespace": new.namespace,
        "name": new.name,
        "version": new.version,
        "digest": new.digest,
        "created_at": there.created_at if there else None,
        "outcome": outcome,
        "warnings": checked.warnings,
    }
