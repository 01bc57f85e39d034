"""A whole document (dsl-reference.md, Workflow, Use, Schedule, Evaluate, Extension)."""

from __future__ import annotations

from orchestrator.document.dsl_schema import (
    authentication,
    common_values,
    errors_and_retries,
    events,
    tasks,
)
from orchestrator.document.dsl_schema.schema_builders import (
    LITERAL,
    LITERALS,
    NAME,
    OWN,
    PROGRAM,
    VERSION,
    Revision,
    Schema,
    list_of,
    mapping,
    mapping_of,
    matching,
    named,
    one_of,
    open_mapping,
    ref,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: Kinds of task that an extension can extend. `composite` is a task that contains other tasks.
EXTENDED = (
    "call", "composite", "emit", "for", "listen", "raise", "run", "set", "switch", "try", "wait",
    "all",
)  # fmt: skip


def workflow(revision: Revision) -> Schema:
    """Return the schema of a document in one revision of the language."""
    return {"$schema": DIALECT, **_root(revision), "$defs": definitions(revision)}


def definitions(revision: Revision) -> dict[str, Schema]:
    """Return all `$defs` of the schema."""
    return {
        **common_values.definitions(revision),
        **authentication.definitions(revision),
        **events.definitions(revision),
        **errors_and_retries.definitions(revision),
        **tasks.definitions(revision),
    }


def _root(revision: Revision) -> Schema:
    keys = {
        "document": _document(),
        "input": ref("input"),
        "use": _use(),
        "do": ref("tasks"),
        "timeout": ref("timeout-or-name"),
        "output": ref("output"),
        "schedule": _schedule(revision),
    }
    if revision is Revision.JULY:
        modes = one_of("strict", "loose")
        keys["evaluate"] = mapping({"language": LITERAL, "mode": modes})
    return open_mapping(keys, ["document", "do"])


def _document() -> Schema:
    name = matching(NAME, "a name: 1 to 63 letters, digits and hyphens, none at the ends")
    version = matching(VERSION, "a semantic version, like '1.0.0'")
    keys = {
        "dsl": version,
        "namespace": name,
        "name": name,
        "version": version,
        "title": LITERAL,
        "summary": LITERAL,
        "tags": LITERALS,
        "metadata": OWN,
    }
    return mapping(keys, ["dsl", "namespace", "name", "version"])


def _use() -> Schema:
    extension = {
        "extend": one_of(*EXTENDED),
        "when": PROGRAM,
        "before": ref("tasks"),
        "after": ref("tasks"),
    }
    keys = {
        "authentications": mapping_of(ref("authentication")),
        "catalogs": mapping_of(ref("catalog")),
        "errors": mapping_of(ref("error")),
        "extensions": list_of(named(mapping(extension, ["extend"]))),
        "functions": mapping_of(ref("task")),
        "retries": mapping_of(ref("retry")),
        "secrets": {"type": "array", "items": LITERAL},
        "timeouts": mapping_of(ref("timeout")),
    }
    return mapping(keys)


def _schedule(revision: Revision) -> Schema:
    keys = {
        "every": ref("duration"),
        "cron": LITERAL,
        "after": ref("duration"),
        "on": ref("consumption"),
    }
    if revision is Revision.JANUARY:
        return mapping(keys)
    return mapping({**keys, "read": one_of(*events.READ)}, dependentRequired={"read": ["on"]})
