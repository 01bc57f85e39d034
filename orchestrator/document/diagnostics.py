"""What can be wrong with a document, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.errors import OrchestratorError

#: The most problems that one error names.
MAX_DIAGNOSTICS = 50


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Something wrong, or doubtful, at one place of a document.

    `pointer` is a JSON pointer (RFC 6901) into the document; `line` and `column` count from 1
    in its source, columns in characters.
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
    """The document's text cannot be read: no YAML, no JSON, or beyond a bound."""


class InvalidDocument(DocumentError):
    """The document can be read, but is no workflow that can be run."""


def in_order(problems: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The problems as a reader meets them, each once."""
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda problem: (problem.line, problem.column))


def _summary(shown: Sequence[Diagnostic], count: int) -> str:
    if not shown:
        return "the document cannot be used"
    more = f" (and {count - 1} more)" if count > 1 else ""
    return f"{shown[0]}{more}"
