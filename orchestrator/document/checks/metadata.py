"""Our own words under `metadata`. Any others are the author's, and not looked at unless they
come so near to one of ours that it was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.document.checks.check_context import Context
from orchestrator.document.dsl_schema.metadata_extensions import (
    COMPENSATION,
    DOCUMENT,
    SCHEDULE,
    TASK,
)
from orchestrator.document.message_text import nearest, quoted
from orchestrator.document.model import escape
from orchestrator.document.schema_messages import SchemaMessage
from orchestrator.document.schema_validation import validate_extension, validate_task
from orchestrator.document.task_sites import TaskSite, Within

Json = Any

#: Where only some kinds of task heed a word.
_APPLICABLE_KINDS = {
    "queue": ("call", "run"),
    "priority": ("call", "run"),
    "onLost": ("call", "run"),
    "maxStarts": ("call", "run"),
    "rollback": ("try", "fork"),
    "concurrency": ("for",),
    "lookBack": ("listen",),
}

#: How near a name must be to one of ours. Higher than for keys of the language: these names
#: are the author's own.
SIMILARITY = 0.8


def check(context: Context) -> None:
    """Names of ours are heeded where they stand."""
    _warn_similar(context, "/document/metadata", context.metadata, DOCUMENT)
    policies = context.metadata.get("schedule") or {}
    _warn_similar(context, "/document/metadata/schedule", policies, SCHEDULE)
    if policies and "schedule" not in context.document:
        message = "these are policies of a 'schedule', which the document has not"
        context.warn("/document/metadata/schedule", message, at_key=True)
    for site in context.sites:
        if site.metadata:
            known = COMPENSATION if site.within is Within.COMPENSATION else TASK
            _warn_similar(context, f"{site.pointer}/metadata", site.metadata, known)
            _check_applicable(context, site)


def check_document_metadata(document: dict[str, Json]) -> list[SchemaMessage]:
    """What is wrong with the words of ours in `document.metadata`."""
    metadata = document["document"].get("metadata", {})
    return _with_prefix("/document/metadata", validate_extension(metadata, "metadata-document"))


def check_task_metadata(site: TaskSite) -> list[SchemaMessage]:
    """What is wrong with the words of ours in a task's metadata, its compensation included:
    any task, with `onUnknown` beside it."""
    if "metadata" not in site.body:
        return []
    compensates = site.within is Within.COMPENSATION
    name = "metadata-compensation" if compensates else "metadata-task"
    pointer = f"{site.pointer}/metadata"
    found = _with_prefix(pointer, validate_extension(site.body["metadata"], name))
    undoing = site.metadata.get("compensate")
    if isinstance(undoing, dict):
        task = {key: value for key, value in undoing.items() if key != "onUnknown"}
        found += _with_prefix(f"{pointer}/compensate", validate_task(task))
    return found


def _with_prefix(pointer: str, complaints: list[SchemaMessage]) -> list[SchemaMessage]:
    return [each._replace(pointer=pointer + each.pointer) for each in complaints]


def _warn_similar(context: Context, pointer: str, metadata: Json, known: Iterable[str]) -> None:
    for key in metadata:
        if key in known:
            continue
        meant = nearest(key, known, SIMILARITY)
        if meant is not None:
            message = f"{quoted(key)} means nothing to us, did you mean {quoted(meant)}?"
            context.warn(f"{pointer}/{escape(key)}", message, at_key=True)


def _check_applicable(context: Context, site: TaskSite) -> None:
    if "retry" in site.metadata and site.within is not Within.COMPENSATION:
        message = (
            "'retry' is heeded by compensations only; others stand in a 'try' with 'catch.retry'"
        )
        context.warn(f"{site.pointer}/metadata/retry", message, at_key=True)
    for key, kinds in _APPLICABLE_KINDS.items():
        if key in site.metadata and site.kind not in kinds:
            which = " and ".join(quoted(kind) for kind in kinds)
            message = f"{quoted(key)} is heeded by tasks of the kind {which} only"
            context.warn(f"{site.pointer}/metadata/{key}", message, at_key=True)
    fork = site.body.get("fork")
    if site.metadata.get("rollback") and isinstance(fork, dict) and not fork.get("compete"):
        message = "'rollback' is heeded by a 'fork' with 'compete' only"
        context.warn(f"{site.pointer}/metadata/rollback", message, at_key=True)
