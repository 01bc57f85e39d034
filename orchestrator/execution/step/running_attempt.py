"""One claimed attempt while its task runs: how it ends is committed from here, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery.exceptions import Retry

from orchestrator.core.model import AttemptEnd, AttemptState
from orchestrator.error_handler.task_errors import error_of
from orchestrator.execution.step import task_outcome
from orchestrator.execution.step.secret_mask import mask_exception, watch_logs
from orchestrator.execution.task_mixin import TaskReplaced

if TYPE_CHECKING:
    from celery import Task
    from celery.canvas import Signature

    from orchestrator.calls.call_secrets import Secrets
    from orchestrator.execution.internal_protocols import Committer
    from orchestrator.execution.step.soft_time_limit import SoftLimit
    from orchestrator.execution.step.task_arguments import Arguments
    from orchestrator.state_manager import ClaimedAttempt


class RunningAttempt:
    """A claimed attempt in the hands of this thread.

    The task's body goes through `carry_out`, which commits its end before Celery hears of it.
    What ends a task outside its body is committed through `end_outside` as a backstop.
    """

    def __init__(
        self, committer: Committer, work: ClaimedAttempt, task: Task[Any, Any], soft: SoftLimit
    ) -> None:
        self._committer = committer
        self.work = work
        self.task = task
        self.ended = False
        self.entered = False
        self.replacement: Signature[Any] | None = None
        #: What the task was called with; None for one that took the place of another.
        self.arguments: Arguments | None = None
        self.secrets: Secrets | None = None
        self._soft = soft
        self._asks_retry = False
        self._retry: Retry | None = None

    def mask_secrets(self, secrets: Secrets | None) -> None:
        """From now on nothing shows these secrets: no end, no exception, no log line."""
        self.secrets = secrets
        if secrets is not None:
            watch_logs()

    def is_outer_call(self, task: object) -> bool:
        """Whether this call is the one that Celery's tracer makes: of our task, the first."""
        return task is self.task and not self.entered

    def is_of(self, task: object) -> bool:
        """Whether the task's present request is this attempt's."""
        return task is self.task and self.task.request.id == self.work.attempt.id

    def run_body(self, body: Callable[[], Any]) -> Any:
        """Run the task's body; commit how it ends; give Celery the same end."""
        self.entered = True
        try:
            with self._soft.let_in():
                value = body()
        except BaseException as exc:
            self._end_raised(exc)
            if self.secrets is not None:
                # Celery writes it into its log and its worker events.
                mask_exception(exc, self.secrets.mask)
            raise
        self._end_returned(value)
        # Celery writes what it sees into its log.
        return value if self.secrets is None else self.secrets.mask(value)

    def end_outside_body(self, retval: Any) -> None:
        """Commit what ended the task before its body began, such as a broken `before_start`."""
        if self.ended or self.replacement is not None:
            return
        if isinstance(retval, BaseException):
            self._end_raised(retval)
        else:
            self._end_returned(retval)

    def end_without_call(self, error: dict[str, Any]) -> None:
        """Commit that the task can't be called at all."""
        self._commit_once(AttemptEnd(self.work.attempt.id, AttemptState.FAILED, error=error))

    # -- self.retry() ----------------------------------------------------------------------

    @contextmanager
    def intercept_retry(self) -> Iterator[None]:
        """While `self.retry()` runs: the message that it would send is not sent."""
        self._asks_retry = True
        try:
            yield
        finally:
            self._asks_retry = False

    @property
    def is_retrying(self) -> bool:
        """Whether `self.retry()` is running."""
        return self._asks_retry

    def record_retry(self, asked: Retry) -> None:
        """``retry(throw=False)`` lets the body go on; the retry stands whatever it returns."""
        self._retry = asked

    # -- the end ---------------------------------------------------------------------------

    def show_progress(self, json: str) -> bool:
        """See `CurrentStep.heartbeat`."""
        return self._committer.show_progress(self.work, json)

    def _end_returned(self, value: Any) -> None:
        if self._retry is not None:
            self._commit_once(self._retried(self._retry))
        else:
            limit = self._committer.max_payload
            self._commit_once(task_outcome.end_of_return(self.work.attempt.id, value, limit))

    def _end_raised(self, exc: BaseException) -> None:
        if isinstance(exc, TaskReplaced):
            self.replacement = exc.signature
        elif isinstance(exc, Retry):
            self._commit_once(self._retried(exc))
        elif self._retry is not None and isinstance(exc, Exception):
            self._commit_once(self._retried(self._retry))
        else:
            ended = task_outcome.end_of_exception(
                self.work.attempt.id, exc, self._default_delay, self._mask
            )
            if ended is not None:
                self._commit_once(ended)

    def _retried(self, asked: Any) -> AttemptEnd:
        """`self.retry()` has counted the retries itself; a bare ``raise Retry`` has not."""
        attempt = self.work.attempt.id
        limit = self.task.max_retries
        if asked.sig is None and limit is not None and self.work.retries >= limit:
            error, traceback = error_of(asked.exc or asked, self._mask)
            return AttemptEnd(attempt, AttemptState.FAILED, error=error, traceback=traceback)
        ended = task_outcome.end_of_retry(attempt, asked, self._default_delay, self._mask)
        if self.arguments is None or not task_outcome.changes_arguments(asked, self.arguments):
            return ended
        limit = self._committer.max_payload
        return task_outcome.with_arguments(ended, asked, self.arguments, limit)

    def _mask(self, text: str) -> str:
        """The text without secrets that the task was called with."""
        return text if self.secrets is None else str(self.secrets.mask(text))

    @property
    def _default_delay(self) -> float:
        return float(self.task.default_retry_delay or 0)

    def _commit_once(self, ended: AttemptEnd) -> None:
        if not self.ended:
            self.ended = True
            self._committer.commit(self.work, self._masked(ended))

    def _masked(self, ended: AttemptEnd) -> AttemptEnd:
        """Secrets that the task was called with do not come back with its end."""
        if self.secrets is None:
            return ended
        mask = self.secrets.mask
        return replace(
            ended,
            output=mask(ended.output),
            error=mask(ended.error),
            traceback=mask(ended.traceback),
        )
