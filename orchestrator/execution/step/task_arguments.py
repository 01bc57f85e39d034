"""The arguments of a claimed attempt's task, and the context of its call.

Arguments that use secrets are stored unevaluated in the step (``deferred``). They are evaluated
here, after the claim, so that no secret is stored (DESIGN, Expressions).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.calls import CallContext, call_errors, deferred_call_context
from orchestrator.calls.call_context import secret_missing
from orchestrator.calls.call_secrets import Secrets
from orchestrator.calls.process_policy import ProcessPolicy
from orchestrator.calls.token_cache import Tokens
from orchestrator.core.task_plan import workflow_plan
from orchestrator.document.allowed_tasks import is_reserved, refusal_reason
from orchestrator.document.processes import LITERAL_ARGUMENTS
from orchestrator.process_runner import Isolation

if TYPE_CHECKING:
    from orchestrator.execution.runtime.worker_runtime import WorkerRuntime
    from orchestrator.expressions import Evaluate
    from orchestrator.outbound import OutboundClient
    from orchestrator.settings import Settings
    from orchestrator.state_manager import ClaimedAttempt


def call_context(runtime: WorkerRuntime, claimed: ClaimedAttempt) -> CallContext:
    """Return the context of one attempt's call: its input, secrets, limits and HTTP client."""
    services = runtime.services
    return call_context_of(
        claimed,
        runtime.outbound,
        services.evaluator.evaluate,
        lambda name: services.secrets.get(claimed.namespace, name, services.database),
        runtime.tokens,
        _process_policy(runtime.settings, claimed.namespace),
    )


def call_context_of(
    claimed: ClaimedAttempt,
    outbound: OutboundClient,
    evaluate: Evaluate,
    secret: Callable[[str], Any],
    tokens: Tokens | None = None,
    processes: ProcessPolicy | None = None,
) -> CallContext:
    """Return the context of one attempt's call. `secret` returns a secret's value, or None;
    `processes` says which ones may run (default: none)."""

    def known_secret(name: str) -> Any:
        value = secret(name)
        return secret_missing(name) if value is None else value

    use = claimed.workflow.use
    return CallContext(
        outbound=outbound,
        evaluate=evaluate,
        input=claimed.step.input,
        authentications=use.get("authentications") or {},
        secret_names=tuple(use.get("secrets") or ()),
        secret=known_secret,
        timeout=claimed.attempt.time_limit,
        tokens=tokens or Tokens(),
        secrets_in_data=lambda: workflow_plan(claimed.workflow).secrets_in_data,
        processes=processes or ProcessPolicy(),
    )


def _process_policy(settings: Settings, namespace: str) -> ProcessPolicy:
    allowed = frozenset(
        kind for kind in LITERAL_ARGUMENTS if settings.allows_process(kind, namespace)
    )
    return ProcessPolicy(allowed, Isolation(settings.run_isolation), settings.max_payload)


@dataclass(frozen=True, slots=True)
class Arguments:
    """A task's arguments, and the secrets in them, which must not be shown."""

    args: list[Any]
    kwargs: dict[str, Any]
    secrets: Secrets | None = None


def constant_arguments(claimed: ClaimedAttempt) -> Arguments | None:
    """Return the arguments of a claimed attempt; None if they must be evaluated first.

    Raises:
        WorkflowError: of type authorization, for a task that no document may call. The core
            refuses it earlier; this check covers attempts that are older than the rule.
    """
    call = claimed.call
    if call.get("kind") != "celery":
        return Arguments([], {"call": call})
    if is_reserved(claimed.attempt.task):
        _refuse_reserved(claimed)
    if call.get("deferred"):
        return None
    return Arguments(list(call.get("args") or ()), dict(call.get("kwargs") or {}))


def _refuse_reserved(claimed: ClaimedAttempt) -> None:
    call = claimed.call
    if call.get("deferred"):
        stored = call.get("with") or {}
        call = stored if call.get("explicit") else {"kwargs": stored}
    reason = refusal_reason(claimed.attempt.task, call.get("args"), call.get("kwargs"))
    if reason is not None:
        raise call_errors.authorization(reason)


def arguments_of(claimed: ClaimedAttempt, context: CallContext) -> Arguments:
    """Evaluate and return the arguments of a claimed attempt.

    Raises:
        WorkflowError: an argument can't be evaluated, or names a secret that does not exist.
        EvaluatorUnavailable: the evaluator did not answer; the caller may try again.
    """
    context = deferred_call_context(claimed.call, context)
    call = _evaluated(claimed.call, context)
    args, kwargs = call.get("args") or (), call.get("kwargs") or {}
    return Arguments(list(args), dict(kwargs), context.secrets)


def _evaluated(call: dict[str, Any], context: CallContext) -> dict[str, Any]:
    """Evaluate ``with``. A task called by its name gets all of it as keyword arguments; in
    ``call: celery`` it has ``args`` and ``kwargs``."""
    evaluated: dict[str, Any] = context.fill(call.get("with") or {}, "with")
    return evaluated if call.get("explicit") else {"kwargs": evaluated}
