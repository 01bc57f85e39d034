"""Runs claimed attempts through Celery's own tracer, wherever they come from and are committed.

A worker's `step_runner.StepRunner` and the tests without servers (`orchestrator.testing`) differ in
that only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from orchestrator.celery_versions import terminate_handler_fired
from orchestrator.error_handler.task_errors import error_of
from orchestrator.errors import WorkflowError
from orchestrator.execution.celery_hooks.celery_trace_result import failed, harmless, ignored
from orchestrator.execution.context_variables import current_attempt
from orchestrator.execution.step import celery_request, task_replacement
from orchestrator.execution.step.running_attempt import RunningAttempt
from orchestrator.log import get_logger

if TYPE_CHECKING:
    from celery import Task

    from orchestrator.core.model import AttemptEnd
    from orchestrator.execution.internal_protocols import Tracer
    from orchestrator.execution.step.soft_time_limit import SoftLimit
    from orchestrator.execution.step.task_arguments import Arguments
    from orchestrator.state_manager import ClaimedAttempt

log = get_logger(__name__)


class AttemptRunner(ABC):
    """Runs one claimed attempt at a time. `soft`: the soft limit of its message."""

    def __init__(self, soft: SoftLimit) -> None:
        self._soft = soft

    # -- what the process provides ------------------------------------------------------------

    @property
    @abstractmethod
    def max_payload(self) -> int:
        """The largest output of a task, in bytes of JSON."""

    @abstractmethod
    def commit(self, claimed: ClaimedAttempt, ended: AttemptEnd) -> None:
        """Commit an attempt's end."""

    @abstractmethod
    def show_progress(self, claimed: ClaimedAttempt, json: str) -> bool:
        """Store a task's progress; return whether the attempt is still current."""

    @abstractmethod
    def _arguments(self, claimed: ClaimedAttempt) -> Arguments:
        """Return the task's arguments. Raises `WorkflowError` if they can't be evaluated."""

    @abstractmethod
    def _tracer_of(self, task: Task[Any, Any]) -> Tracer:
        """Return Celery's tracer of a task, as this process has built it."""

    @abstractmethod
    def _end_of_replacement(self, replaced: RunningAttempt) -> AttemptEnd | None:
        """Return the end of an attempt whose task has replaced itself by a chain, group or chord;
        None if that runs in this process."""

    @abstractmethod
    def _is_exit(self, error: BaseException) -> bool:
        """Whether an exception that a task raised ends this process."""

    # -- running an attempt ------------------------------------------------------------------

    def run(self, task: Task[Any, Any], claimed: ClaimedAttempt, request: dict[str, Any]) -> Any:
        """Run a claimed attempt and return the value that Celery's tracer must return."""
        running = self._new_attempt(claimed, task)
        try:
            arguments = running.values.decoded(self._arguments(claimed), task.run)
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
        return self._run_with_replacements(running, request)

    def _new_attempt(self, claimed: ClaimedAttempt, task: Task[Any, Any]) -> RunningAttempt:
        return RunningAttempt(self, claimed, task, self._soft)

    def _run_with_replacements(self, running: RunningAttempt, request: dict[str, Any]) -> Any:
        result = self._run_observed(running, request)
        while running.replacement is not None:
            replaced = running
            running = self._new_attempt(running.claimed, task_replacement.task_of(running))
            running.mask_secrets(replaced.secrets)
            request = task_replacement.request_of(replaced, request, running.values.chain)
            if task_replacement.is_composite(replaced):
                return self._run_composite(running, replaced)
            result = self._run_observed(running, request)
        return result

    def _run_composite(self, running: RunningAttempt, replaced: RunningAttempt) -> Any:
        ended = self._end_of_replacement(replaced)
        if ended is None:
            return task_replacement.run_composite(running, replaced)
        running.end_replaced(ended)
        return ignored("Replaced by a workflow")

    def _run_observed(self, running: RunningAttempt, request: dict[str, Any]) -> Any:
        reset_token = current_attempt.set(running)
        try:
            return self._trace(running, request)
        finally:
            current_attempt.reset(reset_token)

    def _trace(self, running: RunningAttempt, request: dict[str, Any]) -> Any:
        """Call Celery's tracer and return its result; turn an error that it raises into a failure.

        A step's error must not end the process. Only an exit of it is raised again."""
        tracer = self._tracer_of(running.task)
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
        return terminate_handler_fired() or self._is_exit(error)
