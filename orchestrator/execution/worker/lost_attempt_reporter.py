"""Reports attempts that ended with their process to the State Manager.

It has its own thread in the main process: the worker's event loop sees the exits, and must not
wait for Postgres.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.core.model import AttemptEnd, AttemptState
from orchestrator.database.workers import unclaimed_attempts
from orchestrator.error_handler.loss_reasons import exit_text
from orchestrator.error_handler.task_errors import runtime_error, timeout_error
from orchestrator.execution.process.outage_retry import RetryAbandoned, retry_through_outage
from orchestrator.log import get_logger
from orchestrator.state_manager import LeaseOwner, new_token

if TYPE_CHECKING:
    from orchestrator.execution.runtime.worker_runtime import WorkerRuntime

log = get_logger(__name__)


class LostAttemptReporter:
    """Commits in order what only the main process sees: exits, revoked and unknown tasks."""

    def __init__(self, runtime: WorkerRuntime) -> None:
        self._runtime = runtime
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._reasons: dict[int, dict[str, Any]] = {}
        self._stop_retrying = threading.Event()
        self._exit_lock = threading.Lock()
        self._thread = threading.Thread(
            target=self._run, name="orchestrator-lost-attempts", daemon=True
        )

    def start(self) -> None:
        """Start the thread; call it after the pool has forked."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Finish the queued reports, for at most `timeout` seconds."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(timeout)
            self._stop_retrying.set()

    def expect_kill(self, process: int, error: dict[str, Any]) -> None:
        """Store the error with which the attempts of a process end that is about to be killed."""
        self._reasons[process] = error

    def expect_limit(self, process: int, seconds: float | None) -> None:
        """The same for a process that is about to be killed at its message's hard time limit."""
        self.expect_kill(process, timeout_error(seconds))

    def on_process_exit(self, process: int, exit_code: int | None) -> None:
        """Report the attempts and decisions of a child that has exited.

        The exit watcher and billiard both call this, from two threads: the second call finds
        neither any more."""
        in_flight = self._runtime.in_flight
        with self._exit_lock:
            expected = self._reasons.pop(process, None)
            is_busy = in_flight.attempts_of(process) or in_flight.is_deciding(process)
            in_flight.clear_process(process)
        if is_busy:
            error = expected or runtime_error("WorkerLostError", exit_text(exit_code))
            self.report_process(LeaseOwner(self._runtime.worker_id, process), error)

    def revoked(self, attempt: str, instance: str, task: str) -> None:
        """End an attempt whose message an operator has revoked before it was claimed."""
        token = new_token()  # one for all tries: after a lost reply the claim can be repeated
        self.enqueue(lambda: self._end_revoked(attempt, instance, task, token))

    def unknown(self, attempt: str, task: str) -> None:
        """Mark an attempt as refused: this worker does not have its task."""
        self.enqueue(
            lambda: unclaimed_attempts.mark_refused(self._runtime.services.database, attempt, task)
        )

    def report_process(self, owner: LeaseOwner, error: dict[str, Any]) -> None:
        """Report all attempts claimed by this process as lost, with this error."""
        self.enqueue(lambda: self._report(owner, error))

    def enqueue(self, task: Callable[[], None]) -> None:
        """Add a function to the queue, which may wait for the database."""
        self._queue.put(task)

    def _report(self, owner: LeaseOwner, error: dict[str, Any]) -> None:
        # Save an attempt that was killed at its hard time limit as failed, so that it does not
        # start again. Celery treats such a task the same way.
        timed_out = str(error["type"]).endswith("/timeout")
        state = AttemptState.FAILED if timed_out else AttemptState.LOST
        count = self._runtime.services.state.report_lost_process(owner, error, state)
        log.warning(
            "A process of the pool has exited",
            action="process_lost",
            pid=owner.process,
            attempts=count,
            reason=error["detail"],
        )

    def _end_revoked(self, attempt: str, instance: str, task: str, token: str) -> None:
        state = self._runtime.services.state
        claimed = state.claim_attempt(attempt, instance, task, self._runtime.lease_owner, token)
        if claimed is not None:
            error = runtime_error("TaskRevokedError", "the task was revoked before it started")
            state.commit_result(claimed, AttemptEnd(attempt, AttemptState.FAILED, error=error))

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            try:
                retry_through_outage(task, "a lost process", self._stop_retrying.is_set)
            except RetryAbandoned:
                return
            except Exception:
                log.exception(
                    "A lost attempt could not be reported; its lease will expire",
                    action="lost_report_failed",
                )
