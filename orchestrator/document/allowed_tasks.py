"""Which Celery tasks a document may call.

Celery's own tasks and those of this product do what their arguments say: `orchestrator.call`
makes any call and evaluates the expressions in it, `celery.chord` sends any task. Called with
data, they would let an input choose what runs. Only `celery.map` and `celery.starmap` are
allowed, and only where the document itself names the task that they call.
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
    """Why a document may not call the task `name` with these arguments; None: it may.

    `args` and `kwargs` as the document has them, its expressions not evaluated.
    """
    if not is_reserved(name):
        return None
    if name not in MAPS:
        owner = _OWNERS[name.partition(".")[0]]
        return f"'{name}' is a task of {owner} itself, which no document can call"
    found = list(inner_tasks(args, kwargs))
    names = [_literal(one) for one in found]
    if not names or not all(names):
        return f"'{name}' needs its inner task as a literal name, not out of an expression"
    reserved = next((one for one in names if one and is_reserved(one)), None)
    return reserved and f"'{name}' can't call '{reserved}': no document can"


def inner_tasks(args: Json, kwargs: Json) -> Iterator[Json]:
    """What the arguments of `celery.map` say that its inner task is: a name, or a signature."""
    if isinstance(args, list):
        yield from args[:1]
    if isinstance(kwargs, dict) and "task" in kwargs:
        yield kwargs["task"]


def _literal(inner: Json) -> str | None:
    """The name in a task or a plain signature. A signature of another type (a chain, a chord)
    is none: Celery would look for further tasks in it."""
    if isinstance(inner, dict) and not inner.get("subtask_type"):
        inner = inner.get("task")
    if not isinstance(inner, str) or not inner.strip() or is_expression(inner):
        return None
    return inner
