"""Is a document valid in the language? Where not: what is wrong, as its author sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from orchestrator.document.dsl_schema import REVISIONS, Table, extension_schema, language, task
from orchestrator.document.schema_messages import SchemaMessage, messages_for

Json = Any

#: The most errors of a schema that are looked at.
_MOST_ERRORS = 1000


def validate(document: Json) -> list[SchemaMessage]:
    """What is wrong with a document; nothing where it is valid in one of the revisions."""
    return _in_any_revision(document, [language(revision) for revision in REVISIONS])


def validate_task(body: Json) -> list[SchemaMessage]:
    """What is wrong with a single task; nothing where it is valid in one of the revisions."""
    return _in_any_revision(body, [task(revision) for revision in REVISIONS])


def validate_extension(value: Json, name: str) -> list[SchemaMessage]:
    """What is wrong with a part of a document that is an extension of ours."""
    table = extension_schema(name)
    return [] if table.validator.is_valid(value) else _messages(value, table)


def _in_any_revision(value: Json, tables: Sequence[Table]) -> list[SchemaMessage]:
    if any(table.validator.is_valid(value) for table in tables):
        return []
    newest, *others = (_messages(value, table) for table in tables)
    # What all revisions refuse is what is wrong, whichever was meant. Where they agree on
    # nothing, the document mixes them.
    shared = [{(each.pointer, each.subject) for each in other} for other in others]
    common = [
        each for each in newest if all((each.pointer, each.subject) in them for them in shared)
    ]
    return common or newest


def _messages(value: Json, table: Table) -> list[SchemaMessage]:
    errors = islice(table.validator.iter_errors(value), _MOST_ERRORS)
    found = (complaint for error in errors for complaint in messages_for(value, error, table))
    return without_consequences(found) or [SchemaMessage("", "is not valid in DSL 1.0.3")]


def without_consequences(found: Iterable[SchemaMessage]) -> list[SchemaMessage]:
    """Leave out what only follows from another complaint: a key that is missing because it
    was misspelt, whatever stands inside an item that is no item, what nothing is named like because
    it is an expression."""
    every = list(dict.fromkeys(found))
    explained = {each.explains: each for each in every if each.explains is not None}
    return [each for each in every if _cause(each, explained) in (None, each)]


def _cause(
    complaint: SchemaMessage, explained: Mapping[str, SchemaMessage]
) -> SchemaMessage | None:
    subject = complaint.subject or complaint.pointer
    while subject:
        if subject in explained:
            return explained[subject]
        subject = subject.rpartition("/")[0]
    return None
