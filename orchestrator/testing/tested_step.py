"""`step`: one task alone, as if it were the step of a workflow.

with step(idempotency_key="k", attempt=2) as given:
charge(5)                       # current_step() knows the key and the attempt
given.progress, given.ledger
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestrator import json_codec
from orchestrator.core.model import Attempt, AttemptState, Instance, Slice, Step
from orchestrator.document.model import Workflow
from orchestrator.execution.context_variables import current_attempt
from orchestrator.state_manager.claimed_attempt import ClaimedAttempt, LeaseOwner
from orchestrator.testing.effects import Effect, Ledger

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from celery.exceptions import Retry

    from orchestrator.calls.call_secrets import Secrets

_ID = "00000000-0000-7000-8000-00000000000{}"


class TestedStep:
    """The step that `step` gives. `progress`: what the task has told by `heartbeat`; `ledger`: its
    effects (`orchestrator.testing.effect`)."""

    #: pytest collects classes by their name.
    __test__ = False

    def __init__(self, claimed: ClaimedAttempt, is_current: bool) -> None:
        self.claimed = claimed
        self.secrets: Secrets | None = None
        self.progress: list[Any] = []
        self.ledger = Ledger()
        self._is_current = is_current

    @property
    def worker(self) -> TestedStep:
        """What records effects."""
        return self

    def effect(
        self, claimed: ClaimedAttempt, name: str, details: Mapping[str, Any], **more: Any
    ) -> Effect:
        """Record an effect."""
        return self.ledger.record(name, details, claimed, **more)

    def show_progress(self, json: str) -> bool:
        """Keep the task's progress; return whether the attempt is still current."""
        self.progress.append(json_codec.loads(json))
        return self._is_current

    # A task that is called as a function has no message. So these answers are always False, and
    # `self.retry` does what Celery does without a message.

    @property
    def is_retrying(self) -> bool:
        """Whether a retry of the step is recorded: never."""
        return False

    def is_of(self, _: object) -> bool:
        """Whether a task's request is the step's: never."""
        return False

    def is_outer_call(self, _: object) -> bool:
        """Whether Celery's tracer makes this call: never."""
        return False

    def run_body(self, body: Callable[[], Any]) -> Any:
        """Run a body."""
        return body()

    def intercept_retry(self) -> AbstractContextManager[None]:
        """Not used: `is_of` is False."""
        raise NotImplementedError

    def record_retry(self, retry: Retry) -> None:
        """Not used: `is_of` is False."""
        raise NotImplementedError

    def mask_secrets(self, secrets: Secrets | None) -> None:
        """Not used: a step alone has no secrets."""
        raise NotImplementedError


@contextmanager
def step(
    *,
    idempotency_key: str = "step",
    attempt: int = 1,
    instance: str = _ID.format(1),
    business_id: str | None = None,
    reference: str = "/do/0/task",
    deadline: datetime | None = None,
    is_current: bool = True,
) -> Iterator[TestedStep]:
    """Let the tasks that are called in the block be the step of a workflow, which `current_step()`
    returns. `is_current`: what its `heartbeat` answers."""
    claimed = _claimed(idempotency_key, attempt, instance, business_id, reference, deadline)
    given = TestedStep(claimed, is_current)
    reset_token = current_attempt.set(given)
    try:
        yield given
    finally:
        current_attempt.reset(reset_token)


def _claimed(
    key: str,
    number: int,
    instance_id: str,
    business_id: str | None,
    reference: str,
    deadline: datetime | None,
) -> ClaimedAttempt:
    about = {"dsl": "1.0.3", "namespace": "test", "name": "step", "version": "1.0.0"}
    workflow = Workflow({"document": about, "do": []})
    instance = Instance(instance_id, "test", "test/step/1.0.0", business_id=business_id)
    one = Step(1, 0, reference, "call")
    attempt = Attempt(_ID.format(2), 1, number, "task", number, state=AttemptState.CLAIMED)
    return ClaimedAttempt(
        attempt=attempt,
        instance_id=instance_id,
        namespace="test",
        business_id=business_id,
        step=one,
        call={},
        key=key,
        retries=0,
        deadline=deadline,
        workflow=workflow,
        slice=Slice(instance, {1: one}, attempt),
        inbox=0,
        token="test.0",  # noqa: S106  no secret
        owner=LeaseOwner(_ID.format(3), 0),
    )
