"""Commits how an attempt ended: optimistically where the instance has one open place, otherwise
under its row lock. If neither is possible now, the result goes into the inbox."""

from __future__ import annotations

from orchestrator.clock import monotonic
from orchestrator.core.attempt_end_json import end_to_json
from orchestrator.core.model import AttemptEnd, AttemptState, Slice, Stimulus, StimulusKind
from orchestrator.database.connection.database import Fenced, LockTimeout, Superseded
from orchestrator.database.transitions.instance_slice_reader import Snapshot
from orchestrator.expressions import EvaluatorUnavailable
from orchestrator.log import get_logger
from orchestrator.metrics import catalog as metrics
from orchestrator.state_manager.claimed_attempt import ClaimedAttempt, ContinuationOffer
from orchestrator.state_manager.claims import claim_of, publish_more, queue_of, repeated_claim
from orchestrator.state_manager.decision import LOCK_REQUIRED
from orchestrator.state_manager.deliberation import Deliberation
from orchestrator.state_manager.dependencies import Dependencies
from orchestrator.state_manager.locked_decision import decide_under_lock
from orchestrator.state_manager.post_commit import after_commit
from orchestrator.state_manager.store_protocol import LockedView
from orchestrator.state_manager.transition_runner import CommittedTransition

log = get_logger(__name__)


def commit_result(
    parts: Dependencies,
    claimed: ClaimedAttempt,
    ended: AttemptEnd,
    offer: ContinuationOffer | None = None,
) -> ClaimedAttempt | None:
    """See `StateManager.commit_result`."""
    started_at = monotonic()
    stimulus = Stimulus(
        StimulusKind.RESULT, parts.time.now(), parts.seed(), step=claimed.step.id, ended=ended
    )
    deliberation = parts.runner.deliberate(None)
    try:
        saved = _commit_optimistically(parts, claimed, stimulus, deliberation, offer)
        if saved is None:
            return _commit_under_lock(parts, claimed, stimulus, deliberation, offer, started_at)
    except (LockTimeout, EvaluatorUnavailable, Superseded) as reason:
        if parts.store.ended_under_token(claimed.attempt.id, claimed.token):
            return _repeated_answer(parts, claimed, ended)
        _leave_in_inbox(parts, claimed, ended, reason)
        return None
    return after_commit(parts, saved, claimed.workflow, offer, "result", started_at)


def _commit_optimistically(
    parts: Dependencies,
    claimed: ClaimedAttempt,
    stimulus: Stimulus,
    deliberation: Deliberation,
    offer: ContinuationOffer | None,
) -> CommittedTransition | None:
    if claimed.inbox or not claimed.slice.has_one_place:
        return None
    try:
        return parts.runner.run(
            parts.store,
            claimed.workflow,
            claimed.slice,
            stimulus,
            deliberation,
            offer,
            claimed,
            locked=False,
        )
    except LOCK_REQUIRED:
        return None


def _commit_under_lock(
    parts: Dependencies,
    claimed: ClaimedAttempt,
    stimulus: Stimulus,
    deliberation: Deliberation,
    offer: ContinuationOffer | None,
    started_at: float,
) -> ClaimedAttempt | None:
    workflow = claimed.workflow

    def run(view: LockedView) -> tuple[Snapshot, CommittedTransition | None]:
        snapshot = view.lock_slice(claimed.instance_id, claimed.step.id, claimed.attempt.id)
        attempt = snapshot.slice.attempt
        if attempt is None or attempt.state is not AttemptState.CLAIMED:
            raise Fenced
        return snapshot, parts.runner.run(
            view, workflow, snapshot.slice, stimulus, deliberation, offer, claimed, locked=True
        )

    def evaluate_ahead(slice: Slice) -> None:
        parts.runner.evaluate_ahead(parts.store, workflow, slice, stimulus, deliberation)

    try:
        snapshot, saved = decide_under_lock(parts.store, lambda: deliberation, run, evaluate_ahead)
    except Fenced:
        return _repeated_answer(parts, claimed, stimulus.ended)
    if snapshot.inbox:
        parts.dispatcher.hint(claimed.instance_id)
    if saved is None:
        _count_stale(parts, claimed)
        return None
    following = after_commit(parts, saved, claimed.workflow, offer, "result", started_at)
    if following is None and saved.sibling is not None and offer is not None:
        following = claim_of(parts, saved.sibling, offer.owner, saved.token, "continued")
    if following is None:
        publish_more(parts, saved.slice, queue_of(parts, claimed))
    return following


def _repeated_answer(
    parts: Dependencies, claimed: ClaimedAttempt, ended: AttemptEnd | None
) -> ClaimedAttempt | None:
    """Answer for an attempt that has ended already. If this result ended it and the reply was
    lost, return the first answer; otherwise the result is stale."""
    if not parts.store.ended_under_token(claimed.attempt.id, claimed.token):
        if ended is not None and ended.state is not AttemptState.LOST:
            parts.store.record_late_result(claimed.attempt.id, ended.state.value)
        _count_stale(parts, claimed)
        return None
    snapshot = parts.store.claimed_under_token(claimed.instance_id, claimed.next_token)
    if snapshot is None:
        return None
    return repeated_claim(parts, snapshot, claimed.owner, claimed.next_token)


def _count_stale(parts: Dependencies, claimed: ClaimedAttempt) -> None:
    parts.meter.count(metrics.MESSAGES_AND_RESULTS_REFUSED, ("stale",))
    log.warning(
        "A stale result was refused: its attempt had ended before",
        action="stale_result",
        instance=claimed.instance_id,
        step=claimed.step.id,
        attempt=claimed.attempt.id,
    )


def _leave_in_inbox(
    parts: Dependencies, claimed: ClaimedAttempt, ended: AttemptEnd, reason: Exception
) -> None:
    """Put the result into the inbox: the next process that applies the inbox commits it."""
    parts.store.put_stimulus(
        claimed.instance_id,
        StimulusKind.RESULT,
        step=claimed.step.id,
        attempt=claimed.attempt.id,
        data={**end_to_json(ended), "traceback": ended.traceback},
        key=f"result:{claimed.attempt.id}",
    )
    log.info(
        "A result was left in the inbox",
        action="result_left_in_inbox",
        instance=claimed.instance_id,
        attempt=claimed.attempt.id,
        reason=repr(reason),
    )
    parts.dispatcher.hint(claimed.instance_id)
