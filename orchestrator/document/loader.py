"""Loads a document: from its text to a workflow that can run, or to its errors.

    text -> parse -> validate -> extensions -> checks -> Loaded

Each stage relies on the previous one. After a stage with errors the later ones do not run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.document.checks import BUILT_KINDS, CHECKS, CheckEnvironment, Context
from orchestrator.document.checks.check_context import (
    AllowsProcess,
    CheckExpression,
    KnownWorkflows,
    QueueProblem,
)
from orchestrator.document.checks.metadata import check_document_metadata, check_task_metadata
from orchestrator.document.diagnostics import MAX_DIAGNOSTICS, Diagnostic, InvalidDocument, in_order
from orchestrator.document.parser import parse
from orchestrator.document.schema_messages import SchemaMessage
from orchestrator.document.schema_validation import validate, without_consequences
from orchestrator.document.source_positions import SourcePosition
from orchestrator.document.task_sites import TaskSite, sites

Json = Any


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid document as plain JSON, and its warnings."""

    document: dict[str, Json]
    warnings: list[Diagnostic] = field(default_factory=list)


def load(
    source: bytes | str,
    media_type: str | None = None,
    *,
    known_tasks: Collection[str] | None = None,
    built_kinds: Collection[str] = BUILT_KINDS,
    check_expression: CheckExpression | None = None,
    allows_other_namespaces: bool = True,
    shortest_interval: float = 0.0,
    known_workflows: KnownWorkflows | None = None,
    queue_problem: QueueProblem | None = None,
    allows_process: AllowsProcess | None = None,
) -> Loaded:
    """Read and check a document.

    `known_tasks` are the Celery tasks that workers have announced; a call of any other task is
    a warning. None: the list is not available, so no call is checked. `built_kinds` are the
    kinds of calls and processes that this installation supports. `check_expression` is the
    `check` of an `Evaluator`; without it, `load` starts an evaluator of its own when the
    document needs one. `allows_other_namespaces`: a workflow may run workflows of other
    namespaces; where it may not, naming another namespace is a warning.
    `shortest_interval`, in seconds: a schedule with a shorter interval is a warning.
    `known_workflows` returns the names of the workflows of a namespace; running a workflow
    that the document's own namespace lacks is a warning. `queue_problem` returns what is wrong with
    the queue of a Celery task, given the one that the document names; that is a warning too.
    `allows_process` says whether a namespace may run shell commands or scripts.

    Raises `MalformedDocument` if the text cannot be read, `InvalidDocument` if it is not a
    workflow that can run; both carry a diagnostic for each error. Raises
    `EvaluatorUnavailable` if expressions cannot be checked now.
    """
    document, root, depth = parse(source, media_type)
    _raise_if_any(validate(document), root)
    task_sites, messages = _sites_and_metadata(document)
    _raise_if_any(messages, root)
    environment = CheckEnvironment(
        known_tasks,
        built_kinds,
        check_expression,
        allows_other_namespaces,
        shortest_interval,
        known_workflows,
        queue_problem,
        allows_process,
    )
    context = Context(document, task_sites, environment, depth)
    for check in CHECKS:
        check(context)
    _raise_if_any(without_consequences(context.errors), root)
    return Loaded(document, in_order(_diagnostics(context.warnings, root))[:MAX_DIAGNOSTICS])


def _sites_and_metadata(document: dict[str, Json]) -> tuple[list[TaskSite], list[SchemaMessage]]:
    """Return every task, and the errors in the product's keys under `metadata`."""
    task_sites: list[TaskSite] = []
    messages = check_document_metadata(document)
    unsound: set[str] = set()
    for site in sites(document, unsound):
        task_sites.append(site)
        wrong = check_task_metadata(site)
        if wrong:
            messages += wrong
            unsound.add(site.pointer)
    return task_sites, messages


def _raise_if_any(messages: Iterable[SchemaMessage], root: SourcePosition) -> None:
    problems = _diagnostics(messages, root)
    if problems:
        raise InvalidDocument(problems)


def _diagnostics(messages: Iterable[SchemaMessage], root: SourcePosition) -> list[Diagnostic]:
    problems = []
    for each in messages:
        position = root.of_key(each.pointer) if each.at_key else root.of(each.pointer).position
        problems.append(Diagnostic(each.pointer, *position, each.message))
    return problems
