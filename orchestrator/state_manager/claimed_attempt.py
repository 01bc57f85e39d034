"""What the State Manager hands to a worker, and what a worker says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.core.model import Attempt, Json, Slice, Step
from orchestrator.document.model import Workflow


@dataclass(frozen=True, slots=True)
class LeaseOwner:
    """Who holds attempts: a worker's incarnation (UUID) and a process in it."""

    worker: str
    process: int


@dataclass(frozen=True, slots=True)
class ContinuationOffer:
    """A worker's offer to run one of the attempts that its transition makes ready."""

    owner: LeaseOwner
    accepts: Callable[[Attempt], bool]


@dataclass(frozen=True, slots=True)
class ClaimedAttempt:
    """A claimed attempt: all that a worker needs to run it and to commit its end.

    `key` is the idempotency key, the same for every attempt of the step. `retries` counts
    the retries that the Celery task asked for itself. `slice` and `inbox` are what the claim
    saw, handed back at the end; `token` proves the claim. `trace` is what the instance was
    started in: ``{traceparent, tracestate?}`` (W3C Trace Context).
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
    holder: LeaseOwner
    trace: dict[str, str] | None = None

    @property
    def next_token(self) -> str:
        """The token under which the end of this work takes its successor. It follows from
        ours, so that a repeated end finds what the first one took."""
        base, _, number = self.token.rpartition(".")
        return f"{base}.{int(number) + 1}"


def claimed_attempt(
    workflow: Workflow,
    slice: Slice,
    attempt: Attempt,
    holder: LeaseOwner,
    token: str,
    inbox: int,
    now: datetime,
) -> ClaimedAttempt:
    """The work that an attempt claimed `now` is, its slice cut down to the step and its
    ancestors."""
    step = slice.steps[attempt.step]
    chain, above = {step.id: step}, step.parent
    while above:
        chain[above] = slice.steps[above]
        above = chain[above].parent
    instance, limit = slice.instance, attempt.time_limit
    return ClaimedAttempt(
        attempt=attempt,
        instance_id=instance.id,
        namespace=instance.namespace,
        business_id=instance.business_id,
        step=step,
        call=step.call or {},
        key=f"{instance.id}:{(step.call or {}).get('key', step.id)}",
        retries=(step.state or {}).get("retries", 0),
        deadline=now + timedelta(seconds=limit) if limit else None,
        workflow=workflow,
        slice=Slice(instance, chain, attempt),
        inbox=inbox,
        token=token,
        holder=holder,
        trace=(instance.state or {}).get("trace"),
    )
