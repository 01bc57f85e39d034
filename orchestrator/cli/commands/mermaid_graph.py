"""`graph`: a workflow as a Mermaid flowchart; for an instance, with the status of each task."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.commands.documents import media_type, read
from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.cli.id_lookup import find_instance, is_id
from orchestrator.cli.options import Shared, shared_options
from orchestrator.cli.output import say
from orchestrator.client import ApiError, Client
from orchestrator.document.graph import blocks
from orchestrator.document.model import LISTS, Task, TaskList, Workflow
from orchestrator.terminal_text import fill_command

_COLOURS = {
    "completed": "#d3f9d8",
    "faulted": "#ffc9c9",
    "cancelled": "#ffe8a1",
    "suspended": "#ffe8a1",
    "waiting": "#d0ebff",
    "running": "#a5d8ff",
    "pending": "#e9ecef",
}


@click.command()
@click.argument("what", metavar="NAME|FILE|ID")
@shared_options
def graph(shared: Shared, what: str) -> None:
    """Print a workflow as a Mermaid flowchart; for an instance, with the status of each task."""
    workflow, statuses = _find(shared, what)
    lines = list(Flowchart(workflow, statuses).lines())
    if shared.printer.table:
        say("\n".join(lines))
    else:
        shared.printer.value(
            {"format": "mermaid", "text": "\n".join(lines), "nodes": blocks(workflow)}
        )


def _find(shared: Shared, what: str) -> tuple[Workflow, dict[str, str]]:
    """Return the workflow of a file, a name or an instance id, and statuses by task reference."""
    if Path(what).suffix in (".yaml", ".yml", ".json"):
        return Workflow(_load(Path(what))), {}
    with shared.client() as client:
        by_name = None if is_id(what) else _document(client, what)
        if by_name is not None:
            return Workflow(by_name), {}
        run = client.get(find_instance(client, what))
        document = client.workflow(run.workflow, run.version)["document"]
        # The API returns steps in the order of their creation. So a task with several steps, as in
        # a loop, gets the status of the newest one.
        return Workflow(document), {step.reference: step.status for step in client.steps(run.id)}


def _load(file: Path) -> dict[str, Any]:
    from orchestrator.document import DocumentError, load

    try:
        return load(read(file), media_type(file)).document
    except DocumentError as error:
        raise Failure(
            f"{file}: {error}",
            Exit.USAGE,
            fill_command("See: orchestrator validate {file}", {"file": file}),
        ) from error


def _document(client: Client, name: str) -> dict[str, Any] | None:
    """Return the document of a workflow; None if no workflow has that name."""
    try:
        document: dict[str, Any] = client.workflow(name)["document"]
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    return document


@dataclass
class Flowchart:
    """The text of a flowchart: a node for each task, a subgraph for a task that contains others."""

    workflow: Workflow
    statuses: Mapping[str, str]
    ids: dict[str, str] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Yield every line, in an order that Mermaid accepts."""
        tasks = self.workflow.tasks("/do")
        yield "flowchart TD"
        yield "  start([start])"
        for task in tasks:
            yield from self._node(task, "  ")
        yield "  finish([end])"
        yield f"  start --> {self._id(tasks[0])}"
        yield from self._edges(tasks, "finish")
        yield from self._colours()

    def _id(self, task: Task) -> str:
        return self.ids.setdefault(task.reference, f"t{len(self.ids) + 1}")

    def _node(self, task: Task, indent: str) -> Iterator[str]:
        label = f'"{_text(task.name)}<br/><small>{_text(_summary(task))}</small>"'
        if task.kind == "switch":
            yield f"{indent}{self._id(task)}{{{label}}}"
        elif any(True for _ in task.children()):
            yield f'{indent}subgraph {self._id(task)} ["{_text(f"{task.name} ({task.kind})")}"]'
            for child in task.children():
                yield from self._node(child, indent + "  ")
            yield f"{indent}end"
        else:
            yield f"{indent}{self._id(task)}[{label}]"
        compensation = task.compensation
        if compensation is not None:
            text = _text(f"undo: {_summary(compensation)}")
            yield f'{indent}{self._id(compensation)}>"{text}"]'

    def _edges(self, tasks: TaskList, after: str | None) -> Iterator[str]:
        """Yield the edges from each task of a list; `after` is the target of the list's end."""
        for index, task in enumerate(tasks):
            following = self._id(tasks[index + 1]) if index + 1 < len(tasks) else after
            for label, then in _exits(task):
                target = self._target(tasks, then, following, after)
                if target:
                    yield f"  {self._id(task)} -->{label}{target}"
            if task.compensation is not None:
                yield f"  {self._id(task)} -.-> {self._id(task.compensation)}"
            for pointer in LISTS.get(task.kind, ()):
                inner = self.workflow.tasks(task.reference + pointer)
                if task.kind != "fork":
                    yield from self._edges(inner, None)
                else:
                    for branch in inner:
                        yield from self._edges(TaskList(branch.reference, (branch,)), None)

    def _target(
        self, tasks: TaskList, then: str, following: str | None, after: str | None
    ) -> str | None:
        named = tasks.names.get(then)
        if named is not None:
            return self._id(named)
        return {"continue": following, "exit": after, "end": "finish"}.get(then)

    def _colours(self) -> Iterator[str]:
        for status, colour in _COLOURS.items():
            nodes = [id for ref, id in self.ids.items() if self.statuses.get(ref) == status]
            if nodes:
                yield f"  classDef {status} fill:{colour},color:#212529"
                yield f"  class {','.join(nodes)} {status}"


def _exits(task: Task) -> Iterator[tuple[str, str]]:
    """Yield the exits of a task: the label of the edge, and the flow directive."""
    own = str(task.body.get("then", "continue"))
    if task.kind != "switch":
        yield " ", own
        return
    default = False
    for case in task.body["switch"]:
        ((name, rule),) = case.items()
        default = default or "when" not in rule
        yield f'|"{_text(name)}"| ', str(rule.get("then", "continue"))
    if not default:
        yield " ", own


def _summary(task: Task) -> str:
    call = task.body.get("call")
    return str(call) if call else task.kind


def _text(text: str) -> str:
    """Escape a text for Mermaid."""
    return re.sub(r'["<>#;|\[\]{}]', lambda match: f"#{ord(match.group())};", text)
