"""Attempts that ended with their process: a thread of the main process tells the State Manager.

A thread, because the worker's event loop learns of a death and must not wait for Postgres.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.core.model import AttemptEnd, AttemptState
from orchestrator.database.workers import unclaimed_attempts
from orchestrator.error_handler.task_errors import runtime_error, timeout_error
from orchestrator.execution.outage_retry import RetryAbandoned, retry_through_outage
from orchestrator.log import get_logger
from orchestrator.state_manager import LeaseOwner, new_token

if TYPE_CHECKING:
    from orchestrator.execution.worker_runtime import WorkerRuntime

log = get_logger(__name__)


class LostAttemptReporter:
    """What the main process alone knows, brought to the database in the order it happened."""

    def __init__(self, runtime: WorkerRuntime) -> None:
        self._runtime = runtime
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._reasons: dict[int, dict[str, Any]] = {}
        self._giving_up = threading.Event()
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="orchestrator-losses", daemon=True)

    def start(self) -> None:
        """Begin; call it once the pool has forked."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Bring what is left, for at most so many seconds."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(timeout)
            self._giving_up.set()

    def expect_kill(self, process: int, error: dict[str, Any]) -> None:
        """A process is about to be killed, for this reason."""
        self._reasons[process] = error

    def expect_limit(self, process: int, seconds: float | None) -> None:
        """A process is about to be killed at the hard time limit of its message."""
        self.expect_kill(process, timeout_error(seconds))

    def on_process_exit(self, process: int, exit_code: int | None) -> None:
        """A child of the pool has ended; so has what it had in hand. The system and billiard
        may both tell of it, from two threads: the first to come tells why."""
        hands = self._runtime.in_flight
        with self._looking:
            expected = self._reasons.pop(process, None)
            held = hands.attempts_of(process)
            hands.clear_process(process)
        if held:
            error = expected or runtime_error("WorkerLostError", _how(exit_code))
            self.report_process(LeaseOwner(self._runtime.worker_id, process), error)

    def revoked(self, attempt: str, instance: str, task: str) -> None:
        """An operator has revoked an attempt's message before it was taken."""
        token = new_token()  # one for all tries: a claim whose reply was lost is still ours
        self.enqueue(lambda: self._end_revoked(attempt, instance, task, token))

    def unknown(self, attempt: str, task: str) -> None:
        """An attempt's message was thrown away, since this worker does not have the task."""
        self.enqueue(
            lambda: unclaimed_attempts.mark_refused(self._runtime.services.database, attempt, task)
        )

    def report_process(self, holder: LeaseOwner, error: dict[str, Any]) -> None:
        """Every attempt that the process holds is lost."""
        self.enqueue(lambda: self._lose(holder, error))

    def enqueue(self, task: Callable[[], None]) -> None:
        """Have something done that may need to wait for the database."""
        self._queue.put(task)

    def _lose(self, holder: LeaseOwner, error: dict[str, Any]) -> None:
        # Killed at its hard limit, an attempt has failed, as Celery says; it is not tried again.
        timed_out = str(error["type"]).endswith("/timeout")
        state = AttemptState.FAILED if timed_out else AttemptState.LOST
        count = self._runtime.services.state.report_lost_process(holder, error, state)
        log.warning(
            "A process of the pool is gone",
            action="process_lost",
            pid=holder.process,
            attempts=count,
            why=error["detail"],
        )

    def _end_revoked(self, attempt: str, instance: str, task: str, token: str) -> None:
        state = self._runtime.services.state
        work = state.claim_attempt(attempt, instance, task, self._runtime.lease_owner, token)
        if work is not None:
            error = runtime_error("TaskRevokedError", "the task was revoked before it started")
            state.commit_result(work, AttemptEnd(attempt, AttemptState.FAILED, error=error))

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            try:
                retry_through_outage(task, "a lost process", self._giving_up.is_set)
            except RetryAbandoned:
                return
            except Exception:
                log.exception("A loss could not be told; the lease will", action="loss_failed")


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "its process ended, nobody knows how"
    if exit_code < 0:
        return f"its process was killed by signal {-exit_code}"
    return f"its process exited with status {exit_code}"
