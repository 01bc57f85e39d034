"""Check the product's own keys under `metadata`. Other keys belong to the author; a key that
resembles one of the product's is a warning."""

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
from orchestrator.document.message_text import nearest_word, quoted
from orchestrator.document.model import escape
from orchestrator.document.schema_messages import SchemaMessage
from orchestrator.document.schema_validation import validate_extension, validate_task
from orchestrator.document.task_sites import TaskSite, Within

Json = Any

#: Keys that have an effect in some kinds of task only, with those kinds.
_APPLICABLE_KINDS = {
    "queue": ("call", "run"),
    "priority": ("call", "run"),
    "onLost": ("call", "run"),
    "maxStarts": ("call", "run"),
    "rollback": ("try", "fork"),
    "rethrow": ("try",),
    "concurrency": ("for",),
    "onMemberFault": ("fork", "for"),
    "timeLimit": ("call",),
    "expires": ("call",),
    "errback": ("call",),
    "lookBack": ("listen",),
}

#: Least similarity to one of the product's keys for a warning, from 0 to 1. Higher than for keys of
#: the language, because an author may choose any name here.
SIMILARITY = 0.8


def check(context: Context) -> None:
    """Warn of the product's keys that have no effect where they are."""
    _warn_similar(context, "/document/metadata", context.metadata, DOCUMENT)
    policies = context.metadata.get("schedule") or {}
    _warn_similar(context, "/document/metadata/schedule", policies, SCHEDULE)
    if policies and "schedule" not in context.document:
        message = "these policies have no effect: the document has no 'schedule'"
        context.warn("/document/metadata/schedule", message, at_key=True)
    for site in context.sites:
        if site.metadata:
            known = COMPENSATION if site.within is Within.COMPENSATION else TASK
            _warn_similar(context, f"{site.pointer}/metadata", site.metadata, known)
            _check_applicable(context, site)


def check_document_metadata(document: dict[str, Json]) -> list[SchemaMessage]:
    """Return the errors in the product's keys of `document.metadata`."""
    metadata = document["document"].get("metadata", {})
    return _with_prefix("/document/metadata", validate_extension(metadata, "metadata-document"))


def check_task_metadata(site: TaskSite) -> list[SchemaMessage]:
    """Return the errors in the product's keys of a task's metadata. They include its compensation,
    which is any task with `onUnknown` beside it."""
    if "metadata" not in site.body:
        return []
    compensates = site.within is Within.COMPENSATION
    name = "metadata-compensation" if compensates else "metadata-task"
    pointer = f"{site.pointer}/metadata"
    messages = _with_prefix(pointer, validate_extension(site.body["metadata"], name))
    undoing = site.metadata.get("compensate")
    if isinstance(undoing, dict):
        task = {key: value for key, value in undoing.items() if key != "onUnknown"}
        messages += _with_prefix(f"{pointer}/compensate", validate_task(task))
    return messages


def _with_prefix(pointer: str, messages: list[SchemaMessage]) -> list[SchemaMessage]:
    return [each._replace(pointer=pointer + each.pointer) for each in messages]


def _warn_similar(context: Context, pointer: str, metadata: Json, known: Iterable[str]) -> None:
    for key in metadata:
        if key in known:
            continue
        meant = nearest_word(key, known, SIMILARITY)
        if meant is not None:
            message = f"{quoted(key)} is not a known key, did you mean {quoted(meant)}?"
            context.warn(f"{pointer}/{escape(key)}", message, at_key=True)


def _check_applicable(context: Context, site: TaskSite) -> None:
    if "retry" in site.metadata and site.within is not Within.COMPENSATION:
        message = "'retry' works in compensations only; elsewhere use a 'try' with 'catch.retry'"
        context.warn(f"{site.pointer}/metadata/retry", message, at_key=True)
    for key, kinds in _APPLICABLE_KINDS.items():
        if key in site.metadata and site.kind not in kinds:
            which = " and ".join(quoted(kind) for kind in kinds)
            message = f"{quoted(key)} works in tasks of the kind {which} only"
            context.warn(f"{site.pointer}/metadata/{key}", message, at_key=True)
    fork = site.body.get("fork")
    if site.metadata.get("rollback") and isinstance(fork, dict) and not fork.get("compete"):
        message = "'rollback' works in a 'fork' with 'compete' only"
        context.warn(f"{site.pointer}/metadata/rollback", message, at_key=True)
