"""What a check is given, and where it says what it found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.document.schema_messages import SchemaMessage
from orchestrator.document.task_sites import TaskSite

Json = Any

CheckExpression = Callable[[str, Iterable[str]], None]
"""`(program, names of variables)`: `Evaluator.check`, or what raises the same errors."""

KnownWorkflows = Callable[[str], Collection[str]]
"""The names of the workflows of a namespace; asked only where a document runs one."""

#: The kinds of calls and processes that can be carried out.
BUILT_KINDS = frozenset({"celery", "http", "openapi", "workflow"})


@dataclass(frozen=True, slots=True)
class CheckEnvironment:
    """What is known of the world outside the document. `known_tasks` are the names of the
    Celery tasks that workers have announced; None: nobody knows. `across`: a workflow may run
    those of other namespaces. `shortest_interval`: schedules are held to this pause, in
    seconds. `known_workflows` are the names of those that are deployed in the document's own
    namespace; None: nobody knows."""

    known_tasks: Collection[str] | None = None
    built_kinds: Collection[str] = BUILT_KINDS
    check_expression: CheckExpression | None = None
    allows_other_namespaces: bool = True
    shortest_interval: float = 0.0
    known_workflows: KnownWorkflows | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """A valid document under inspection. `depth` is how deep it is nested."""

    document: dict[str, Json]
    sites: list[TaskSite]
    environment: CheckEnvironment = field(default_factory=CheckEnvironment)
    depth: int = 0
    errors: list[SchemaMessage] = field(default_factory=list)
    warnings: list[SchemaMessage] = field(default_factory=list)

    def error(
        self, pointer: str, message: str, *, at_key: bool = False, explains: str | None = None
    ) -> None:
        """The document cannot be run because of this. Other errors at the place that it
        `explains` follow from it and are not reported."""
        self.errors.append(SchemaMessage(pointer, message, at_key, explains=explains))

    def warn(self, pointer: str, message: str, *, at_key: bool = False) -> None:
        """Something is doubtful, or not possible yet."""
        self.warnings.append(SchemaMessage(pointer, message, at_key))

    def used(self, section: str) -> Json:
        """A section of `use`: a mapping by name, a list, or nothing."""
        return (self.document.get("use") or {}).get(section) or {}

    @property
    def metadata(self) -> dict[str, Json]:
        """What the author noted under `document.metadata`."""
        return self.document["document"].get("metadata") or {}

    @property
    def is_loose(self) -> bool:
        """Do expressions need no `${ }` here? (dsl-reference.md, Evaluate)"""
        evaluate = self.document.get("evaluate")
        return isinstance(evaluate, dict) and evaluate.get("mode") == "loose"
