"""Handles a step's message: checks it, claims its attempt and runs that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.database.workers import unclaimed_attempts
from orchestrator.errors import DatabaseUnavailable
from orchestrator.execution.celery_hooks.celery_trace_result import ignored
from orchestrator.execution.process.outage_retry import RetryAbandoned, retry_through_outage
from orchestrator.execution.step.celery_request import is_uuid
from orchestrator.execution.step.soft_time_limit import SoftLimit
from orchestrator.execution.step.step_runner import StepRunner
from orchestrator.log import get_logger
from orchestrator.message_names import HEADER
from orchestrator.metrics import catalog as metrics
from orchestrator.state_manager import ClaimedAttempt, new_token

if TYPE_CHECKING:
    from celery import Task

    from orchestrator.execution.runtime.worker_runtime import WorkerRuntime

log = get_logger(__name__)

#: The metrics' reason for a message that a thread pool refuses.
NEEDS_TIME_LIMIT = "limit"


def on_message(
    runtime: WorkerRuntime, task: Task[Any, Any], uuid: str, request: dict[str, Any]
) -> Any:
    """Claim the attempt that the message names and run it, or drop the message.

    Celery calls this in place of the task's tracer, and gets a tracer's result. The message is
    not trusted: the claim decides whether the attempt may run, and with which arguments.
    """
    header = request.pop(HEADER)
    refusal = _refusal(runtime, uuid, header, request)
    if refusal is not None:
        reason, explanation = refusal
        runtime.meter.count(metrics.MESSAGES_AND_RESULTS_REFUSED, (reason,))
        if reason == NEEDS_TIME_LIMIT:
            _refuse_message(runtime, uuid)
        return _drop(runtime, uuid, explanation)
    soft = SoftLimit(runtime.is_prefork and bool(_limits(request)[1] or task.soft_time_limit))
    with soft.block_signal():
        claimed = _claim(runtime, task, uuid, header["instance"])
        if claimed is None:
            return _drop(runtime, uuid, "its attempt could not be claimed")
        runner = StepRunner(runtime, runtime.rules.limit_of(claimed.attempt), soft)
        try:
            result = runner.run(task, claimed, request)
        except Exception:
            runtime.slot.clear()  # not for an exit: the main process reports this slot
            raise
        runner.run_continuations()
        return result


def _refusal(
    runtime: WorkerRuntime, uuid: str, header: object, request: dict[str, Any]
) -> tuple[str, str] | None:
    """Return why the message is refused without a claim: the metrics' reason and an explanation.

    None if it is not refused."""
    if not runtime.runs_steps:
        return "forged", "this process runs no steps"
    if not isinstance(header, dict) or not is_uuid(uuid) or not is_uuid(header.get("instance")):
        return "forged", "its header or its id is invalid"
    if _limits(request)[0] and not runtime.is_prefork:
        pool = runtime.pool
        return NEEDS_TIME_LIMIT, f"it needs a time limit, which the pool {pool} does not enforce"
    return None


def _refuse_message(runtime: WorkerRuntime, attempt: str) -> None:
    """Mark the attempt as refused, so that a beat publishes it again for a prefork worker.

    If Postgres is unavailable, a beat publishes it again later, like one with a lost message."""
    try:
        unclaimed_attempts.mark_refused(runtime.services.database, attempt)
    except DatabaseUnavailable as error:
        log.info(
            "A refused message could not be recorded", action="refusal_unsaved", error=str(error)
        )


def _limits(request: dict[str, Any]) -> tuple[Any, Any]:
    """Return the message's hard and soft time limits (Celery's message protocol)."""
    limits = request.get("timelimit")
    if isinstance(limits, list | tuple) and len(limits) == 2:
        return limits[0], limits[1]
    return None, None


def _claim(
    runtime: WorkerRuntime, task: Task[Any, Any], attempt: str, instance: str
) -> ClaimedAttempt | None:
    """Claim the attempt; None if it is refused or the worker stops. Outages are waited for."""
    slot, state = runtime.slot, runtime.services.state
    slot.set_current(attempt)
    token, owner = new_token(), runtime.lease_owner
    try:
        claimed = retry_through_outage(
            lambda: state.claim_attempt(attempt, instance, task.name, owner, token),
            "a claim",
            lambda: runtime.in_flight.stopping,
        )
    except RetryAbandoned:
        claimed = None
    except Exception:
        log.exception("A claim failed", action="claim_failed", attempt=attempt)
        claimed = None
    if claimed is None:
        slot.clear()
        return None
    slot.count("claimed")
    return claimed


def _drop(runtime: WorkerRuntime, uuid: str, explanation: str) -> Any:
    if runtime.runs_steps:
        runtime.slot.count("refused")
    log.info(
        "A step's message was dropped", action="message_dropped", attempt=uuid, reason=explanation
    )
    return ignored(explanation)
