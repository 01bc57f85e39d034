"""Which Celery tasks a document may call.

The arguments of Celery's own tasks and of this product's tasks decide what runs:
`orchestrator.call` makes any call and evaluates the expressions in it, `celery.chord` sends any
task. In a document they would let input data choose what runs. Only `celery.map` and
`celery.starmap` are allowed, and only if the document names the inner task as a literal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.expressions import is_expression

Json = Any

_OWNERS = {"celery": "Celery", "orchestrator": "the orchestrator"}

#: Tasks of Celery that call one other task in their own process.
MAPS = frozenset({"celery.map", "celery.starmap"})


def is_reserved(name: str) -> bool:
    """Whether a task belongs to Celery or to this product: `celery.*`, `orchestrator.*`."""
    return "." in name and name.partition(".")[0] in _OWNERS


def refusal_reason(name: str, args: Json, kwargs: Json) -> str | None:
    """Return why a document may not call the task `name` with these arguments, or None if it may.

    `args` and `kwargs` are the document's, with their expressions not evaluated.
    """
    if not is_reserved(name):
        return None
    if name not in MAPS:
        owner = _OWNERS[name.partition(".")[0]]
        return f"'{name}' is a task of {owner} itself, which no document can call"
    inner = list(inner_tasks(args, kwargs))
    names = [_literal(task) for task in inner]
    if not names or not all(names):
        return f"'{name}' needs its inner task as a literal name, not from an expression"
    reserved = next((task for task in names if task and is_reserved(task)), None)
    return reserved and f"'{name}' can't call '{reserved}': no document can"


def inner_tasks(args: Json, kwargs: Json) -> Iterator[Json]:
    """Yield the inner task in the arguments of `celery.map`: a name or a signature."""
    if isinstance(args, list):
        yield from args[:1]
    if isinstance(kwargs, dict) and "task" in kwargs:
        yield kwargs["task"]


def _literal(inner: Json) -> str | None:
    """Return the literal name in a task name or plain signature, else None. A signature of another
    type (a chain, a chord) has none: Celery would look for more tasks in it."""
    if isinstance(inner, dict) and not inner.get("subtask_type"):
        inner = inner.get("task")
    if not isinstance(inner, str) or not inner.strip() or is_expression(inner):
        return None
    return inner
