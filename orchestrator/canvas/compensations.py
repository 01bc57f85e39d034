"""Compensations of tasks: said once at the task, or at a signature.

    @compensated_by(refund, charge=expr("$output.id"))
    @shared_task
    def charge(card, amount): ...

    charge.s("c-1", 5).set(compensate=refund.s(expr("$output.id")))

The option `compensate` never leaves the process in a message of plain Celery.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from celery.canvas import Signature, _chain, chord, group
from celery.signals import before_task_publish

from orchestrator.canvas.errors import CanvasRefused
from orchestrator.canvas.options import apply
from orchestrator.canvas.shapes import Call, Expr

Task = TypeVar("Task")

#: The option of a signature.
OPTION = "compensate"
#: The method by which an expression of `orchestrator.dsl` gives its jq in a compensation.
AS_COMPENSATION = "_orchestrator_compensation"
_ATTRIBUTE = "orchestrator_compensation"


def compensated_by(undo: Any, *args: Any, **kwargs: Any) -> Callable[[Task], Task]:
    """Say how a completed step of a task is undone: by the task `undo` with these arguments.

    An argument may be `expr(...)`, or an expression of `orchestrator.dsl` such as ``result.id``.
    Works for canvases and for workflows in code.
    """

    def decorate(task: Task) -> Task:
        setattr(task, _ATTRIBUTE, (undo, args, kwargs))
        return task

    return decorate


def declared(task: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]] | None:
    """Return ``(undo, args, kwargs)`` of a task's `compensated_by`; None without one."""
    found: tuple[Any, tuple[Any, ...], dict[str, Any]] | None
    found = getattr(task, _ATTRIBUTE, None)
    return found


def compensation_of(signature: Signature[Any]) -> Call | None:
    """Return the call that undoes a signature's step; None if nothing does."""
    undo = signature.options.get(OPTION)
    if undo is None:
        try:
            said = declared(signature.type)
        except Exception:  # noqa: BLE001  the task is not registered here
            said = None
        return None if said is None else _call(said[0], said[1], said[2])
    if isinstance(undo, dict) and not isinstance(undo, Signature):  # of a cloned signature
        undo = Signature.from_dict(undo)
    if not isinstance(undo, Signature) or isinstance(undo, _chain | chord | group):
        raise CanvasRefused(f"{signature.task}: `compensate` must be the signature of one task")
    return apply(Call(str(undo.task), tuple(undo.args), dict(undo.kwargs)), undo.options)


def _call(undo: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    name = undo if isinstance(undo, str) else undo.name
    named = {key: _own_expression(value) for key, value in kwargs.items()}
    return Call(name, tuple(map(_own_expression, args)), named)


def _own_expression(value: Any) -> Any:
    """Return an expression of `orchestrator.dsl` as one of ours; any other value as it is."""
    jq = getattr(type(value), AS_COMPENSATION, None)
    return value if jq is None else Expr(jq(value))


# -- the option in messages that plain Celery sends --------------------------


@before_task_publish.connect(weak=False)
def _remove_option(body: Any = None, properties: Any = None, **_: Any) -> None:
    """Take the option out of a message that plain Celery is about to publish."""
    if isinstance(properties, dict):
        properties.pop(OPTION, None)
    if isinstance(body, tuple) and len(body) == 3 and isinstance(body[2], dict):
        for name, value in body[2].items():
            body[2][name] = _without_option(value)


def _without_option(value: Any) -> Any:
    """Return the signatures in a message without the option. What is unchanged is not copied."""
    if isinstance(value, list | tuple):
        items = [_without_option(item) for item in value]
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else items
    if not isinstance(value, dict):
        return value
    members = {
        name: _without_option(item)
        for name, item in value.items()
        if name != OPTION and (name != "args" or "task" not in value)
    }
    if OPTION not in value and all(value[name] is item for name, item in members.items()):
        return value
    copied = dict(value)
    copied.update(members)
    copied.pop(OPTION, None)
    return copied


__all__ = ["Expr", "compensated_by", "compensation_of", "declared"]
