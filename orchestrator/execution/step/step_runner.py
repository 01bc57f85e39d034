"""One message's work: the step that it names, then those that it may continue with.

Each step goes through Celery's own tracer, one after the other, outside the predecessor's
body and signals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]

from orchestrator.clock import monotonic
from orchestrator.core.model import Attempt, AttemptEnd, AttemptState
from orchestrator.database.workers import unclaimed_attempts
from orchestrator.error_handler.task_errors import error_of, runtime_error
from orchestrator.errors import DatabaseUnavailable, WorkflowError
from orchestrator.execution.celery_trace_result import failed, harmless, ignored
from orchestrator.execution.context_variables import current_attempt
from orchestrator.execution.outage_retry import retry_through_outage
from orchestrator.execution.step import celery_events, celery_request, task_replacement, trace_span
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

    from orchestrator.execution.worker_runtime import WorkerRuntime

log = get_logger(__name__)


class StepRunner:
    """The steps that one message leads to, in one process or thread.

    `limit` is the hard time limit that runs for the whole chain; `soft` the message's soft
    one, which allows no continuation.
    """

    def __init__(self, runtime: WorkerRuntime, limit: float | None, soft: SoftLimit) -> None:
        self._began = monotonic()
        self.runtime = runtime
        self.hand = runtime.slot
        self.continuation: ClaimedAttempt | None = None
        self._limit = limit
        self._soft = soft
        self._deadline: float | None = None
        self._budget = runtime.settings.continuation_budget
        self._hints: deque[Callable[[], None]] = deque()
        self._reserved: str | None = None

    # -- running -----------------------------------------------------------------------------

    def run(
        self,
        task: Task[Any, Any],
        work: ClaimedAttempt,
        request: dict[str, Any],
        *,
        told: bool = True,
    ) -> Any:
        """Run a claimed attempt; returns what Celery's tracer is to return. `told`: Celery's
        main process sends the worker events of it, if anybody wants them."""
        hold = RunningAttempt(self, work, task, self._soft)
        try:
            arguments = self._arguments(work)
        except WorkflowError as error:
            hold.end_without_call(error_of(error)[0])
            return ignored("its arguments can't be evaluated")
        except Exception as error:
            log.exception("A step's arguments are none", action="arguments_failed")
            hold.end_without_call(error_of(error)[0])
            return ignored("its arguments can't be made")
        hold.arguments = arguments
        hold.mask_secrets(arguments.secrets)
        celery_request.sanitize(request, work, arguments)
        if told or not self.runtime.in_flight.events:
            return self._traced(hold, request)
        celery_events.started(task, request)
        result = self._traced(hold, request)
        celery_events.ended(task, request, result)
        return result

    def split_budget(self, count: int) -> None:
        """The message brings so many instances: none may keep the others waiting for long."""
        if count > 1:
            self._budget /= 2 * count

    def add_hint(self, *brings: Callable[[], None]) -> None:
        """What the message asks for besides, each with a budget of its own."""
        self._hints.extend(brings)

    def run_continuations(self) -> None:
        """Run what was taken, and what that leads to, until nothing was; then what else the
        message asks for."""
        try:
            self._run_next()
            while self._hints:
                self._deadline = None
                self._hints.popleft()()
                self._run_next()
        except Exception:
            self.hand.clear()  # not for an exit: the main process looks at what was in hand
            raise
        self.hand.clear()

    def _run_next(self) -> None:
        while self.continuation is not None:
            work, self.continuation = self.continuation, None
            self.hand.next_becomes_current()
            self.hand.count("continued")
            self._run_continuation(work)

    def _run_continuation(self, work: ClaimedAttempt) -> None:
        task = self.runtime.app.tasks[work.attempt.task]
        queue = self.runtime.queue_of(work.attempt)
        request = celery_request.continuation_request(
            work, self.runtime.hostname, queue, self.runtime.priority_of(work.attempt)
        )
        self.run(task, work, request, told=False)

    def _traced(self, hold: RunningAttempt, request: dict[str, Any]) -> Any:
        result = self._run_observed(hold, request)
        while hold.replacement is not None:
            replaced = hold
            hold = RunningAttempt(self, hold.work, task_replacement.task_of(hold), self._soft)
            hold.mask_secrets(replaced.secrets)
            request = task_replacement.request_of(replaced, request)
            if task_replacement.is_composite(replaced):
                return task_replacement.run_composite(hold, replaced)
            result = self._run_observed(hold, request)
        return result

    def _run_observed(self, hold: RunningAttempt, request: dict[str, Any]) -> Any:
        began = monotonic()
        mark = current_attempt.set(hold)
        try:
            with trace_span.span(hold.work, hold.task.name, request):
                return self._trace(hold, request)
        finally:
            current_attempt.reset(mark)
            name, took = hold.task.name, monotonic() - began
            self.runtime.durations.observe(name, took)
            self.runtime.meter.observe(metrics.ATTEMPT_SECONDS, took, (name,))

    def _trace(self, hold: RunningAttempt, request: dict[str, Any]) -> Any:
        """Celery's tracer, with whatever escapes it turned into a failure: none of a step's
        errors may end the worker. Only an exit from the process does what it says."""
        tracer = self.runtime.installed.tracer_of(hold.task)
        try:
            result = tracer(hold.work.attempt.id, request["args"], request["kwargs"], request)
        except BaseException as error:
            hold.end_outside_body(error)
            if not isinstance(error, Exception) and self._exits(error):
                raise
            return failed(error)
        hold.end_outside_body(result.info.retval if result.info else result.retval)
        return harmless(result)

    def _exits(self, error: BaseException) -> bool:
        if terminate_handler_fired():
            return True
        return isinstance(error, SystemExit | KeyboardInterrupt) and self.runtime.is_prefork

    def _arguments(self, work: ClaimedAttempt) -> Arguments:
        plain = constant_arguments(work)
        if plain is not None:
            return plain
        context = call_context(self.runtime, work)
        return retry_through_outage(lambda: arguments_of(work, context), "a step's arguments")

    # -- committing --------------------------------------------------------------------------

    @property
    def max_payload(self) -> int:
        """The largest output of a task, in bytes of JSON."""
        return self.runtime.settings.max_payload

    def commit(self, work: ClaimedAttempt, ended: AttemptEnd) -> None:
        """Commit how an attempt ended, however long the database needs for it."""
        take = self.continuation_offer() if ended.state is not AttemptState.LOST else None
        try:
            self.continuation = self._finish(work, ended, take)
        except Exception:
            log.exception(
                "A result could not be saved", action="save_failed", attempt=work.attempt.id
            )
            self._commit_failure(work)
        if self.continuation is None:
            self.hand.clear_next()
        elif self.continuation.attempt.id != self._reserved:
            # A sibling is known by its id only now that it is taken.
            self.hand.set_next(self.continuation.attempt.id)

    def _finish(
        self, work: ClaimedAttempt, ended: AttemptEnd, take: ContinuationOffer | None
    ) -> ClaimedAttempt | None:
        state = self.runtime.services.state
        return retry_through_outage(
            lambda: state.commit_result(work, ended, take), "the end of a step"
        )

    def _commit_failure(self, work: ClaimedAttempt) -> None:
        """The second, minimal transition: the result itself is what can't be saved."""
        error = runtime_error("The result could not be saved", "see the worker's log")
        ended = AttemptEnd(work.attempt.id, AttemptState.FAILED, error=error, unknown=True)
        try:
            self._finish(work, ended, None)
        except Exception:
            self.hand.count("left")
            log.exception("An attempt is left to its lease", action="left", attempt=work.attempt.id)

    def show_progress(self, work: ClaimedAttempt, json: str) -> bool:
        """Keep a task's word on its progress; whether anybody wants its result."""
        database = self.runtime.services.database
        try:
            return unclaimed_attempts.save_progress(database, work.attempt.id, work.token, json)
        except DatabaseUnavailable:
            return True  # nothing says otherwise

    # -- continuing --------------------------------------------------------------------------

    def continuation_offer(self) -> ContinuationOffer | None:
        """The offer to run one of the attempts that a transition makes ready, if there is one."""
        if not self._budget or self._soft.exists or self.runtime.in_flight.stopping:
            return None
        return ContinuationOffer(self.runtime.lease_owner, self._accepts)

    def _time_to_hard_limit(self) -> float | None:
        """Seconds until the message's hard limit ends this process; None: it has none. The
        main process has added the budget (see `signals`)."""
        if self._limit is None:
            return None
        allowed = self._limit + self.runtime.settings.continuation_budget
        return self._began + allowed - monotonic()

    def _accepts(self, attempt: Attempt) -> bool:
        if self._deadline is None:
            self._deadline = monotonic() + self._budget
        left = self._deadline - monotonic()
        if left <= 0 or self.runtime.durations.expected(attempt.task) > left:
            return False
        queue = self.runtime.queue_of(attempt)
        if not self.runtime.rules.allows(attempt, self._time_to_hard_limit(), queue):
            return False
        self.hand.set_next(attempt.id)
        self._reserved = attempt.id
        return True
