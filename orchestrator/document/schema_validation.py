"""Validates documents against the schema and returns messages for their authors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from orchestrator.document.dsl_schema import REVISIONS, Table, extension_schema, language, task
from orchestrator.document.schema_messages import SchemaMessage, messages_for

Json = Any

#: Largest number of schema errors that are translated into messages.
_MOST_ERRORS = 1000


def validate(document: Json) -> list[SchemaMessage]:
    """Return the errors of a document; none if it is valid in one of the revisions."""
    return _in_any_revision(document, [language(revision) for revision in REVISIONS])


def validate_task(body: Json) -> list[SchemaMessage]:
    """Return the errors of a single task; none if it is valid in one of the revisions."""
    return _in_any_revision(body, [task(revision) for revision in REVISIONS])


def validate_extension(value: Json, name: str) -> list[SchemaMessage]:
    """Return the errors in a part of a document that is an extension of this product."""
    table = extension_schema(name)
    return [] if table.validator.is_valid(value) else _messages(value, table)


def _in_any_revision(value: Json, tables: Sequence[Table]) -> list[SchemaMessage]:
    if any(table.validator.is_valid(value) for table in tables):
        return []
    newest, *others = (_messages(value, table) for table in tables)
    # Report the errors that all revisions of the DSL have in common: they are errors whichever
    # revision the author meant. If there are none, the document mixes the revisions: report the
    # errors of the newest revision.
    shared = [{(each.pointer, each.subject) for each in other} for other in others]
    common = [
        each for each in newest if all((each.pointer, each.subject) in them for them in shared)
    ]
    return common or newest


def _messages(value: Json, table: Table) -> list[SchemaMessage]:
    errors = islice(table.validator.iter_errors(value), _MOST_ERRORS)
    messages = (message for error in errors for message in messages_for(value, error, table))
    return without_consequences(messages) or [SchemaMessage("", "is not valid in DSL 1.0.3")]


def without_consequences(messages: Iterable[SchemaMessage]) -> list[SchemaMessage]:
    """Leave out messages that only follow from another one: a key that is missing because it is
    misspelt, errors inside an invalid item, an undefined name that is an expression."""
    every = list(dict.fromkeys(messages))
    explained = {each.explains: each for each in every if each.explains is not None}
    return [each for each in every if _cause(each, explained) in (None, each)]


def _cause(message: SchemaMessage, explained: Mapping[str, SchemaMessage]) -> SchemaMessage | None:
    subject = message.subject or message.pointer
    while subject:
        if subject in explained:
            return explained[subject]
        subject = subject.rpartition("/")[0]
    return None
