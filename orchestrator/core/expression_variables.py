"""The arguments of runtime expressions (dsl.md, Runtime expression arguments).

Only the arguments that an expression mentions are collected. A name is searched, in this order, in
the variables of the place itself (a caught error, a candidate item), the scopes of the step and of
the steps around it (loop variables, caught errors; for a compensation the input, the output and the
cause), the DSL's own arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from orchestrator.core.authorization_descriptor import descriptor as authorization_descriptor
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import authorization
from orchestrator.core.model import ROOT, Json
from orchestrator.core.transition_draft import Draft
from orchestrator.expressions import NOW

RUNTIME = {"name": "celery-orchestrator", "version": "0.2.0", "metadata": {}}

SECRETS = ("secrets", "secret")

_MISSING = object()


def collect(
    draft: Draft, node: Node | None, names: Iterable[str], extra: Mapping[str, Json]
) -> dict[str, Json]:
    """Return the values of these names at a step, or (None) at the workflow. Names without a
    meaning there are left out: the jq program may bind them itself."""
    values = {}
    for name in names:
        value = extra[name] if name in extra else _of_scopes(draft, node, name)
        if value is _MISSING:
            argument = _ARGUMENTS.get(name)
            if argument is None:
                continue
            value = argument(draft, node)
        values[name] = value
    return values


def scope_of(draft: Draft, node: Node) -> dict[str, Json]:
    """Return all variables that the steps around give; the nearest step wins."""
    values: dict[str, Json] = {}
    at: Node | None = node
    while at is not None:
        if at.scope:
            values = {**at.scope, **values}
        at = draft.node(at.parent) if at.parent != ROOT else None
    return values


def _of_scopes(draft: Draft, node: Node | None, name: str) -> Json:
    while node is not None:
        if node.scope and name in node.scope:
            return node.scope[name]
        node = draft.node(node.parent) if node.parent != ROOT else None
    return _MISSING


def date_time_descriptor(at: datetime | None) -> Json:
    """Return a time as the DSL describes it (dsl.md, DateTime Descriptor)."""
    if at is None:
        return None
    seconds = at.timestamp()
    return {
        "iso8601": at.isoformat().replace("+00:00", "Z"),
        "epoch": {"seconds": int(seconds), "milliseconds": int(seconds * 1000)},
    }


def _task(draft: Draft, node: Node | None) -> Json:
    return None if node is None else task_descriptor(draft, _extended_step(draft, node))


def _extended_step(draft: Draft, node: Node) -> Node:
    """Return the step of the task that an extension's task extends: that is `$task` in the
    specification's examples ("executing task ...")."""
    while node.reference.startswith("/use/extensions/") and node.parent != ROOT:
        node = draft.node(node.parent)
    return node


def task_descriptor(draft: Draft, node: Node) -> dict[str, Json]:
    """Return a step's task descriptor (dsl.md, Task Descriptor)."""
    task = draft.plan_of(node).task
    return {
        "name": task.name,
        "reference": task.reference,
        "definition": task.body,
        "input": node.input if node.raw_input is None else node.raw_input,
        "output": node.output if node.raw_output is None else node.raw_output,
        "startedAt": date_time_descriptor(node.started_at or draft.at),
    }


def _workflow(draft: Draft, _: Node | None) -> Json:
    return {
        "id": draft.slice.instance.id,
        "definition": draft.workflow.document,
        "input": draft.instance_input(),
        "startedAt": date_time_descriptor(draft.root.started_at),
    }


def _secrets(draft: Draft, _: Node | None) -> Json:
    declared = tuple(draft.workflow.use.get("secrets") or ())
    secrets = draft.need("secrets", *declared) if declared else {}
    for name in declared:
        if name not in secrets:
            raise authorization(f"there is no secret {name!r} for this workflow")
    return secrets


_ARGUMENTS: Mapping[str, Callable[[Draft, Node | None], Any]] = {
    "context": lambda draft, _: draft.root.context,
    "input": lambda _, node: node.input if node is not None else None,
    "output": lambda _, node: node.output if node is not None else None,
    "task": _task,
    "workflow": _workflow,
    "runtime": lambda *_: RUNTIME,
    "secrets": _secrets,
    "secret": _secrets,
    "authorization": lambda draft, node: authorization_descriptor(draft, node, collect),
    NOW: lambda draft, _: draft.at.timestamp(),
}
