"""From the text of a document to a workflow that can be run, or to what is wrong with it.

    text -> parse -> validate -> extensions -> checks -> Loaded

Each stage relies on the one before; where a stage finds something wrong, the later ones are
not tried.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.document.checks import BUILT_KINDS, CHECKS, CheckEnvironment, Context
from orchestrator.document.checks.check_context import CheckExpression, KnownWorkflows
from orchestrator.document.checks.metadata import of_document, of_task
from orchestrator.document.diagnostics import MAX_DIAGNOSTICS, Diagnostic, InvalidDocument, in_order
from orchestrator.document.parser import parse
from orchestrator.document.schema_messages import SchemaMessage
from orchestrator.document.schema_validation import validate, without_echoes
from orchestrator.document.source_positions import SourcePosition
from orchestrator.document.task_sites import TaskSite, sites

Json = Any


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid document as plain JSON, and what is doubtful about it."""

    document: dict[str, Json]
    warnings: list[Diagnostic] = field(default_factory=list)


def load(
    source: bytes | str,
    media_type: str | None = None,
    *,
    known_tasks: Collection[str] | None = None,
    built_kinds: Collection[str] = BUILT_KINDS,
    check_expression: CheckExpression | None = None,
    across: bool = True,
    shortest_interval: float = 0.0,
    known_workflows: KnownWorkflows | None = None,
) -> Loaded:
    """Read and check a document.

    `known_tasks` are the names of the Celery tasks that workers have announced: a call of any
    other is a warning (None: nobody knows, no warning). `built_kinds` are the kinds of calls
    and processes that can be carried out. `check_expression` is an `Evaluator`'s `check`;
    without it, one is made for this document where it is needed. `across`: workflows may run
    those of other namespaces; where they may not, one that names another is a warning.
    `shortest_interval`: a schedule that asks for less, in seconds, is a warning.
    `known_workflows` gives the names of the workflows that a namespace has: running one that
    its own namespace lacks is a warning.

    Raises `MalformedDocument` where the text cannot be read, `InvalidDocument` where it is no
    workflow that can be run; both name every place that is wrong. Raises
    `EvaluatorUnavailable` where expressions cannot be checked now.
    """
    document, root, depth = parse(source, media_type)
    _stop_at(validate(document), root)
    found, complaints = _extended(document)
    _stop_at(complaints, root)
    surroundings = CheckEnvironment(
        known_tasks, built_kinds, check_expression, across, shortest_interval, known_workflows
    )
    context = Context(document, found, surroundings, depth)
    for check in CHECKS:
        check(context)
    _stop_at(without_echoes(context.errors), root)
    return Loaded(document, in_order(_placed(context.warnings, root))[:MAX_DIAGNOSTICS])


def _extended(document: dict[str, Json]) -> tuple[list[TaskSite], list[SchemaMessage]]:
    """Every task, and what is wrong with our extensions under `metadata`."""
    found: list[TaskSite] = []
    complaints = of_document(document)
    unsound: set[str] = set()
    for site in sites(document, unsound):
        found.append(site)
        wrong = of_task(site)
        if wrong:
            complaints += wrong
            unsound.add(site.pointer)
    return found, complaints


def _stop_at(complaints: Iterable[SchemaMessage], root: SourcePosition) -> None:
    problems = _placed(complaints, root)
    if problems:
        raise InvalidDocument(problems)


def _placed(complaints: Iterable[SchemaMessage], root: SourcePosition) -> list[Diagnostic]:
    problems = []
    for each in complaints:
        position = root.of_key(each.pointer) if each.at_key else root.of(each.pointer).position
        problems.append(Diagnostic(each.pointer, *position, each.message))
    return problems
