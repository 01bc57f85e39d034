"""Errors and warnings about a document, with their positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.errors import OrchestratorError

#: Largest number of diagnostics in one error; the rest is only counted.
MAX_DIAGNOSTICS = 50


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """An error or a warning at one position of a document.

    `pointer` is a JSON pointer (RFC 6901) into the document. `line` and `column` count from 1 in
    the source text; columns count characters.
    """

    pointer: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.message}"


class DocumentError(OrchestratorError):
    """The document cannot be used as a workflow."""

    def __init__(self, problems: Sequence[Diagnostic]) -> None:
        self.problems: list[Diagnostic] = in_order(problems)[:MAX_DIAGNOSTICS]
        super().__init__(_summary(self.problems, len(problems)))


class MalformedDocument(DocumentError):
    """The document's text cannot be read: it is neither YAML nor JSON, or exceeds a bound."""


class InvalidDocument(DocumentError):
    """The document can be read but is not a workflow that can run."""


def in_order(problems: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Return the diagnostics in the order of the text, without duplicates."""
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda problem: (problem.line, problem.column))


def _summary(shown: Sequence[Diagnostic], count: int) -> str:
    if not shown:
        return "the document cannot be used"
    more = f" (and {count - 1} more)" if count > 1 else ""
    return f"{shown[0]}{more}"
