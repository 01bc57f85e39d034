"""One claimed attempt while its task runs; commits the attempt's end, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject, Retry

from orchestrator import json_codec
from orchestrator.core.model import AttemptEnd, AttemptState
from orchestrator.error_handler.task_errors import error_of
from orchestrator.execution.celery_hooks.task_mixin import TaskReplaced
from orchestrator.execution.step import task_outcome
from orchestrator.execution.step.celery_values import StepValues
from orchestrator.execution.step.secret_mask import mask_exception, watch_logs

if TYPE_CHECKING:
    from celery import Task
    from celery.canvas import Signature

    from orchestrator.calls.call_secrets import Secrets
    from orchestrator.execution.internal_protocols import Committer
    from orchestrator.execution.step.soft_time_limit import SoftLimit
    from orchestrator.execution.step.task_arguments import Arguments
    from orchestrator.state_manager import ClaimedAttempt


class RunningAttempt:
    """A claimed attempt whose task this thread runs.

    `run_body` runs the task's body and commits its end before Celery learns of it. A task that
    ends outside its body is committed by `end_outside_body`.
    """

    def __init__(
        self, committer: Committer, claimed: ClaimedAttempt, task: Task[Any, Any], soft: SoftLimit
    ) -> None:
        self._committer = committer
        self.claimed = claimed
        self.task = task
        self.ended = False
        self.entered = False
        self.replacement: Signature[Any] | None = None
        #: The task's arguments; None for a task that replaces another.
        self.arguments: Arguments | None = None
        self.secrets: Secrets | None = None
        self.values = StepValues(claimed)
        self._soft = soft
        self._retrying = False
        self._retry: Retry | None = None

    def mask_secrets(self, secrets: Secrets | None) -> None:
        """Mask these secrets in the attempt's end, its exceptions and its log lines."""
        self.secrets = secrets
        if secrets is not None:
            watch_logs()

    def is_outer_call(self, task: object) -> bool:
        """Return whether Celery's tracer makes this call: the first one of this task."""
        return task is self.task and not self.entered

    def is_of(self, task: object) -> bool:
        """Return whether the task's current request is this attempt's."""
        return task is self.task and self.task.request.id == self.claimed.attempt.id

    def run_body(self, body: Callable[[], Any]) -> Any:
        """Run the task's body, commit how it ends, and return or raise the same to Celery."""
        self.entered = True
        try:
            with self._soft.allow_signal():
                value = body()
        except BaseException as exc:
            self._end_raised(exc)
            if self.secrets is not None:
                # Mask the secrets in the exception of the task: Celery writes it to its log and
                # into its worker events.
                mask_exception(exc, self.secrets.mask)
            raise
        leaves_chain = self.is_of(self.task) and self.values.leaves_chain(self.task.request)
        self._end_returned(value, leaves_chain=leaves_chain)
        # Mask the secrets in the value that the task returned: Celery writes it to its log.
        return value if self.secrets is None else self.secrets.mask(value)

    def end_outside_body(self, retval: Any) -> None:
        """Commit the end of a task that ended before its body, as by a raising `before_start`."""
        if self.ended or self.replacement is not None:
            return
        if isinstance(retval, BaseException):
            self._end_raised(retval)
        else:
            self._end_returned(retval)

    def end_without_call(self, error: dict[str, Any]) -> None:
        """Commit a failure of an attempt whose task cannot be called."""
        self._commit_once(AttemptEnd(self.claimed.attempt.id, AttemptState.FAILED, error=error))

    def end_replaced(self, ended: AttemptEnd) -> None:
        """Commit the end of an attempt whose task has replaced itself by a workflow."""
        self._commit_once(ended)

    # -- retries that the task asks for by `self.retry()` ----------------------------------

    @contextmanager
    def intercept_retry(self) -> Iterator[None]:
        """Suppress the message of `self.retry()` while it runs."""
        self._retrying = True
        try:
            yield
        finally:
            self._retrying = False

    @property
    def is_retrying(self) -> bool:
        """Return whether `self.retry()` is running."""
        return self._retrying

    def record_retry(self, retry: Retry) -> None:
        """Store the retry of ``retry(throw=False)``. It counts whatever the body returns."""
        self._retry = retry

    # -- progress, and the commit of how the attempt ended ---------------------------------

    def show_progress(self, json: str) -> bool:
        """See `CurrentStep.heartbeat`."""
        if self.secrets is not None and self.secrets.used:
            json = json_codec.dumps(self.secrets.mask(json_codec.loads(json)))
        return self._committer.show_progress(self.claimed, json)

    def _end_returned(self, value: Any, *, leaves_chain: bool = False) -> None:
        if self._retry is not None:
            return self._commit_once(self._retried(self._retry))
        attempt, limit = self.claimed.attempt.id, self._committer.max_payload
        ended = task_outcome.end_of_return(attempt, value, limit, self.values.encode)
        return self._commit_once(replace(ended, leaves_chain=True) if leaves_chain else ended)

    def _end_raised(self, exc: BaseException) -> None:
        if isinstance(exc, TaskReplaced):
            self.replacement = exc.signature
        elif isinstance(exc, Retry):
            self._commit_once(self._retried(exc))
        elif self._retry is not None and isinstance(exc, Exception):
            self._commit_once(self._retried(self._retry))
        else:
            ended = task_outcome.end_of_exception(
                self.claimed.attempt.id, exc, self._default_delay, self._mask
            )
            if ended is not None:
                self._commit_once(self._as_in_celery(ended, exc))

    def _retried(self, retry: Any) -> AttemptEnd:
        """Return the end of a task that requested a retry.

        `self.retry()` has checked `max_retries`; for ``raise Retry`` this checks it."""
        attempt = self.claimed.attempt.id
        limit = self.task.max_retries
        if retry.sig is None and limit is not None and self.claimed.retries >= limit:
            error, traceback = error_of(retry.exc or retry, self._mask)
            ended = AttemptEnd(attempt, AttemptState.FAILED, error=error, traceback=traceback)
            return self._as_in_celery(ended, retry.exc or retry)
        ended = task_outcome.end_of_retry(attempt, retry, self._default_delay, self._mask)
        if self.arguments is None or not task_outcome.changes_arguments(retry, self.arguments):
            return ended
        limit = self._committer.max_payload
        encode = self.values.encode
        return task_outcome.with_arguments(ended, retry, self.arguments, limit, encode)

    def _as_in_celery(self, ended: AttemptEnd, exc: BaseException) -> AttemptEnd:
        """Return the end of a task that raised `exc`, with what its document's values need."""
        if isinstance(exc, Ignore) and not isinstance(exc, Reject):
            return replace(ended, leaves_chain=self.values.are_celerys)
        return self.values.with_exception(ended, exc, self.arguments)

    def _mask(self, text: str) -> str:
        """Return the text with the attempt's secrets masked."""
        return text if self.secrets is None else str(self.secrets.mask(text))

    @property
    def _default_delay(self) -> float:
        return float(self.task.default_retry_delay or 0)

    def _commit_once(self, ended: AttemptEnd) -> None:
        if not self.ended:
            self.ended = True
            self._committer.commit(self.claimed, self._masked(ended))

    def _masked(self, ended: AttemptEnd) -> AttemptEnd:
        """Return the end with the attempt's secrets masked."""
        if self.secrets is None:
            return ended
        mask = self.secrets.mask
        return replace(
            ended,
            output=mask(ended.output),
            error=mask(ended.error),
            traceback=mask(ended.traceback),
        )
