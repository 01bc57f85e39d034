"""Runs the step of one message, then the steps that the process may continue with.

Each step goes through Celery's own tracer, outside the body and signals of the step before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.celery_versions import terminate_handler_fired
from orchestrator.clock import monotonic
from orchestrator.core.model import Attempt, AttemptEnd, AttemptState
from orchestrator.database.workers import unclaimed_attempts
from orchestrator.error_handler.task_errors import error_of, runtime_error
from orchestrator.errors import DatabaseUnavailable, WorkflowError
from orchestrator.execution.celery_hooks.celery_trace_result import failed, harmless, ignored
from orchestrator.execution.context_variables import current_attempt
from orchestrator.execution.process.outage_retry import retry_through_outage
from orchestrator.execution.step import (
    celery_events,
    celery_request,
    replacement_workflow,
    task_replacement,
    trace_span,
)
from orchestrator.execution.step.running_attempt import RunningAttempt
from orchestrator.execution.step.soft_time_limit import SoftLimit
from orchestrator.execution.step.task_arguments import (
    Arguments,
    arguments_of,
    call_context,
    constant_arguments,
)
from orchestrator.log import get_logger
from orchestrator.metrics import catalog as metrics
from orchestrator.state_manager import ClaimedAttempt, ContinuationOffer

if TYPE_CHECKING:
    from celery import Task

    from orchestrator.execution.runtime.worker_runtime import WorkerRuntime

log = get_logger(__name__)


class StepRunner:
    """Runs all steps that follow from one message, in one process or thread.

    `limit`: the message's hard time limit in seconds, which holds for all of these steps; None
    without one. `soft`: the message's soft limit; where it exists, nothing is continued.
    """

    def __init__(self, runtime: WorkerRuntime, limit: float | None, soft: SoftLimit) -> None:
        self._started_at = monotonic()
        self.runtime = runtime
        self.slot = runtime.slot
        self.continuation: ClaimedAttempt | None = None
        self._limit = limit
        self._soft = soft
        self._deadline: float | None = None
        self._budget = runtime.settings.continuation_budget
        self._hints: deque[Callable[[], None]] = deque()
        self._offered_id: str | None = None

    # -- running an attempt ------------------------------------------------------------------

    def run(
        self,
        task: Task[Any, Any],
        claimed: ClaimedAttempt,
        request: dict[str, Any],
        *,
        has_message: bool = True,
    ) -> Any:
        """Run a claimed attempt and return the value that Celery's tracer must return.

        `has_message`: the attempt came with a message, so Celery's main process sends its worker
        events. Otherwise they are sent here."""
        running = RunningAttempt(self, claimed, task, self._soft)
        try:
            arguments = running.values.decoded(self._arguments(claimed))
        except WorkflowError as error:
            running.end_without_call(error_of(error)[0])
            return ignored("its arguments can't be evaluated")
        except Exception as error:
            log.exception("A step's arguments could not be evaluated", action="arguments_failed")
            running.end_without_call(error_of(error)[0])
            return ignored("its arguments can't be evaluated")
        running.arguments = arguments
        running.mask_secrets(arguments.secrets)
        celery_request.replace_untrusted_fields(request, claimed, arguments, running.values.chain)
        if has_message or not self.runtime.in_flight.events:
            return self._run_with_replacements(running, request)
        celery_events.send_started(task, request)
        result = self._run_with_replacements(running, request)
        celery_events.send_ended(task, request, result)
        return result

    def split_budget(self, count: int) -> None:
        """Divide the time for continuations among the message's `count` instances: the others
        wait meanwhile."""
        if count > 1:
            self._budget /= 2 * count

    def add_hint(self, *hints: Callable[[], None]) -> None:
        """Add functions to call after the continuations, each with its own time budget."""
        self._hints.extend(hints)

    def run_continuations(self) -> None:
        """Run claimed attempts until a transition claims no further one; then do the same for each
        added hint."""
        try:
            self._run_next()
            while self._hints:
                self._deadline = None
                self._hints.popleft()()
                self._run_next()
        except Exception:
            self.slot.clear()  # not for an exit: the main process reports this slot
            raise
        self.slot.clear()

    def _run_next(self) -> None:
        while self.continuation is not None:
            claimed, self.continuation = self.continuation, None
            self.slot.next_becomes_current()
            self.slot.count("continued")
            self._run_continuation(claimed)

    def _run_continuation(self, claimed: ClaimedAttempt) -> None:
        task = self.runtime.app.tasks[claimed.attempt.task]
        queue = self.runtime.queue_of(claimed.attempt)
        request = celery_request.continuation_request(
            claimed, self.runtime.hostname, queue, self.runtime.priority_of(claimed.attempt)
        )
        self.run(task, claimed, request, has_message=False)

    def _run_with_replacements(self, running: RunningAttempt, request: dict[str, Any]) -> Any:
        result = self._run_observed(running, request)
        while running.replacement is not None:
            replaced = running
            running = RunningAttempt(
                self, running.claimed, task_replacement.task_of(running), self._soft
            )
            running.mask_secrets(replaced.secrets)
            request = task_replacement.request_of(replaced, request, running.values.chain)
            if task_replacement.is_composite(replaced):
                return self._run_composite(running, replaced)
            result = self._run_observed(running, request)
        return result

    def _run_composite(self, running: RunningAttempt, replaced: RunningAttempt) -> Any:
        database = self.runtime.services.database
        ended = replacement_workflow.end_of(replaced, database, self.max_payload)
        if ended is None:
            return task_replacement.run_composite(running, replaced)
        running.end_replaced(ended)
        return ignored("Replaced by a workflow")

    def _run_observed(self, running: RunningAttempt, request: dict[str, Any]) -> Any:
        began = monotonic()
        reset_token = current_attempt.set(running)
        try:
            with trace_span.span(running.claimed, running.task.name, request):
                return self._trace(running, request)
        finally:
            current_attempt.reset(reset_token)
            name, seconds = running.task.name, monotonic() - began
            self.runtime.durations.observe(name, seconds)
            self.runtime.meter.observe(metrics.ATTEMPT_SECONDS, seconds, (name,))

    def _trace(self, running: RunningAttempt, request: dict[str, Any]) -> Any:
        """Call Celery's tracer and return its result; turn an error that it raises into a failure.

        A step's error must not end the worker. Only an exit of the process is raised again."""
        tracer = self.runtime.installed.tracer_of(running.task)
        try:
            result = tracer(running.claimed.attempt.id, request["args"], request["kwargs"], request)
        except BaseException as error:
            running.end_outside_body(error)
            if not isinstance(error, Exception) and self._exits(error):
                raise
            return failed(error)
        running.end_outside_body(result.info.retval if result.info else result.retval)
        return harmless(result)

    def _exits(self, error: BaseException) -> bool:
        if terminate_handler_fired():
            return True
        return isinstance(error, SystemExit | KeyboardInterrupt) and self.runtime.is_prefork

    def _arguments(self, claimed: ClaimedAttempt) -> Arguments:
        constant = constant_arguments(claimed)
        if constant is not None:
            return constant
        context = call_context(self.runtime, claimed)
        return retry_through_outage(lambda: arguments_of(claimed, context), "a step's arguments")

    # -- committing the end of an attempt ----------------------------------------------------

    @property
    def max_payload(self) -> int:
        """The largest output of a task, in bytes of JSON."""
        return self.runtime.settings.max_payload

    def commit(self, claimed: ClaimedAttempt, ended: AttemptEnd) -> None:
        """Commit an attempt's end; wait through outages of the database."""
        offer = self.continuation_offer() if ended.state is not AttemptState.LOST else None
        try:
            self.continuation = self._finish(claimed, ended, offer)
        except Exception:
            log.exception(
                "A result could not be saved", action="save_failed", attempt=claimed.attempt.id
            )
            self._commit_failure(claimed)
        if self.continuation is None:
            self.slot.clear_next()
        elif self.continuation.attempt.id != self._offered_id:
            # A sibling's id is known only after its claim.
            self.slot.set_next(self.continuation.attempt.id)

    def _finish(
        self, claimed: ClaimedAttempt, ended: AttemptEnd, offer: ContinuationOffer | None
    ) -> ClaimedAttempt | None:
        state = self.runtime.services.state
        return retry_through_outage(
            lambda: state.commit_result(claimed, ended, offer), "the end of a step"
        )

    def _commit_failure(self, claimed: ClaimedAttempt) -> None:
        """Commit a failure instead: the result itself cannot be saved."""
        error = runtime_error("The result could not be saved", "see the worker's log")
        ended = AttemptEnd(
            claimed.attempt.id, AttemptState.FAILED, error=error, outcome_unknown=True
        )
        try:
            self._finish(claimed, ended, None)
        except Exception:
            self.slot.count("left_to_lease")
            log.exception(
                "An attempt is left to its lease",
                action="attempt_left_to_lease",
                attempt=claimed.attempt.id,
            )

    def show_progress(self, claimed: ClaimedAttempt, json: str) -> bool:
        """Store a task's progress; return whether the attempt is still current."""
        database = self.runtime.services.database
        try:
            return unclaimed_attempts.save_progress(
                database, claimed.attempt.id, claimed.token, json
            )
        except DatabaseUnavailable:
            return True  # the database's answer is missing; the attempt may be current

    # -- continuing with the next attempt ----------------------------------------------------

    def continuation_offer(self) -> ContinuationOffer | None:
        """Return the offer to run one of the attempts that a transition makes ready.

        None while the worker stops, with a soft limit, or if continuations are turned off."""
        if not self._budget or self._soft.exists or self.runtime.in_flight.stopping:
            return None
        return ContinuationOffer(self.runtime.lease_owner, self._accepts)

    def _time_to_hard_limit(self) -> float | None:
        """Return the seconds until the message's hard limit kills this process; None without one.

        The main process has added the time for continuations (`worker.signal_receivers`)."""
        if self._limit is None:
            return None
        allowed = self._limit + self.runtime.settings.continuation_budget
        return self._started_at + allowed - monotonic()

    def _accepts(self, attempt: Attempt) -> bool:
        if self._deadline is None:
            self._deadline = monotonic() + self._budget
        remaining = self._deadline - monotonic()
        if remaining <= 0 or self.runtime.durations.expected(attempt.task) > remaining:
            return False
        queue = self.runtime.queue_of(attempt)
        if not self.runtime.rules.allows(attempt, self._time_to_hard_limit(), queue):
            return False
        self.slot.set_next(attempt.id)
        self._offered_id = attempt.id
        return True
