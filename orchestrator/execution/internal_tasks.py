"""The internal Celery tasks: one processes inboxes, one matches events, one performs calls that
are not Celery tasks."""

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
    from orchestrator.execution.runtime.worker_runtime import WorkerRuntime
    from orchestrator.state_manager import ClaimedAttempt

log = get_logger(__name__)

#: Longest wait of a hint for the database, in seconds. Then it is dropped; a beat sends another.
HINT_TIMEOUT = 10.0

#: Options of internal tasks, which an app's defaults must not change. An empty rate limit means
#: no limit; None would mean the app's default.
_OPTIONS: dict[str, Any] = {
    "shared": False,
    "ignore_result": True,
    "acks_late": False,
    "track_started": False,
    "rate_limit": "",
    "store_errors_even_if_ignored": False,
}


def register(app: Celery, runtime: WorkerRuntime) -> None:
    """Add the internal tasks to an app."""

    @app.task(name=ADVANCE, **_OPTIONS)
    def advance(*instances: str) -> None:
        """Process the inboxes of these instances."""
        _advance(runtime, instances)

    @app.task(name=MATCH, **_OPTIONS)
    def match(namespace: str) -> None:
        """Match the events of a namespace with their listeners."""
        _match(runtime, namespace)

    @app.task(name=CALL, **_OPTIONS)
    def call(call: dict[str, Any]) -> Any:
        """Perform a step's call that is not a Celery task."""
        return _perform_call(runtime, call)

    internal = runtime.installed
    internal.register_internal_task(ADVANCE, lambda tracer: _with_runner(runtime, tracer))
    internal.register_internal_task(MATCH)
    internal.register_internal_task(CALL)


def _with_runner(runtime: WorkerRuntime, tracer: Any) -> Any:
    """Return a hint's tracer, which runs the attempt claimed by the hint after the hint's task."""

    def trace_task(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        if not runtime.runs_steps:
            return tracer(uuid, args, kwargs, request)
        from orchestrator.execution.step.step_runner import StepRunner

        limit = runtime.app.tasks[ADVANCE].time_limit or None
        runner = StepRunner(runtime, limit, SoftLimit(exists=False))
        # Block the signal of Celery's soft time limit while the hint's task runs. A soft limit that
        # an app sets for all its tasks must not interrupt a transition.
        with SoftLimit(exists=runtime.is_prefork).block_signal():
            reset_token = current_runner.set(runner)
            try:
                result = tracer(uuid, args, kwargs, request)
            finally:
                current_runner.reset(reset_token)
            runner.run_continuations()
            return result

    return trace_task


def _advance(runtime: WorkerRuntime, instances: tuple[str, ...]) -> None:
    """Process the first inbox now; add the others to the runner, each after the continuations of
    the one before."""
    runner = current_runner.get()
    if runner is None:
        for instance in instances:
            _process_inbox(runtime, instance, None)
    elif instances:
        runner.split_budget(len(instances))
        runner.add_hint(*(partial(_process_next, runtime, id, runner) for id in instances[1:]))
        _process_inbox(runtime, instances[0], runner)


def _process_next(runtime: WorkerRuntime, instance: str, runner: CurrentRunner) -> None:
    """Process one inbox and log its error: an error must not end the runner."""
    try:
        _process_inbox(runtime, instance, runner)
    except Exception:
        log.exception("A hint could not be processed", action="hint_failed", instance=instance)


def _process_inbox(runtime: WorkerRuntime, instance: str, runner: CurrentRunner | None) -> None:
    from orchestrator.execution.process.outage_retry import RetryAbandoned, retry_through_outage
    from orchestrator.state_manager import Decider, new_token

    if not is_uuid(instance):
        log.warning("A hint names no instance", action="hint_refused")
        return
    deadline = monotonic() + HINT_TIMEOUT
    offer = runner.continuation_offer() if runner is not None else None
    state = runtime.services.state

    def should_stop() -> bool:
        return runtime.in_flight.stopping or monotonic() > deadline

    token, tries = new_token(), itertools.count()
    decider = Decider(runtime.lease_owner, runtime.slot.set_deciding)

    def process() -> ClaimedAttempt | None:
        return state.process_inbox(
            instance, offer, token, is_repeat=next(tries) > 0, decider=decider
        )

    try:
        continuation = retry_through_outage(process, "a hint", should_stop)
    except RetryAbandoned:
        return
    if runner is not None:
        runner.continuation = continuation


def _match(runtime: WorkerRuntime, namespace: str) -> None:
    from orchestrator.execution.process.outage_retry import RetryAbandoned, retry_through_outage

    deadline = monotonic() + HINT_TIMEOUT
    with suppress(RetryAbandoned):
        retry_through_outage(
            lambda: runtime.services.events.match(namespace),
            "a hint",
            lambda: runtime.in_flight.stopping or monotonic() > deadline,
        )


def _perform_call(runtime: WorkerRuntime, call: dict[str, Any]) -> Any:
    from orchestrator.calls import perform
    from orchestrator.execution.process.outage_retry import retry_through_outage
    from orchestrator.execution.step.task_arguments import call_context

    running = current_attempt.get()
    if running is None:
        raise RuntimeError("this task runs only as a step")
    context = call_context(runtime, running.claimed)
    # From here on, mask the secrets that the call uses in tracebacks and log lines.
    running.mask_secrets(context.secrets)
    return retry_through_outage(lambda: perform(call, context), "a call's expressions")
