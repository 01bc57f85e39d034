"""The claimed attempt that a worker gets, and the data that a worker passes for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.core.attempts import idempotency_key
from orchestrator.core.model import Attempt, Json, Slice, Step
from orchestrator.document.model import Workflow


@dataclass(frozen=True, slots=True)
class LeaseOwner:
    """The process that claims attempts: a worker's incarnation (UUID) and the number of its
    process."""

    worker: str
    process: int


@dataclass(frozen=True, slots=True)
class ContinuationOffer:
    """A worker's offer to run one of the attempts that its transition makes ready. `accepts` says
    whether the worker can run an attempt."""

    owner: LeaseOwner
    accepts: Callable[[Attempt], bool]


@dataclass(frozen=True, slots=True)
class ClaimedAttempt:
    """A claimed attempt: all that a worker needs to run it and to commit its end.

    `key` is the idempotency key, the same for every attempt of the step. `retries` counts
    the retries that the Celery task requested itself. `slice` and `inbox` (the number of waiting
    stimuli) are the state at the claim; the commit decides on them. `token` proves the claim.
    `trace` is the trace context of the instance's start: ``{traceparent, tracestate?}`` (W3C
    Trace Context).
    """

    attempt: Attempt
    instance_id: str
    namespace: str
    business_id: str | None
    step: Step
    call: dict[str, Json]
    key: str
    retries: int
    deadline: datetime | None
    workflow: Workflow
    slice: Slice
    inbox: int
    token: str
    owner: LeaseOwner
    trace: dict[str, str] | None = None

    @property
    def next_token(self) -> str:
        """The token under which this attempt's commit claims the next attempt. It is derived from
        `token`, so that a repeated commit finds the claim of the first one."""
        base, _, number = self.token.rpartition(".")
        return f"{base}.{int(number) + 1}"


def claimed_attempt(
    workflow: Workflow,
    slice: Slice,
    attempt: Attempt,
    owner: LeaseOwner,
    token: str,
    inbox: int,
    now: datetime,
) -> ClaimedAttempt:
    """Return an attempt that was claimed `now`. Its slice has only the step and the step's
    ancestors."""
    step = slice.steps[attempt.step]
    ancestry, parent = {step.id: step}, step.parent
    while parent:
        ancestry[parent] = slice.steps[parent]
        parent = ancestry[parent].parent
    instance, limit = slice.instance, attempt.time_limit
    return ClaimedAttempt(
        attempt=attempt,
        instance_id=instance.id,
        namespace=instance.namespace,
        business_id=instance.business_id,
        step=step,
        call=step.call or {},
        key=idempotency_key(instance.id, step.id, (step.call or {}).get("key")),
        retries=(step.state or {}).get("retries", 0),
        deadline=now + timedelta(seconds=limit) if limit else None,
        workflow=workflow,
        slice=Slice(instance, ancestry, attempt),
        inbox=inbox,
        token=token,
        owner=owner,
        trace=(instance.state or {}).get("trace"),
    )
