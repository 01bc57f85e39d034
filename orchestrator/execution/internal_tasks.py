"""Our own Celery tasks: one that brings what waits for an instance, one that matches events,
one for every call that is not a Celery task."""

from __future__ import annotations

import itertools
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.clock import monotonic
from orchestrator.execution.context_variables import current_attempt, current_runner
from orchestrator.execution.step.celery_request import is_uuid
from orchestrator.execution.step.soft_time_limit import SoftLimit
from orchestrator.log import get_logger
from orchestrator.message_names import ADVANCE, CALL, MATCH

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.execution.internal_protocols import CurrentRunner
    from orchestrator.execution.worker_runtime import WorkerRuntime
    from orchestrator.state_manager import ClaimedAttempt

log = get_logger(__name__)

#: A hint is worth this long a wait for the database, in seconds; the beats give another one.
HINT_TIMEOUT = 10.0

#: What an app's own defaults must not change about our tasks. An empty rate limit is none;
#: Celery takes None for "not said".
_OPTIONS: dict[str, Any] = {
    "shared": False,
    "ignore_result": True,
    "acks_late": False,
    "track_started": False,
    "rate_limit": "",
    "store_errors_even_if_ignored": False,
}


def register(app: Celery, runtime: WorkerRuntime) -> None:
    """Add our tasks to an app."""

    @app.task(name=ADVANCE, **_OPTIONS)
    def advance(*instances: str) -> None:
        """Bring what waits in the inboxes of these instances."""
        _advance(runtime, instances)

    @app.task(name=MATCH, **_OPTIONS)
    def match(namespace: str) -> None:
        """Match the events of a namespace with those who wait for them."""
        _match(runtime, namespace)

    @app.task(name=CALL, **_OPTIONS)
    def call(call: dict[str, Any]) -> Any:
        """Carry out a step's call that is not a Celery task."""
        return _perform_call(runtime, call)

    internal = runtime.installed
    internal.register_internal_task(ADVANCE, lambda tracer: _with_runner(runtime, tracer))
    internal.register_internal_task(MATCH)
    internal.register_internal_task(CALL)


def _with_runner(runtime: WorkerRuntime, tracer: Any) -> Any:
    """The tracer of a hint: what it took is run after it, outside its body and signals."""

    def trace_task(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        if not runtime.running:
            return tracer(uuid, args, kwargs, request)
        from orchestrator.execution.step.step_runner import StepRunner

        limit = runtime.app.tasks[ADVANCE].time_limit or None
        chain = StepRunner(runtime, limit, SoftLimit(exists=False))
        # An app's default soft limit must not strike a transition.
        with SoftLimit(exists=runtime.is_prefork).shut_out():
            mark = current_runner.set(chain)
            try:
                result = tracer(uuid, args, kwargs, request)
            finally:
                current_runner.reset(mark)
            chain.run_continuations()
            return result

    return trace_task


def _advance(runtime: WorkerRuntime, instances: tuple[str, ...]) -> None:
    """The first of them now, the others in the chain: each after what came of the one before."""
    chain = current_runner.get()
    if chain is None:
        for instance in instances:
            _process_inbox(runtime, instance, None)
    elif instances:
        chain.split_budget(len(instances))
        chain.add_hint(*(partial(_process_next, runtime, each, chain) for each in instances[1:]))
        _process_inbox(runtime, instances[0], chain)


def _process_next(runtime: WorkerRuntime, instance: str, chain: CurrentRunner) -> None:
    """As a task's own, its errors end nothing but itself."""
    try:
        _process_inbox(runtime, instance, chain)
    except Exception:
        log.exception("A hint could not be followed", action="hint_failed", instance=instance)


def _process_inbox(runtime: WorkerRuntime, instance: str, chain: CurrentRunner | None) -> None:
    from orchestrator.execution.outage_retry import RetryAbandoned, retry_through_outage
    from orchestrator.state_manager import new_token

    if not is_uuid(instance):
        log.warning("A hint that names no instance", action="hint_refused")
        return
    until = monotonic() + HINT_TIMEOUT
    take = chain.continuation_offer() if chain is not None else None
    state = runtime.services.state

    def enough() -> bool:
        return runtime.in_flight.stopping or monotonic() > until

    token, tries = new_token(), itertools.count()

    def drain() -> ClaimedAttempt | None:
        return state.process_inbox(instance, take, token, is_repeat=next(tries) > 0)

    try:
        following = retry_through_outage(drain, "a hint", enough)
    except RetryAbandoned:
        return
    if chain is not None:
        chain.continuation = following


def _match(runtime: WorkerRuntime, namespace: str) -> None:
    from orchestrator.execution.outage_retry import RetryAbandoned, retry_through_outage

    until = monotonic() + HINT_TIMEOUT
    with suppress(RetryAbandoned):
        retry_through_outage(
            lambda: runtime.services.events.match(namespace),
            "a hint",
            lambda: runtime.in_flight.stopping or monotonic() > until,
        )


def _perform_call(runtime: WorkerRuntime, call: dict[str, Any]) -> Any:
    from orchestrator.calls import perform
    from orchestrator.execution.outage_retry import retry_through_outage
    from orchestrator.execution.step.task_arguments import call_context

    hold = current_attempt.get()
    if hold is None:
        raise RuntimeError("this task is for steps only")
    context = call_context(runtime, hold.work)
    # What the call uses of them shall not show in a traceback or a log either.
    hold.mask_secrets(context.secrets)
    return retry_through_outage(lambda: perform(call, context), "a call's expressions")
