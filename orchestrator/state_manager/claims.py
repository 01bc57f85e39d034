"""Claims attempts for worker processes."""

from __future__ import annotations

from orchestrator.core.engine_version import UnknownEngine
from orchestrator.core.model import Slice
from orchestrator.database.transitions.instance_slice_reader import Snapshot
from orchestrator.database.transitions.transition_writer import WAVE
from orchestrator.log import get_logger
from orchestrator.metrics import catalog as metrics
from orchestrator.state_manager import transition_metrics
from orchestrator.state_manager.claimed_attempt import ClaimedAttempt, LeaseOwner, claimed_attempt
from orchestrator.state_manager.dependencies import Dependencies
from orchestrator.state_manager.transition_runner import new_token

log = get_logger(__name__)


def claim_attempt(
    parts: Dependencies,
    attempt_id: str,
    instance_id: str,
    task: str,
    owner: LeaseOwner,
    token: str | None = None,
) -> ClaimedAttempt | None:
    """See `StateManager.claim_attempt`."""
    token = token or new_token()
    try:
        snapshot = parts.store.claim(
            attempt_id, instance_id, task, owner.worker, owner.process, token
        )
    except UnknownEngine as unknown:
        log_unknown_engine(unknown)
        snapshot = None
    if snapshot is None:
        parts.meter.count(metrics.MESSAGES_AND_RESULTS_REFUSED, ("claim",))
        return None
    claimed = claim_of(parts, snapshot, owner, token, "message")
    publish_more(parts, claimed.slice, queue_of(parts, claimed))
    return claimed


def claim_of(
    parts: Dependencies, snapshot: Snapshot, owner: LeaseOwner, token: str, delivery: str
) -> ClaimedAttempt:
    """Return the claim that a snapshot shows, and count it. `delivery`: how the attempt reached
    its worker, ``message`` or ``continued``."""
    claimed = repeated_claim(parts, snapshot, owner, token)
    queue = queue_of(parts, claimed)
    transition_metrics.count_claim(parts.meter, claimed.attempt, queue, snapshot.now, delivery)
    return claimed


def repeated_claim(
    parts: Dependencies, snapshot: Snapshot, owner: LeaseOwner, token: str
) -> ClaimedAttempt:
    """Return the claim that a snapshot shows, without counting it."""
    parts.time.observe(snapshot.now)
    workflow = parts.workflows.get(snapshot.slice.instance.workflow_id)
    attempt = snapshot.slice.attempt
    assert attempt is not None  # noqa: S101  a claim returns its attempt
    return claimed_attempt(
        workflow, snapshot.slice, attempt, owner, token, snapshot.inbox, snapshot.now
    )


def queue_of(parts: Dependencies, claimed: ClaimedAttempt) -> str:
    """Return the queue of a claimed attempt."""
    return claimed.attempt.queue or parts.dispatcher.queue_of(claimed.attempt)


def publish_more(parts: Dependencies, slice: Slice, queue: str) -> None:
    """Publish up to two more attempts of a wide instance.

    Each claim by message and each finished runner calls this, so that every idle worker gets
    work while attempts are ready. If a process dies before this, a beat publishes them.
    """
    if slice.instance.open_places > WAVE:
        parts.dispatcher.publish(parts.store.publishable(slice.instance.id, queue, 2))


def log_unknown_engine(unknown: UnknownEngine) -> None:
    """Log that this release can't decide for an instance. Its attempts and stimuli stay; a beat
    sends their hints again, so that a worker of another release can take them."""
    log.warning(
        "This release does not know the instance's engine version and leaves it unchanged",
        action="unknown_engine",
        instance=unknown.instance,
        engine=unknown.engine,
    )
