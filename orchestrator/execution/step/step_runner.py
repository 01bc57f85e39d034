"""Runs the step of one message, then the steps that the process may continue with.

Each step goes through Celery's own tracer, outside the body and signals of the step before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.clock import monotonic
from orchestrator.core.model import Attempt, AttemptEnd, AttemptState
from orchestrator.database.workers import unclaimed_attempts
from orchestrator.error_handler.task_errors import runtime_error
from orchestrator.errors import DatabaseUnavailable
from orchestrator.execution.process.outage_retry import retry_through_outage
from orchestrator.execution.step import (
    celery_events,
    celery_request,
    replacement_workflow,
    trace_span,
)
from orchestrator.execution.step.attempt_runner import AttemptRunner
from orchestrator.execution.step.replacement_deployment import deploy
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

    from orchestrator.execution.internal_protocols import Tracer
    from orchestrator.execution.runtime.worker_runtime import WorkerRuntime

log = get_logger(__name__)


class StepRunner(AttemptRunner):
    """Runs all steps that follow from one message, in one process or thread.

    `limit`: the message's hard time limit in seconds, which holds for all of these steps; None
    without one. `soft`: the message's soft limit; where it exists, nothing is continued.
    """

    def __init__(self, runtime: WorkerRuntime, limit: float | None, soft: SoftLimit) -> None:
        super().__init__(soft)
        self._started_at = monotonic()
        self.runtime = runtime
        self.slot = runtime.slot
        self.continuation: ClaimedAttempt | None = None
        self._limit = limit
        self._deadline: float | None = None
        self._budget = runtime.settings.continuation_budget
        self._hints: deque[Callable[[], None]] = deque()
        self._offered_id: str | None = None
        #: Whether the attempt that runs came with a message, so that Celery's main process sends
        #: its worker events. Otherwise they are sent here.
        self._has_message = True

    # -- running an attempt ------------------------------------------------------------------

    def _run_with_replacements(self, running: RunningAttempt, request: dict[str, Any]) -> Any:
        if self._has_message or not self.runtime.in_flight.events:
            return super()._run_with_replacements(running, request)
        celery_events.send_started(running.task, request)
        result = super()._run_with_replacements(running, request)
        celery_events.send_ended(running.task, request, result)
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
        self._has_message = False
        self.run(task, claimed, request)

    def _run_observed(self, running: RunningAttempt, request: dict[str, Any]) -> Any:
        began = monotonic()
        try:
            with trace_span.span(running.claimed, running.task.name, request):
                return super()._run_observed(running, request)
        finally:
            name, seconds = running.task.name, monotonic() - began
            self.runtime.durations.observe(name, seconds)
            self.runtime.meter.observe(metrics.ATTEMPT_SECONDS, seconds, (name,))

    def _end_of_replacement(self, replaced: RunningAttempt) -> AttemptEnd | None:
        return replacement_workflow.end_of(
            replaced, lambda new: deploy(self.runtime.services.database, new), self.max_payload
        )

    def _tracer_of(self, task: Task[Any, Any]) -> Tracer:
        return self.runtime.installed.tracer_of(task)

    def _is_exit(self, error: BaseException) -> bool:
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
            # The continuation is a sibling. Its id was unknown until the commit claimed it, so put
            # it into the slot now.
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
