"""What the parts of this layer know of each other where an import would run upward."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from celery.exceptions import Retry
    from kombu import Queue

    from orchestrator.calls.call_secrets import Secrets
    from orchestrator.core.model import AttemptEnd
    from orchestrator.state_manager import ClaimedAttempt, ContinuationOffer

Tracer = Callable[..., Any]
"""What Celery calls for each message of a task: `(uuid, args, kwargs, request)`."""


class TracerSource(Protocol):
    """Wraps the tracers that Celery builds for the tasks of an installed app."""

    def wrap_tracer(self, task: Any, tracer: Tracer) -> Tracer:
        """Return what Celery is to call for each message of the task."""


class CurrentAttempt(Protocol):
    """The claimed attempt whose task runs in this thread; see `step.running_attempt`."""

    work: ClaimedAttempt
    secrets: Secrets | None

    @property
    def is_retrying(self) -> bool:
        """Whether `self.retry()` is running."""

    def is_of(self, task: object) -> bool:
        """Whether the task's present request is this attempt's."""

    def is_outer_call(self, task: object) -> bool:
        """Whether this call is the one that Celery's tracer makes."""

    def run_body(self, body: Callable[[], Any]) -> Any:
        """Run the task's body; commit how it ends; give Celery the same end."""

    def intercept_retry(self) -> AbstractContextManager[None]:
        """While `self.retry()` runs: the message that it would send is not sent."""

    def record_retry(self, asked: Retry) -> None:
        """Keep a retry that the task asked for without raising it."""

    def mask_secrets(self, secrets: Secrets | None) -> None:
        """From now on nothing shows these secrets."""

    def show_progress(self, json: str) -> bool:
        """Store the task's progress; whether its result is still wanted."""


class CurrentRunner(Protocol):
    """The runner that a hint's task may add steps to; see `step.step_runner`."""

    continuation: ClaimedAttempt | None

    def split_budget(self, count: int) -> None:
        """Share the time for continuations among so many instances."""

    def add_hint(self, *hints: Callable[[], None]) -> None:
        """Add what the message asks for besides, each with a budget of its own."""

    def continuation_offer(self) -> ContinuationOffer | None:
        """The offer to run one of the attempts that a transition makes ready."""


class QueueConsumer(Protocol):
    """Consumes one queue beside what Celery's consumer consumes."""

    queue: Queue

    def start(self, consumer: Any) -> None:
        """Begin, on the connection that Celery's consumer has just made."""

    def stop(self, consumer: Any) -> None:
        """Take no more."""


class Committer(Protocol):
    """Commits how a running attempt ends; see `step.step_runner`."""

    @property
    def max_payload(self) -> int:
        """The largest output of a task, in bytes of JSON."""

    def commit(self, work: ClaimedAttempt, ended: AttemptEnd) -> None:
        """Commit an attempt's end, however long the database needs for it."""

    def show_progress(self, work: ClaimedAttempt, json: str) -> bool:
        """Store a task's progress; whether its result is still wanted."""
