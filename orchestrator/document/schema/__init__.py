"""The language's own schema, in both revisions, written by topic and compiled once a process.

A document is valid when it is valid in one revision as a whole.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema_rs

from orchestrator.document.schema import workflow
from orchestrator.document.schema.words import Revision, Schema

__all__ = ["REVISIONS", "Revision", "definition", "task_validator", "validator"]

#: The newest first: its messages count where both refuse a document alike.
REVISIONS = (Revision.JULY, Revision.JANUARY)


@cache
def validator(revision: Revision) -> jsonschema_rs.Validator:
    """Validates a whole document."""
    return _compiled(workflow.workflow(revision))


@cache
def task_validator(revision: Revision) -> jsonschema_rs.Validator:
    """Validates a single task."""
    return _compiled(workflow.task(revision))


@cache
def _tables(revision: Revision) -> Schema:
    return workflow.workflow(revision)


def definition(revision: Revision, path: list[str | int]) -> Any:
    """The part of a revision's schema at the path that an error names; None if there is none."""
    found: Any = _tables(revision)
    for step in path:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            return None
    return found


def _compiled(schema: Schema) -> jsonschema_rs.Validator:
    # Messages are ours; masked ones don't carry copies of the document.
    return jsonschema_rs.validator_for(schema, mask="")
