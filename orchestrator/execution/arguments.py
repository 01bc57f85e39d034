"""What a claimed attempt calls its task with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.expressions import Evaluate, resolve

if TYPE_CHECKING:
    from orchestrator.state_manager import Work

#: The Celery task that carries out every call that is not a Celery task itself.
CALL = "orchestrator.call"


def arguments_of(work: Work, evaluate: Evaluate) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments of the task.

    Arguments that use secrets stand unevaluated in the step (``deferred``) and are evaluated
    here, after the claim, so that they are stored nowhere.

    Raises:
        ExpressionError: an argument can't be evaluated.
        EvaluatorUnavailable: nothing is known yet; ask again.
    """
    call = _evaluated(work.call, evaluate) if work.call.get("deferred") else work.call
    if call.get("kind") != "celery":
        return [], {"call": call}
    return list(call.get("args") or ()), dict(call.get("kwargs") or {})


def _evaluated(call: Mapping[str, Any], evaluate: Evaluate) -> dict[str, Any]:
    variables, value = call.get("variables") or {}, call.get("input")
    inner = ("args", "kwargs", "with")
    done = {name: resolve(call[name], value, variables, evaluate) for name in inner if name in call}
    kept = {k: v for k, v in call.items() if k not in ("deferred", "variables", "input")}
    return {**kept, **done}
