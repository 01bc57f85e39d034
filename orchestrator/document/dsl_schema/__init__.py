"""The language's own schema, in both revisions, written by topic and compiled once a process.

A document is valid when it is valid in one revision as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import jsonschema_rs

from orchestrator.document.dsl_schema import metadata_extensions, workflow
from orchestrator.document.dsl_schema.schema_builders import (
    NO_EXPRESSION,
    Revision,
    Schema,
    ref,
    refusing,
)

__all__ = ["REVISIONS", "Revision", "Table", "extension_schema", "language", "literals", "task"]

#: The newest first: its messages count where both refuse a document alike.
REVISIONS = (Revision.JULY, Revision.JANUARY)


class Table:
    """A schema, compiled when it is first needed."""

    def __init__(self, schema: Schema) -> None:
        # Messages are ours; masked ones don't carry copies of the document.
        self.validator = jsonschema_rs.validator_for(schema, mask="")
        self._schema = schema

    def part(self, path: Sequence[str | int]) -> Any:
        """The part of the schema at the path that an error names; None if there is none."""
        found: Any = self._schema
        for step in path:
            try:
                found = found[step]
            except (KeyError, IndexError, TypeError):
                return None
        return found


@cache
def language(revision: Revision) -> Table:
    """A whole document in one revision."""
    return Table(workflow.workflow(revision))


@cache
def task(revision: Revision) -> Table:
    """A single task in one revision."""
    return Table(_only("task", workflow.definitions(revision)))


@cache
def literals(revision: Revision, part: str = "") -> Table:
    """What `language`, or the definition named `part`, is in one revision, where literal texts
    that look like expressions are refused: for what is valid otherwise."""
    whole = workflow.workflow(revision)
    definitions = {**whole["$defs"], "no-expression": NO_EXPRESSION}
    schema = _only(part, definitions) if part else {**whole, "$defs": definitions}
    return Table(refusing(schema))


@cache
def extension_schema(name: str) -> Table:
    """One of the tables of our own extensions (`extensions.tables`)."""
    return Table(
        _only(name, {**workflow.definitions(Revision.JULY), **metadata_extensions.tables()})
    )


def _only(name: str, definitions: Schema) -> Schema:
    return {"$schema": workflow.DIALECT, **ref(name), "$defs": definitions}
