"""Is a document valid in the language? Where not: what is wrong, as its author sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

import jsonschema_rs

from orchestrator.document.complaints import Complaint, complaints
from orchestrator.document.schema import REVISIONS, Revision, task_validator, validator

Json = Any

#: The most errors of a schema that are looked at.
_MOST_ERRORS = 1000


def validate(document: Json) -> tuple[list[Revision], list[Complaint]]:
    """The revisions in which the document is valid, or what is wrong with it."""
    return _validated(document, validator)


def validate_task(task: Json) -> list[Complaint]:
    """What is wrong with a single task; nothing where it is valid in one of the revisions."""
    return _validated(task, task_validator)[1]


def _validated(
    value: Json, compiled: Callable[[Revision], jsonschema_rs.Validator]
) -> tuple[list[Revision], list[Complaint]]:
    accepting = [revision for revision in REVISIONS if compiled(revision).is_valid(value)]
    if accepting:
        return accepting, []
    newest, other = (_complaints(value, compiled(each), each) for each in REVISIONS)
    # What both revisions refuse is what is wrong, whichever was meant. Where they agree on
    # nothing, the document mixes the two.
    shared = {(each.pointer, each.subject) for each in other}
    return [], [each for each in newest if (each.pointer, each.subject) in shared] or newest


def _complaints(
    value: Json, compiled: jsonschema_rs.Validator, revision: Revision
) -> list[Complaint]:
    errors = islice(compiled.iter_errors(value), _MOST_ERRORS)
    found = (complaint for error in errors for complaint in complaints(value, error, revision))
    return _without_echoes(found) or [Complaint("", f"is not valid in DSL 1.0.3 ({revision})")]


def _without_echoes(found: Iterable[Complaint]) -> list[Complaint]:
    """Leave out what only follows from another complaint: a key that is missing because it
    was misspelt, and whatever stands inside an item that is no item."""
    every = list(dict.fromkeys(found))
    explained = {each.explains: each for each in every if each.explains is not None}
    return [each for each in every if _cause(each, explained) in (None, each)]


def _cause(complaint: Complaint, explained: Mapping[str, Complaint]) -> Complaint | None:
    subject = complaint.subject or complaint.pointer
    while subject:
        if subject in explained:
            return explained[subject]
        subject = subject.rpartition("/")[0]
    return None
