"""A workflow's tasks as nested blocks, for pictures: what a program draws without reading the DSL.

A block is ``{reference, name, kind, summary}`` and, where it has them: `then` (a flow directive
other than ``continue``), `body` (the tasks inside), `branches` (of a fork, a list of tasks each),
`catch` (the tasks that handle an error), `cases` of a switch (``{name, when, then}``; `when` is
null for the default), `undo` (the block of its compensation) and `quiet` (``metadata.display:
quiet``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.document.model import Task, Workflow

Block = dict[str, Any]

#: Most characters of a summary: it is one line of a box.
MAX_SUMMARY = 100


def blocks(workflow: Workflow) -> list[Block]:
    """Return the blocks of the workflow's own tasks, in the order of the document."""
    return _list(workflow.tasks("/do"))


def _list(tasks: Iterable[Task]) -> list[Block]:
    return [block(task) for task in tasks]


def block(task: Task) -> Block:
    """Return the block of a task with all tasks inside it."""
    made: Block = {
        "reference": task.reference,
        "name": task.name,
        "kind": task.kind,
        "summary": summary(task)[:MAX_SUMMARY],
    }
    then = task.body.get("then", "continue")
    if then != "continue":
        made["then"] = then
    if task.kind == "fork":
        made["branches"] = [[block(branch)] for branch in task.children()]
    elif task.kind == "try":
        made["body"] = _list(task.workflow.tasks(f"{task.reference}/try"))
        handler = _list(task.workflow.tasks(f"{task.reference}/catch/do"))
        made |= {"catch": handler} if handler else {}
    elif task.kind == "switch":
        made["cases"] = [_case(case) for case in task.body["switch"]]
    elif inside := _list(task.children()):
        made["body"] = inside
    if task.compensation is not None:
        undo = block(task.compensation)
        made["undo"] = {**undo, "name": undo["summary"]}
    if task.metadata.get("display") == "quiet":
        made["quiet"] = True
    return made


def _case(case: dict[str, Any]) -> Block:
    ((name, rule),) = case.items()
    return {"name": name, "when": rule.get("when"), "then": rule.get("then", "continue")}


def summary(task: Task) -> str:
    """Return what a task does, in a few words: what it calls, awaits, emits or runs."""
    value = task.body[task.kind]
    describe = _SUMMARIES.get(task.kind)
    return (describe(value, task.body) if describe else "") or task.kind


def _call(name: str, body: dict[str, Any]) -> str:
    given = body.get("with")
    given = given if isinstance(given, dict) else {}
    if name == "http":
        endpoint = given.get("endpoint")
        address = endpoint.get("uri") if isinstance(endpoint, dict) else endpoint
        return f"{str(given.get('method', 'get')).upper()} {address}"
    task = given.get("task") if name == "celery" else name
    return str(task or name).rpartition(".")[2] if "://" not in str(task) else str(task)


def _wait(value: Any, _: dict[str, Any]) -> str:
    if isinstance(value, dict):
        return " ".join(f"{count} {unit}" for unit, count in value.items())
    return str(value)


def _listen(value: dict[str, Any], _: dict[str, Any]) -> str:
    to = value.get("to")
    to = to if isinstance(to, dict) else {}
    filters = [*([to["one"]] if "one" in to else []), *(to.get("any") or to.get("all") or [])]
    types = [(each.get("with") or {}).get("type") for each in filters]
    return ", ".join(str(each) for each in types if each) or "any event"


def _emit(value: dict[str, Any], _: dict[str, Any]) -> str:
    return str((value.get("event", {}).get("with") or {}).get("type") or "event")


def _run(value: dict[str, Any], _: dict[str, Any]) -> str:
    flow = value.get("workflow")
    if isinstance(flow, dict):
        return f"{flow.get('namespace')}/{flow.get('name')}"
    return next((key for key in value if key not in ("await", "return")), "run")


_SUMMARIES: dict[str, Callable[[Any, dict[str, Any]], str]] = {
    "call": _call,
    "wait": _wait,
    "listen": _listen,
    "emit": _emit,
    "run": _run,
    "for": lambda value, _: f"for each {value.get('each', 'item')}",
    "fork": lambda value, _: "race" if value.get("compete") else "fork",
}
