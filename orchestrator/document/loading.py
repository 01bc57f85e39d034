"""From the text of a document to a workflow that can be run, or to what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.document.complaints import Complaint
from orchestrator.document.parse import parse
from orchestrator.document.places import Place
from orchestrator.document.problems import InvalidDocument, Problem
from orchestrator.document.validate import validate

Json = Any


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid document as plain JSON, and what is doubtful about it."""

    document: dict[str, Json]
    warnings: list[Problem] = field(default_factory=list)


def load(source: bytes | str, media_type: str | None = None) -> Loaded:
    """Read and check a document.

    Raises `MalformedDocument` where the text cannot be read, `InvalidDocument` where it is no
    workflow that can be run; both name every place that is wrong.
    """
    value, root = parse(source, media_type)
    complaints = validate(value)
    if complaints:
        raise InvalidDocument(_placed(complaints, root))
    return Loaded(value)


def _placed(complaints: Iterable[Complaint], root: Place) -> list[Problem]:
    problems = []
    for each in complaints:
        position = root.of_key(each.pointer) if each.at_key else root.of(each.pointer).position
        problems.append(Problem(each.pointer, *position, each.message))
    return problems
