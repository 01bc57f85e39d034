"""Which tasks and branches of documents have run.

A branch is a case of a `switch` (or none of its cases), the skipping of a task whose `if` is false,
and the retry of a `try`. Compensations and handlers are tasks of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.core.data_flow import is_true
from orchestrator.core.expression_template import Expression
from orchestrator.core.model import (
    DataNeeded,
    Slice,
    Status,
    Step,
    Stimulus,
    StimulusKind,
    Transition,
)
from orchestrator.core.task_kinds import StepFaulted
from orchestrator.core.transition_draft import Draft
from orchestrator.document.model import Task, Workflow
from orchestrator.errors import OrchestratorError
from orchestrator.testing.in_memory_rows import Rows, chain

if TYPE_CHECKING:
    from orchestrator.testing.instance_store import InstanceStore

#: The branch of a `switch` in which no case is true.
NO_CASE = "no case"
SKIPPED = "skipped"
RETRIED = "retried"

Item = tuple[str, str]
"""A task (its reference and an empty text) or a branch (the reference and the branch)."""


@dataclass
class DocumentCoverage:
    """What of one document there is, and what of it has run."""

    items: set[Item] = field(default_factory=set)
    hit: set[Item] = field(default_factory=set)

    def count(self, *, branches: bool) -> tuple[int, int]:
        """Return how many tasks, or branches, have run, and how many there are."""
        some = {item for item in self.items if bool(item[1]) == branches}
        return len(some & self.hit), len(some)

    @property
    def missing(self) -> list[str]:
        """What has not run: references, with the branch behind them."""
        return [f"{ref} {branch}".rstrip() for ref, branch in sorted(self.items - self.hit)]


class WorkflowCoverage:
    """The coverage of all documents that tests have used."""

    def __init__(self) -> None:
        self.documents: dict[str, DocumentCoverage] = {}

    @property
    def percent(self) -> float:
        """The share of all tasks and branches that have run."""
        items = sum(len(one.items) for one in self.documents.values())
        hit = sum(len(one.items & one.hit) for one in self.documents.values())
        return 100.0 * hit / items if items else 100.0

    def add(self, id: str, workflow: Workflow) -> None:
        """Add a document. Generated ones, of canvases, are not counted."""
        if not workflow.metadata.get("generated"):
            one = self.documents.setdefault(id, DocumentCoverage())
            one.items.update(_items(workflow))

    def lines(self) -> Iterator[str]:
        """Yield the report."""
        width = max(map(len, self.documents), default=8)
        yield f"{'document':{width}}  {'tasks':>9}  {'branches':>9}"
        for id, one in sorted(self.documents.items()):
            tasks, branches = ("{}/{}".format(*one.count(branches=b)) for b in (False, True))
            yield f"{id:{width}}  {tasks:>9}  {branches:>9}"
            yield from (f"  not run: {text}" for text in one.missing)
        yield f"total: {self.percent:.0f} %"

    # -- between processes ---------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """Return what another process can `merge`."""
        return {
            id: {"items": sorted(one.items), "hit": sorted(one.hit)}
            for id, one in self.documents.items()
        }

    def merge(self, data: Mapping[str, Any]) -> None:
        """Add what another process has covered."""
        for id, told in data.items():
            one = self.documents.setdefault(id, DocumentCoverage())
            one.items.update((ref, branch) for ref, branch in told["items"])
            one.hit.update((ref, branch) for ref, branch in told["hit"])

    # -- what has run --------------------------------------------------------------------------

    def observe(self, store: InstanceStore, rows: Rows, change: Transition) -> None:
        """Take what a transition has run."""
        one = self.documents.get(rows.instance.workflow_id)
        if one is None:
            return
        for step in change.created:
            one.hit.add((step.reference, ""))
        for fact in change.facts:
            if fact.type == "task.skipped":
                one.hit.add((fact.data["task"], SKIPPED))
            elif fact.type == "task.retried" and fact.step in rows.steps:
                one.hit.add((rows.steps[fact.step].reference, RETRIED))
        for step in (*change.created, *change.changed):
            if step.kind == "switch" and step.status is Status.COMPLETED:
                one.hit.update(_cases_taken(store, rows, step))


def _items(workflow: Workflow) -> Iterator[Item]:
    for task in workflow.every_task():
        yield task.reference, ""
        if "if" in task.body:
            yield task.reference, SKIPPED
        if task.kind == "try" and "retry" in task.body["catch"]:
            yield task.reference, RETRIED
        if task.kind == "switch":
            yield from _cases(task)


def _cases(task: Task) -> Iterator[Item]:
    named = list(_named_cases(task.body["switch"]))
    yield from ((task.reference, f"case {name}") for name, _ in named)
    if all("when" in body for _, body in named):
        yield task.reference, NO_CASE


def _named_cases(cases: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return (item for case in cases for item in case.items())


def _cases_taken(store: InstanceStore, rows: Rows, step: Step) -> Iterator[Item]:
    """Yield the case that a `switch` has taken: its conditions are evaluated again, as there."""
    stimulus = Stimulus(StimulusKind.AGENDA, store.now, 0)
    slice = Slice(rows.instance, chain(rows, step.id))
    draft = Draft(rows.workflow, slice, stimulus, store.evaluate, store.limits)
    task = rows.workflow.task(step.reference)
    named = list(_named_cases(task.body["switch"]))
    try:
        node = draft.node(step.id)
        for name, body in named:
            condition = body.get("when")
            if condition is not None and is_true(draft, node, Expression(condition), node.input):
                yield task.reference, f"case {name}"
                return
    except (DataNeeded, StepFaulted, OrchestratorError):
        return
    others = [name for name, body in named if "when" not in body]
    yield task.reference, f"case {others[0]}" if others else NO_CASE
