"""The input of a check, and where it reports errors and warnings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from orchestrator.document.diagnostics import MAX_DIAGNOSTICS
from orchestrator.document.message_text import nearest_word, quoted, suggestion
from orchestrator.document.schema_messages import SchemaMessage
from orchestrator.document.task_sites import TaskSite

Json = Any

CheckExpression = Callable[[str, Iterable[str]], None]
"""`(program, names of variables)`: `Evaluator.check`, or a function that raises the same errors."""

KnownWorkflows = Callable[[str], Collection[str]]
"""Returns the names of the workflows of a namespace. Called for each task that runs a workflow."""

QueueProblem = Callable[[str, str | None], str | None]
"""`(task, the queue that the document names)`: why its steps would wait, or run elsewhere."""

AllowsProcess = Callable[[str, str], bool]
"""`(kind, namespace)`: whether the installation allows its workflows shell commands or scripts."""

#: The kinds of calls and processes that this product can run.
BUILT_KINDS = frozenset({"celery", "http", "openapi", "script", "shell", "workflow"})


@dataclass(frozen=True, slots=True)
class CheckEnvironment:
    """Facts about the installation. `known_tasks` are the Celery tasks that workers have announced,
    `known_workflows` the deployed workflows of a namespace; None: not available, so nothing is
    checked against it. `allows_other_namespaces`: a workflow may run workflows of other namespaces.
    `shortest_interval`: the shortest allowed interval of a schedule, in seconds. `queue_problem`
    returns what is wrong with the queue of a Celery task. `allows_process` says whether the
    installation allows a namespace to run shell commands or scripts."""

    known_tasks: Collection[str] | None = None
    built_kinds: Collection[str] = BUILT_KINDS
    check_expression: CheckExpression | None = None
    allows_other_namespaces: bool = True
    shortest_interval: float = 0.0
    known_workflows: KnownWorkflows | None = None
    queue_problem: QueueProblem | None = None
    allows_process: AllowsProcess | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """A schema-valid document during the checks. `depth` is its depth of nesting."""

    document: dict[str, Json]
    sites: list[TaskSite]
    environment: CheckEnvironment = field(default_factory=CheckEnvironment)
    depth: int = 0
    errors: list[SchemaMessage] = field(default_factory=list)
    warnings: list[SchemaMessage] = field(default_factory=list)
    #: The words that a similar one was searched for.
    searched: list[str] = field(default_factory=list)

    def error(
        self, pointer: str, message: str, *, at_key: bool = False, explains: str | None = None
    ) -> None:
        """Report an error: the document cannot run. Other errors at or below the pointer `explains`
        follow from this one and are not reported."""
        self.errors.append(SchemaMessage(pointer, message, at_key, explains=explains))

    def warn(self, pointer: str, message: str, *, at_key: bool = False) -> None:
        """Report something doubtful or not supported yet."""
        self.warnings.append(SchemaMessage(pointer, message, at_key))

    def warn_unsupported(self, pointer: str, kind: str, subject: str) -> None:
        """Warn of a kind of call or process that this product does not support."""
        if kind not in self.environment.built_kinds:
            message = f"{subject} of the kind {quoted(kind)} are not supported yet"
            self.warn(pointer, f"{message}; this task will fault")

    def meant(self, word: str, *known: Iterable[str]) -> str:
        """Return `, did you mean 'call'?`, or an empty text if no known word is similar.

        The search compares with each known word, so it is made for the first words only: about as
        many as a report shows."""
        if len(self.searched) >= MAX_DIAGNOSTICS:
            return ""
        self.searched.append(word)
        return suggestion(nearest_word(word, chain.from_iterable(known)))

    def used(self, section: str) -> Json:
        """Return a section of `use`: a mapping by name, a list, or an empty mapping."""
        return (self.document.get("use") or {}).get(section) or {}

    @property
    def metadata(self) -> dict[str, Json]:
        """The author's `document.metadata`."""
        return self.document["document"].get("metadata") or {}

    @property
    def is_loose(self) -> bool:
        """Whether expressions need no `${ }` here (dsl-reference.md, Evaluate)."""
        evaluate = self.document.get("evaluate")
        return isinstance(evaluate, dict) and evaluate.get("mode") == "loose"
