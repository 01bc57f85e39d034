"""``/v1/workflows/{namespace}/{name}/statistics`` and ``/diff``: what its tasks did, and how two
versions differ."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from flask import Response

from api.http.app_state import state
from api.http.query_parser import invalid_parameter
from api.http.resource_blueprint import Resource, respond
from api.resources import serializers, workflows
from api.schemas.statistics import (
    DiffQuerySchema,
    DiffSchema,
    StatisticsQuerySchema,
    StatisticsSchema,
)
from orchestrator import clock, json_codec
from orchestrator.database.workflows import statistics_queries, workflow_queries
from orchestrator.database.workflows.workflow_queries import Version
from orchestrator.document.model import COMPENSATE, LISTS, Task, Workflow

_DAY = timedelta(days=1)

blueprint = Resource(
    "statistics", __name__, url_prefix="/v1/workflows", description="Workflows in numbers."
)


@blueprint.route("/<namespace>/<name>/statistics")
@blueprint.answers(200, StatisticsSchema)
@blueprint.requires(StatisticsQuerySchema)
def statistics(query: dict[str, Any], namespace: str, name: str) -> Response:
    """What the instances of a time range did, by task

    At most the newest 2,000 instances are read, and the last 500 steps of each.
    """
    workflows.find(namespace, name, query.get("version"))
    until = query.get("until") or clock.now()
    since = query.get("since") or until - _DAY
    if since >= until:
        raise invalid_parameter("since", "must be before `until`")
    database = state().services.database
    ids = statistics_queries.newest(database, namespace, name, query.get("version"), since, until)
    read = ids[: statistics_queries.MOST_INSTANCES]
    tasks = [
        {**asdict(row), "name": serializers.name(row.reference)}
        for row in statistics_queries.tasks(database, read)
    ]
    return respond(
        {
            "since": since,
            "until": until,
            "exact": len(ids) == len(read),
            **statistics_queries.totals(database, read),
            "tasks": tasks,
        }
    )


@blueprint.route("/<namespace>/<name>/diff")
@blueprint.answers(200, DiffSchema)
@blueprint.requires(DiffQuerySchema)
def diff(query: dict[str, str], namespace: str, name: str) -> Response:
    """How two versions differ, by the lines of their deployed texts and by task"""
    old = workflows.find(namespace, name, query["from_"])
    new = workflows.find(namespace, name, query["to"])
    database = state().services.database
    before, after = (
        workflow_queries.source(database, version.id).splitlines() for version in (old, new)
    )
    return respond({"lines": list(_lines(before, after)), "changes": list(_changes(old, new))})


def _lines(before: list[str], after: list[str]) -> Iterator[dict[str, Any]]:
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=len(before) > 5000)
    for op, start, end, first, last in matcher.get_opcodes():
        if op == "equal":
            for offset in range(end - start):
                yield _line(" ", start + offset + 1, first + offset + 1, before[start + offset])
            continue
        for number in range(start, end):
            yield _line("-", number + 1, None, before[number])
        for number in range(first, last):
            yield _line("+", None, number + 1, after[number])


def _line(op: str, old: int | None, new: int | None, text: str) -> dict[str, Any]:
    return {"op": op, "from": old, "to": new, "text": text}


def _changes(old: Version, new: Version) -> Iterator[str]:
    """Yield a sentence for each task that was added, removed or changed. Tasks are known by their
    names on the way to them, so that one in front moves none."""
    before, after = _tasks(old), _tasks(new)
    for path in [*before, *(path for path in after if path not in before)]:
        if path not in after:
            yield f"{path}: removed"
        elif path not in before:
            yield f"{path}: added"
        else:
            keys = _own(before[path]), _own(after[path])
            changed = [
                key for key in {**keys[0], **keys[1]} if keys[0].get(key) != keys[1].get(key)
            ]
            if changed:
                yield f"{path}: {', '.join(f'`{key}`' for key in changed)} changed"


def _tasks(version: Version) -> dict[str, Task]:
    workflow = Workflow(json_codec.loads(version.document or "{}"))
    return {_path(task.reference): task for task in workflow.every_task()}


def _path(reference: str) -> str:
    undone = reference.replace(COMPENSATE, "/(undo)")
    parts = [part for part in undone.split("/") if part and not part.isdecimal()]
    return " > ".join(serializers.name(part) for part in parts if part not in {"do", "use"})


def _own(task: Task) -> dict[str, Any]:
    """Return the members of a task without the tasks inside it."""
    body = dict(task.body)
    for place in LISTS.get(task.kind, ()):
        parts = place.split("/")[1:]
        if len(parts) == 1:
            body.pop(parts[0], None)
        elif isinstance(body.get(parts[0]), dict):
            body[parts[0]] = {
                name: value for name, value in body[parts[0]].items() if name != parts[1]
            }
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and "compensate" in metadata:
        body["metadata"] = {name: value for name, value in metadata.items() if name != "compensate"}
    return body
