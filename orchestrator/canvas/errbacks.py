"""Error callbacks: ``(id)``, called as a task, and ``(request, exc, traceback)``.

Which of both a callback is decides the installed Celery, by the task's signature.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import Celery
from celery.canvas import Signature, _chain, chord, group
from celery.exceptions import NotRegistered
from celery.utils.functional import arity_greater

from orchestrator.canvas import options as call_options
from orchestrator.canvas.errors import CanvasRefused
from orchestrator.canvas.shapes import Call


def errback_of(signature: Any, app: Celery) -> Call:
    """Return the call of an error callback of a task of `app`. Raises `CanvasRefused`."""
    if getattr(signature, "_app", None) is None:
        signature = Signature.from_dict(signature, app=app)
    if isinstance(signature, _chain | chord | group):
        raise CanvasRefused("an error callback must be one task: Celery can't call a canvas there")
    try:
        takes_error = _takes_error(signature)
    except NotRegistered:
        raise CanvasRefused(
            f"the error callback {signature.task} is not registered in this app: whether it takes"
            " an id or (request, exc, traceback) is unknown"
        ) from None
    kind = None if signature.immutable else "error" if takes_error else "id"
    call = Call(str(signature.task), tuple(signature.args), dict(signature.kwargs), errback=kind)
    return call_options.apply(call, signature.options)


def _takes_error(signature: Signature[Any]) -> bool:
    """Whether Celery calls it with (request, exc, traceback); see `Backend._call_task_errbacks`."""
    task = signature.type
    header = getattr(task, "__header__", None)
    if header is None or isinstance(header, partial):
        return False
    judge = getattr(task.app.backend, "_errback_arity_greater", None)
    return bool(arity_greater(header, 1) if judge is None else judge(signature, 1))
