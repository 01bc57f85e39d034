"""Applies the stimuli that wait in an instance's inbox, oldest first."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.clock import monotonic
from orchestrator.core.engine_version import UnknownEngine
from orchestrator.database.connection.database import LockTimeout, Superseded
from orchestrator.database.transitions.instance_slice_reader import Snapshot
from orchestrator.database.transitions.row_mapper import to_stimulus
from orchestrator.document.model import Workflow
from orchestrator.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.expressions import EvaluatorUnavailable
from orchestrator.log import get_logger
from orchestrator.state_manager.claimed_attempt import ClaimedAttempt, ContinuationOffer
from orchestrator.state_manager.claims import log_unknown_engine, repeated_claim
from orchestrator.state_manager.decision import LOCK_REQUIRED
from orchestrator.state_manager.dependencies import Dependencies
from orchestrator.state_manager.post_commit import after_commit
from orchestrator.state_manager.store_protocol import TransitionView
from orchestrator.state_manager.transition_runner import CommittedTransition, new_token

log = get_logger(__name__)

#: Stimuli of one instance applied in one call. The rest waits for a new hint, so that a busy
#: instance does not keep a control worker from all others.
MAX_STIMULI = 200

#: Errors that say nothing about the stimulus: applying it may succeed later.
RETRYABLE = (*LOCK_REQUIRED, LockTimeout, EvaluatorUnavailable, DatabaseUnavailable)


class StimulusFailed(OrchestratorError):
    """A stimulus can't be applied, and a repetition would fail too. `deferred`: it failed
    before and waits behind all other stimuli already."""

    def __init__(self, stimulus: int, *, deferred: bool) -> None:
        super().__init__(f"stimulus {stimulus} can't be applied")
        self.stimulus = stimulus
        self.deferred = deferred


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of one stimulus. `saved` None: it changed nothing. `more`: other stimuli
    waited with it or were created by it."""

    saved: CommittedTransition | None
    workflow: Workflow
    more: bool


def process_inbox(
    parts: Dependencies,
    instance_id: str,
    offer: ContinuationOffer | None = None,
    token: str | None = None,
    *,
    is_repeat: bool = False,
) -> ClaimedAttempt | None:
    """See `StateManager.process_inbox`."""
    token = token or new_token()
    claimed = _claimed_before(parts, instance_id, offer, token) if is_repeat else None
    for _ in range(MAX_STIMULI):
        open_offer, started_at = offer if claimed is None else None, monotonic()
        try:
            applied = _apply_next(parts, instance_id, open_offer, token)
        except LockTimeout:
            parts.dispatcher.hint(instance_id)  # the lock's holder may not read the inbox again
            return claimed
        except EvaluatorUnavailable:
            return claimed  # a beat sends the hint again
        except DatabaseUnavailable:
            if claimed is None:
                raise
            return claimed  # the caller runs it; a beat sends the hint for the rest
        except UnknownEngine as unknown:
            log_unknown_engine(unknown)
            return claimed
        except (Superseded, StimulusFailed) as reason:
            # Superseded under the lock: rows that the decision read have changed. Read again.
            if isinstance(reason, Superseded) or _defer(parts, instance_id, reason):
                continue
            return claimed
        if applied is None:
            return claimed
        saved, workflow = applied.saved, applied.workflow
        if saved is not None:
            claimed = (
                after_commit(parts, saved, workflow, open_offer, "inbox", started_at) or claimed
            )
        else:
            parts.dispatcher.match(workflow.namespace)  # a refused event is free for others
        if not applied.more:
            return claimed
    parts.dispatcher.hint(instance_id)
    return claimed


def _claimed_before(
    parts: Dependencies, instance: str, offer: ContinuationOffer | None, token: str
) -> ClaimedAttempt | None:
    """Return the attempt that an earlier call claimed under this token; its reply was lost."""
    if offer is None:
        return None
    snapshot = parts.store.claimed_under_token(instance, token)
    return repeated_claim(parts, snapshot, offer.owner, token) if snapshot else None


def _defer(parts: Dependencies, instance: str, failed: StimulusFailed) -> bool:
    """Move a failed stimulus behind all others. False: it was deferred before."""
    log.error(
        "A stimulus can't be applied; the stimuli behind it are applied first",
        action="stimulus_failed",
        instance=instance,
        stimulus=failed.stimulus,
        exc_info=failed,
    )
    if failed.deferred:
        return False
    parts.store.defer_stimulus(failed.stimulus)
    return True


def _apply_next(
    parts: Dependencies, instance_id: str, offer: ContinuationOffer | None, token: str
) -> Applied | None:
    """Apply the oldest stimulus. None: the inbox is empty."""
    snapshot = parts.store.read_inbox(instance_id)
    if snapshot is None:
        return None
    if snapshot.slice.has_one_place:
        try:
            return _apply(parts, parts.store, snapshot, offer, token, locked=False)
        except (*LOCK_REQUIRED, StimulusFailed):
            pass  # what failed without the lock may have read two states of the instance
    with parts.store.locking() as view:
        snapshot = view.lock_inbox(instance_id)
        if snapshot is None:
            return None
        return _apply(parts, view, snapshot, offer, token, locked=True)


def _apply(
    parts: Dependencies,
    view: TransitionView,
    snapshot: Snapshot,
    offer: ContinuationOffer | None,
    token: str,
    *,
    locked: bool,
) -> Applied:
    parts.time.observe(snapshot.now)
    row = snapshot.stimulus
    assert row is not None  # noqa: S101  read_inbox returns one
    try:
        workflow = parts.workflows.get(snapshot.slice.instance.workflow_id, view)
        stimulus = to_stimulus(row, snapshot.now, parts.seed())
        saved = parts.runner.run(
            view, workflow, snapshot.slice, stimulus, offer, token=token, locked=locked
        )
    except RETRYABLE:
        raise
    except Exception as error:
        raise StimulusFailed(row["id"], deferred=row.get("deferred", False)) from error
    # A stimulus that arrives after the snapshot has a hint of its own.
    more = snapshot.inbox > 1 or bool(saved and saved.transition.stimuli)
    return Applied(saved, workflow, more)
