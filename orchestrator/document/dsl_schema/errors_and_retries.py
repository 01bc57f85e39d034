"""Errors and retries (dsl-reference.md, Error, Try, Retry)."""

from __future__ import annotations

from orchestrator.document.dsl_schema.common_values import EXPRESSION
from orchestrator.document.dsl_schema.schema_builders import (
    INTEGER,
    LITERAL,
    LITERALS,
    PROGRAM,
    TEMPLATE,
    TEMPLATES,
    Revision,
    Schema,
    by_type,
    exactly_one,
    mapping,
    open_mapping,
    ref,
)

BACKOFFS = ("constant", "exponential", "linear")


def definitions(revision: Revision) -> dict[str, Schema]:
    """Return errors, their filters and retry policies as `$defs`."""
    return {
        "error": _error(),
        "error-or-name": by_type(string=LITERAL, object=ref("error")),
        "error-filter": _error_filter(revision),
        "retry": _retry(),
        "retry-or-name": by_type(string=LITERAL, object=ref("retry")),
        "catch": _catch(revision),
    }


def _error() -> Schema:
    # Refuse expressions here, as the official schema does in effect: it allows exactly one of a
    # JSON pointer and an expression (`oneOf`). Each expression matches both alternatives, so
    # `oneOf` refuses all expressions.
    instance = {
        **LITERAL,
        "not": {"pattern": EXPRESSION},
        "expectation": "a JSON pointer; an expression is not allowed here",
    }
    keys = {
        "type": ref("uri-or-expression"),
        "status": INTEGER,
        "instance": instance,
        "title": TEMPLATE,
        "detail": TEMPLATE,
    }
    return mapping(keys, ["type", "status"])


def _error_filter(revision: Revision) -> Schema:
    # Check the property `details` in the January revision, which names it so against its own
    # specification, and `detail` in the July revision. Properties with other names are accepted
    # unchecked.
    detail = "detail" if revision is Revision.JULY else "details"
    keys = {
        "type": LITERAL,
        "status": INTEGER,
        "instance": LITERAL,
        "title": LITERAL,
        detail: LITERAL,
    }
    return {**open_mapping(keys), "minProperties": 1}


def _catch(revision: Revision) -> Schema:
    keys = {
        "errors": open_mapping({"with": ref("error-filter")}),
        "as": LITERAL,
        "when": PROGRAM,
        "exceptWhen": PROGRAM,
        "retry": ref("retry-or-name"),
        "do": ref("tasks"),
    }
    if revision is Revision.JULY:
        keys["then"] = LITERAL
    return mapping(keys)


def _retry() -> Schema:
    kinds = {**dict.fromkeys(BACKOFFS, LITERALS), "linear": TEMPLATES}
    backoff = mapping(kinds, **exactly_one(*BACKOFFS))
    attempt = mapping({"count": INTEGER, "duration": ref("duration")})
    between = {"from": ref("duration"), "to": ref("duration")}
    keys = {
        "when": PROGRAM,
        "exceptWhen": PROGRAM,
        "delay": ref("duration"),
        "backoff": backoff,
        "limit": mapping({"attempt": attempt, "duration": ref("duration")}),
        "jitter": mapping(between, ["from", "to"]),
    }
    return mapping(keys)
