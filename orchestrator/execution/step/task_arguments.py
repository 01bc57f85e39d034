"""What a claimed attempt calls its task with, and what its call may use meanwhile.

Arguments that use secrets stand unevaluated in the step (``deferred``) and are evaluated
here, after the claim, so that no secret is stored anywhere (DESIGN, Expressions).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.calls import CallContext, call_errors, deferred
from orchestrator.calls.call_context import secret_missing
from orchestrator.calls.call_secrets import Secrets
from orchestrator.core.task_plan import workflow_plan
from orchestrator.document.allowed_tasks import is_reserved, refusal_reason

if TYPE_CHECKING:
    from orchestrator.execution.worker_runtime import WorkerRuntime
    from orchestrator.state_manager import ClaimedAttempt


def call_context(runtime: WorkerRuntime, work: ClaimedAttempt) -> CallContext:
    """The surroundings of one attempt's call."""
    use = work.workflow.use
    return CallContext(
        outbound=runtime.outbound,
        evaluate=runtime.services.evaluator.evaluate,
        input=work.step.input,
        authentications=use.get("authentications") or {},
        secret_names=tuple(use.get("secrets") or ()),
        secret=lambda name: _secret(runtime, work.namespace, name),
        timeout=work.attempt.time_limit,
        tokens=runtime.tokens,
        secrets_in_data=lambda: workflow_plan(work.workflow).secrets_in_data,
    )


def _secret(runtime: WorkerRuntime, namespace: str, name: str) -> Any:
    services = runtime.services
    value = services.secrets.get(namespace, name, services.database)
    return secret_missing(name) if value is None else value


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a task is called with, and the secrets among it, which nothing may show."""

    args: list[Any]
    kwargs: dict[str, Any]
    secrets: Secrets | None = None


def constant_arguments(work: ClaimedAttempt) -> Arguments | None:
    """What a claimed attempt calls its task with; None: it must be evaluated first.

    Raises:
        WorkflowError: authorization, for a task that no document may call. The core refuses it
            before there is an attempt; this holds for attempts that are older than the rule.
    """
    call = work.call
    if call.get("kind") != "celery":
        return Arguments([], {"call": call})
    if is_reserved(work.attempt.task):
        _refuse_reserved(work)
    if call.get("deferred"):
        return None
    return Arguments(list(call.get("args") or ()), dict(call.get("kwargs") or {}))


def _refuse_reserved(work: ClaimedAttempt) -> None:
    given = work.call
    if given.get("deferred"):
        stored = given.get("with") or {}
        given = stored if given.get("explicit") else {"kwargs": stored}
    refused = refusal_reason(work.attempt.task, given.get("args"), given.get("kwargs"))
    if refused is not None:
        raise call_errors.authorization(refused)


def arguments_of(work: ClaimedAttempt, context: CallContext) -> Arguments:
    """What a claimed attempt calls its task with, evaluated.

    Raises:
        WorkflowError: an argument can't be evaluated, or names a secret that is not there.
        EvaluatorUnavailable: nothing is known yet; ask again.
    """
    context = deferred(work.call, context)
    call = _evaluated(work.call, context)
    args, kwargs = call.get("args") or (), call.get("kwargs") or {}
    return Arguments(list(args), dict(kwargs), context.secrets)


def _evaluated(call: dict[str, Any], context: CallContext) -> dict[str, Any]:
    """A task called by its name takes all of ``with`` as keyword arguments; ``call: celery``
    says itself which are which."""
    filled: dict[str, Any] = context.fill(call.get("with") or {}, "with")
    return filled if call.get("explicit") else {"kwargs": filled}
