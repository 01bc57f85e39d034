"""Types that lower modules of this layer use for objects of higher ones, without importing them."""

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
"""The function that Celery calls for each message of a task: `(uuid, args, kwargs, request)`."""


class TracerSource(Protocol):
    """Wraps the tracers that Celery builds for the tasks of an installed app."""

    def wrap_tracer(self, task: Any, tracer: Tracer) -> Tracer:
        """Return the function that Celery calls for each message of the task."""


class CurrentAttempt(Protocol):
    """The claimed attempt whose task runs in this thread; see `step.running_attempt`."""

    claimed: ClaimedAttempt
    secrets: Secrets | None

    @property
    def is_retrying(self) -> bool:
        """Whether `self.retry()` is running."""

    def is_of(self, task: object) -> bool:
        """Return whether the task's current request is this attempt's."""

    def is_outer_call(self, task: object) -> bool:
        """Return whether Celery's tracer makes this call."""

    def run_body(self, body: Callable[[], Any]) -> Any:
        """Run the task's body, commit how it ends, and return or raise the same to Celery."""

    def intercept_retry(self) -> AbstractContextManager[None]:
        """Suppress the message of `self.retry()` while it runs."""

    def record_retry(self, retry: Retry) -> None:
        """Store a retry that the task requested without raising it."""

    def mask_secrets(self, secrets: Secrets | None) -> None:
        """Mask these secrets in the attempt's end, its exceptions and its log lines."""

    def show_progress(self, json: str) -> bool:
        """Store the task's progress; return whether the attempt is still current."""


class CurrentRunner(Protocol):
    """The runner to which the task of a hint may add steps; see `step.step_runner`."""

    continuation: ClaimedAttempt | None

    def split_budget(self, count: int) -> None:
        """Divide the time for continuations among `count` instances."""

    def add_hint(self, *hints: Callable[[], None]) -> None:
        """Add functions to call after the continuations, each with its own time budget."""

    def continuation_offer(self) -> ContinuationOffer | None:
        """Return the offer to continue with an attempt; None if the process may not."""


class QueueConsumer(Protocol):
    """Consumes one queue in addition to Celery's own consumer."""

    queue: Queue

    def start(self, consumer: Any) -> None:
        """Start on the connection of Celery's `consumer`."""

    def stop(self, consumer: Any) -> None:
        """Stop consuming."""


class Committer(Protocol):
    """Commits how a running attempt ends; see `step.step_runner`."""

    @property
    def max_payload(self) -> int:
        """The largest output of a task, in bytes of JSON."""

    def commit(self, claimed: ClaimedAttempt, ended: AttemptEnd) -> None:
        """Commit an attempt's end; wait through outages of the database."""

    def show_progress(self, claimed: ClaimedAttempt, json: str) -> bool:
        """Store a task's progress; return whether the attempt is still current."""
