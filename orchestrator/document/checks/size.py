"""Check the size of a workflow."""

from __future__ import annotations

from typing import Any

from orchestrator.document.checks.check_context import Context
from orchestrator.document.task_sites import task_lists

Json = Any

MAX_TASKS = 12_000

#: Levels of nesting within one task, or within a part of the document that contains no tasks.
MAX_DEPTH = 100


def check(context: Context) -> None:
    """Check the number of tasks, including functions, extensions and compensations, and the
    nesting."""
    if len(context.sites) > MAX_TASKS:
        beyond = context.sites[MAX_TASKS].pointer
        message = f"the workflow has {len(context.sites)} tasks; the limit is {MAX_TASKS}"
        context.error(beyond, message, at_key=True)
    if context.depth > MAX_DEPTH:
        _check_depth(context)


def _check_depth(context: Context) -> None:
    parts: list[tuple[str, Json, set[int]]] = [
        (f"/{key}", value, {id(context.document["do"])})
        for key, value in context.document.items()
        if key not in ("do", "use")
    ]
    for site in context.sites:
        inside = {id(tasks) for _, tasks, _ in task_lists(site)}
        inside.add(id(site.metadata.get("compensate")))
        parts.append((site.pointer, site.body, inside))
    for pointer, value, inside in parts:
        if _is_too_deep(value, inside):
            message = f"more than {MAX_DEPTH} levels of nesting"
            context.error(pointer, message, at_key=True)


def _is_too_deep(value: Json, excluded: set[int]) -> bool:
    """Whether the value is nested too deep, without the parts whose ids are in `excluded`."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return True
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list) and id(inner) not in excluded
        ]
    return False
