"""A step's message: only a hint that is worth a claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.database import attempts
from orchestrator.errors import DatabaseUnavailable
from orchestrator.execution.chain import Chain
from orchestrator.execution.patience import GaveUp, persist
from orchestrator.execution.requests import is_uuid
from orchestrator.execution.results import ignored
from orchestrator.execution.soft_limit import SoftLimit
from orchestrator.log import get_logger
from orchestrator.metrics import catalog as metrics
from orchestrator.names import HEADER
from orchestrator.state_manager import Work, new_token

if TYPE_CHECKING:
    from celery import Task

    from orchestrator.execution.execution import Execution

log = get_logger(__name__)

#: Why a pool of threads refuses a message, in the metrics.
LIMIT = "limit"


def on_message(
    execution: Execution, task: Task[Any, Any], uuid: str, request: dict[str, Any]
) -> Any:
    """Claim the attempt that the message names and run it, or drop the message.

    Called by Celery in place of the task's tracer; returns what that returns. Nothing that
    the message says is trusted: the claim says what to call, and whether.
    """
    header = request.pop(HEADER)
    refusal = _refusal(execution, uuid, header, request)
    if refusal is not None:
        reason, why = refusal
        execution.meter.count(metrics.REFUSALS, (reason,))
        if reason == LIMIT:
            _leave_to_others(execution, uuid)
        return _dropped(execution, uuid, why)
    soft = SoftLimit(execution.forks and bool(_limits(request)[1] or task.soft_time_limit))
    with soft.shut_out():
        work = _claimed(execution, task, uuid, header["instance"])
        if work is None:
            return _dropped(execution, uuid, "it is not for us to run")
        chain = Chain(execution, execution.rules.limit_of(work.attempt), soft)
        try:
            result = chain.run(task, work, request)
        except Exception:
            execution.hand.release()  # the child lives on; an exit is the main process's to see
            raise
        chain.go_on()
        return result


def _refusal(
    execution: Execution, uuid: str, header: object, request: dict[str, Any]
) -> tuple[str, str] | None:
    """Why the message is not even worth a claim: a word for the metrics, and a sentence."""
    if not execution.running:
        return "forged", "this process is no worker of steps"
    if not isinstance(header, dict) or not is_uuid(uuid) or not is_uuid(header.get("instance")):
        return "forged", "it is none of ours"
    if _limits(request)[0] and not execution.forks:
        return LIMIT, "it needs a time limit, which a pool of threads does not enforce"
    return None


def _leave_to_others(execution: Execution, attempt: str) -> None:
    """Say that the message is gone, so that the attempt is handed on to a worker of processes.
    Where that can't be said, it is published again as if its message were lost."""
    try:
        attempts.refuse(execution.services.database, attempt)
    except DatabaseUnavailable as error:
        log.info("A refusal was not told", action="refusal_untold", error=str(error))


def _limits(request: dict[str, Any]) -> tuple[Any, Any]:
    """The message's hard and soft time limits (Celery's message protocol)."""
    limits = request.get("timelimit")
    if isinstance(limits, list | tuple) and len(limits) == 2:
        return limits[0], limits[1]
    return None, None


def _claimed(
    execution: Execution, task: Task[Any, Any], attempt: str, instance: str
) -> Work | None:
    """Claim in place, for as long as the database needs to answer or the worker lives on."""
    hand, state = execution.hand, execution.services.state
    hand.hold(attempt)
    token, holder = new_token(), execution.holder
    try:
        work = persist(
            lambda: state.claim(attempt, instance, task.name, holder, token),
            "a claim",
            lambda: execution.hands.stopping,
        )
    except GaveUp:
        work = None
    except Exception:
        log.exception("A claim failed", action="claim_failed", attempt=attempt)
        work = None
    if work is None:
        hand.release()
        return None
    hand.count("claimed")
    return work


def _dropped(execution: Execution, uuid: str, why: str) -> Any:
    if execution.running:
        execution.hand.count("refused")
    log.info("A step's message was dropped", action="message_dropped", attempt=uuid, why=why)
    return ignored(why)
