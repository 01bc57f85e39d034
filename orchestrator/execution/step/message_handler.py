"""A step's message: only a hint that is worth a claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.database.workers import unclaimed_attempts
from orchestrator.errors import DatabaseUnavailable
from orchestrator.execution.celery_trace_result import ignored
from orchestrator.execution.outage_retry import RetryAbandoned, retry_through_outage
from orchestrator.execution.step.celery_request import is_uuid
from orchestrator.execution.step.soft_time_limit import SoftLimit
from orchestrator.execution.step.step_runner import StepRunner
from orchestrator.log import get_logger
from orchestrator.message_names import HEADER
from orchestrator.metrics import catalog as metrics
from orchestrator.state_manager import ClaimedAttempt, new_token

if TYPE_CHECKING:
    from celery import Task

    from orchestrator.execution.worker_runtime import WorkerRuntime

log = get_logger(__name__)

#: Why a pool of threads refuses a message, in the metrics.
NEEDS_TIME_LIMIT = "limit"


def on_message(
    runtime: WorkerRuntime, task: Task[Any, Any], uuid: str, request: dict[str, Any]
) -> Any:
    """Claim the attempt that the message names and run it, or drop the message.

    Called by Celery in place of the task's tracer; returns what that returns. Nothing that
    the message says is trusted: the claim says what to call, and whether.
    """
    header = request.pop(HEADER)
    refusal = _refusal(runtime, uuid, header, request)
    if refusal is not None:
        reason, why = refusal
        runtime.meter.count(metrics.MESSAGES_AND_RESULTS_REFUSED, (reason,))
        if reason == NEEDS_TIME_LIMIT:
            _refuse_message(runtime, uuid)
        return _drop(runtime, uuid, why)
    soft = SoftLimit(runtime.is_prefork and bool(_limits(request)[1] or task.soft_time_limit))
    with soft.shut_out():
        work = _claim(runtime, task, uuid, header["instance"])
        if work is None:
            return _drop(runtime, uuid, "it is not for us to run")
        chain = StepRunner(runtime, runtime.rules.limit_of(work.attempt), soft)
        try:
            result = chain.run(task, work, request)
        except Exception:
            runtime.slot.clear()  # the child lives on; an exit is the main process's to see
            raise
        chain.run_continuations()
        return result


def _refusal(
    runtime: WorkerRuntime, uuid: str, header: object, request: dict[str, Any]
) -> tuple[str, str] | None:
    """Why the message is not even worth a claim: a word for the metrics, and a sentence."""
    if not runtime.running:
        return "forged", "this process is no worker of steps"
    if not isinstance(header, dict) or not is_uuid(uuid) or not is_uuid(header.get("instance")):
        return "forged", "it is none of ours"
    if _limits(request)[0] and not runtime.is_prefork:
        return NEEDS_TIME_LIMIT, "it needs a time limit, which a pool of threads does not enforce"
    return None


def _refuse_message(runtime: WorkerRuntime, attempt: str) -> None:
    """Say that the message is gone, so that the attempt is handed on to a worker of processes.
    Where that can't be said, it is published again as if its message were lost."""
    try:
        unclaimed_attempts.mark_refused(runtime.services.database, attempt)
    except DatabaseUnavailable as error:
        log.info("A refusal was not told", action="refusal_untold", error=str(error))


def _limits(request: dict[str, Any]) -> tuple[Any, Any]:
    """The message's hard and soft time limits (Celery's message protocol)."""
    limits = request.get("timelimit")
    if isinstance(limits, list | tuple) and len(limits) == 2:
        return limits[0], limits[1]
    return None, None


def _claim(
    runtime: WorkerRuntime, task: Task[Any, Any], attempt: str, instance: str
) -> ClaimedAttempt | None:
    """Claim in place, for as long as the database needs to answer or the worker lives on."""
    hand, state = runtime.slot, runtime.services.state
    hand.set_current(attempt)
    token, holder = new_token(), runtime.lease_owner
    try:
        work = retry_through_outage(
            lambda: state.claim_attempt(attempt, instance, task.name, holder, token),
            "a claim",
            lambda: runtime.in_flight.stopping,
        )
    except RetryAbandoned:
        work = None
    except Exception:
        log.exception("A claim failed", action="claim_failed", attempt=attempt)
        work = None
    if work is None:
        hand.clear()
        return None
    hand.count("claimed")
    return work


def _drop(runtime: WorkerRuntime, uuid: str, why: str) -> Any:
    if runtime.running:
        runtime.slot.count("refused")
    log.info("A step's message was dropped", action="message_dropped", attempt=uuid, why=why)
    return ignored(why)
