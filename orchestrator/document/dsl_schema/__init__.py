"""The schema of the language in both revisions, written by topic, compiled once per process.

A document is valid when one revision accepts it as a whole.
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
    refusing_expression_literals,
)

__all__ = [
    "REVISIONS",
    "Revision",
    "Table",
    "extension_schema",
    "language",
    "literals_table",
    "task",
]

#: The newest revision first: its messages count if both revisions refuse a document alike.
REVISIONS = (Revision.JULY, Revision.JANUARY)


class Table:
    """A schema, compiled on its first use."""

    def __init__(self, schema: Schema) -> None:
        # `mask` keeps the values of the document out of the validator's errors. Authors do not see
        # these errors: `schema_messages` writes the messages for them.
        self.validator = jsonschema_rs.validator_for(schema, mask="")
        self._schema = schema

    def part(self, path: Sequence[str | int]) -> Any:
        """Return the part of the schema at the path of an error, or None if there is none."""
        part: Any = self._schema
        for step in path:
            try:
                part = part[step]
            except (KeyError, IndexError, TypeError):
                return None
        return part


@cache
def language(revision: Revision) -> Table:
    """Return the table of a whole document in one revision."""
    return Table(workflow.workflow(revision))


@cache
def task(revision: Revision) -> Table:
    """Return the table of a single task in one revision."""
    return Table(_only("task", workflow.definitions(revision)))


@cache
def literals_table(revision: Revision, part: str = "") -> Table:
    """Return the table of `language`, or of the definition `part`, that also refuses literal texts
    that look like expressions. Use it for values that are valid otherwise."""
    whole = workflow.workflow(revision)
    definitions = {**whole["$defs"], "no-expression": NO_EXPRESSION}
    schema = _only(part, definitions) if part else {**whole, "$defs": definitions}
    return Table(refusing_expression_literals(schema))


@cache
def extension_schema(name: str) -> Table:
    """Return one of the tables of this product's extensions (`metadata_extensions.tables`)."""
    return Table(
        _only(name, {**workflow.definitions(Revision.JULY), **metadata_extensions.tables()})
    )


def _only(name: str, definitions: Schema) -> Schema:
    return {"$schema": workflow.DIALECT, **ref(name), "$defs": definitions}
