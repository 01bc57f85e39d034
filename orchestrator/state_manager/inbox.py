"""Applies the stimuli that wait in an instance's inbox, oldest first."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.clock import monotonic
from orchestrator.core.engine_version import UnknownEngine
from orchestrator.core.model import Slice
from orchestrator.database.connection.database import LockTimeout, Superseded
from orchestrator.database.transitions.instance_slice_reader import Snapshot
from orchestrator.database.transitions.row_mapper import Row, to_stimulus
from orchestrator.document.model import Workflow
from orchestrator.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.expressions import EvaluatorUnavailable
from orchestrator.log import get_logger
from orchestrator.state_manager.claimed_attempt import ClaimedAttempt, ContinuationOffer
from orchestrator.state_manager.claims import log_unknown_engine, repeated_claim
from orchestrator.state_manager.decision import LOCK_REQUIRED
from orchestrator.state_manager.decision_lease import Decider, DecisionLease, LeaseTaken
from orchestrator.state_manager.deliberation import EvaluationAsked
from orchestrator.state_manager.dependencies import Dependencies
from orchestrator.state_manager.locked_decision import decide_under_lock
from orchestrator.state_manager.post_commit import after_commit
from orchestrator.state_manager.store_protocol import LockedView, TransitionView
from orchestrator.state_manager.transition_runner import CommittedTransition, new_token

log = get_logger(__name__)

#: Stimuli of one instance applied in one call, and the time after which none is begun, in seconds.
#: The rest waits for a new hint at the end of the queue, so that a busy instance does not keep a
#: control worker from all others.
MAX_STIMULI, MAX_SECONDS = 200, 0.1

#: Errors that say nothing about the stimulus: applying it may succeed later.
RETRYABLE = (
    *LOCK_REQUIRED,
    LockTimeout,
    EvaluationAsked,
    EvaluatorUnavailable,
    LeaseTaken,
    DatabaseUnavailable,
)


#: Errors after which the rest of the inbox waits.
_STOPS = (
    LockTimeout,
    EvaluationAsked,
    EvaluatorUnavailable,
    LeaseTaken,
    DatabaseUnavailable,
    UnknownEngine,
)


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
    waited with it or were created by it. `had_lease`: the save ended this process's lease."""

    saved: CommittedTransition | None
    workflow: Workflow
    more: bool
    had_lease: bool = False


def process_inbox(
    parts: Dependencies,
    instance_id: str,
    offer: ContinuationOffer | None = None,
    token: str | None = None,
    *,
    is_repeat: bool = False,
    decider: Decider | None = None,
) -> ClaimedAttempt | None:
    """See `StateManager.process_inbox`."""
    token = token or new_token()
    claimed = _claimed_before(parts, instance_id, offer, token) if is_repeat else None
    lease = DecisionLease(parts.store, instance_id, token, decider, parts.lease)
    until = monotonic() + MAX_SECONDS
    for _ in range(MAX_STIMULI):
        open_offer, started_at = offer if claimed is None else None, monotonic()
        try:
            applied = _apply_next(parts, instance_id, open_offer, token, lease)
        except (Superseded, StimulusFailed) as reason:
            # `Superseded` means that rows have changed since the decision read them: read and
            # decide again. `_defer` moves a stimulus that has failed for the first time behind the
            # others: continue with the next one.
            if isinstance(reason, Superseded) or _defer(parts, instance_id, reason):
                continue
            return claimed
        except _STOPS as reason:
            return _on_stop(parts, instance_id, reason, claimed)
        finally:
            had_lease = lease.give_back()
        if applied is None and not had_lease:
            return claimed
        if applied is not None:
            claimed = _after_stimulus(parts, applied, open_offer, started_at) or claimed
            # Read the inbox again if this process had the decision lease: other processes that saw
            # the lease have left their stimuli to this process.
            if not (applied.more or applied.had_lease or had_lease):
                return claimed
        if monotonic() >= until:
            break
    parts.dispatcher.hint(instance_id)
    return claimed


def _after_stimulus(
    parts: Dependencies, applied: Applied, offer: ContinuationOffer | None, started_at: float
) -> ClaimedAttempt | None:
    """Do what follows a stimulus. Return the attempt that its transition claimed, if any."""
    if applied.saved is None:
        parts.dispatcher.match(applied.workflow.namespace)  # a refused event is free for others
        return None
    return after_commit(
        parts, applied.saved, applied.workflow, offer, "inbox", started_at, hints_own=False
    )


def _on_stop(
    parts: Dependencies, instance: str, reason: Exception, claimed: ClaimedAttempt | None
) -> ClaimedAttempt | None:
    """Leave the rest of the inbox to another process, and return the attempt that the caller runs.
    Where no hint is sent, a beat sends one, or the holder of the lease reads the inbox again. An
    outage with nothing claimed is raised."""
    if isinstance(reason, LockTimeout | EvaluationAsked):
        parts.dispatcher.hint(instance)  # the lock's holder may not read the inbox again
    elif isinstance(reason, UnknownEngine):
        log_unknown_engine(reason)
    elif claimed is None and isinstance(reason, DatabaseUnavailable):
        raise reason
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


class _NextStimulus:
    """The decision of the oldest stimulus: without the lock, then with it, in several rounds.

    All decisions of one stimulus have the same time and seed, so that their expressions have the
    same inputs."""

    def __init__(
        self, parts: Dependencies, token: str, lease: DecisionLease, snapshot: Snapshot
    ) -> None:
        self._parts = parts
        self._token = token
        self._lease = lease
        self._decide_anew(snapshot)

    def _decide_anew(self, snapshot: Snapshot) -> None:
        row = _row(snapshot)
        self._id = row["id"]
        self._stimulus = to_stimulus(row, snapshot.now, self._parts.seed())
        self.deliberation = self._parts.runner.deliberate(lambda: self._lease.take(self._id))

    def apply(
        self,
        view: TransitionView,
        snapshot: Snapshot,
        offer: ContinuationOffer | None,
        *,
        locked: bool,
    ) -> Applied:
        """Decide and save. Raises `StimulusFailed` where the core can't decide it."""
        parts, row = self._parts, _row(snapshot)
        parts.time.observe(snapshot.now)
        if row["id"] != self._id:
            self._lease.give_back()
            self._decide_anew(snapshot)
        try:
            workflow = parts.workflows.get(snapshot.slice.instance.workflow_id, view)
            saved = parts.runner.run(
                view,
                workflow,
                snapshot.slice,
                self._stimulus,
                self.deliberation,
                offer,
                token=self._token,
                lease=self._lease,
                locked=locked,
            )
        except RETRYABLE:
            raise
        except Exception as error:
            raise StimulusFailed(self._id, deferred=row.get("deferred", False)) from error
        # Tell the caller whether to read the inbox again. A stimulus that arrives after this
        # snapshot is not counted: it has a hint of its own.
        more = snapshot.inbox > 1 or bool(saved and saved.transition.stimuli)
        return Applied(saved, workflow, more, saved is not None and self._lease.forget_after_save())

    def evaluate_ahead(self, slice: Slice) -> None:
        """Evaluate what the decision needs, outside of the lock."""
        parts = self._parts
        workflow = parts.workflows.get(slice.instance.workflow_id)
        parts.runner.evaluate_ahead(parts.store, workflow, slice, self._stimulus, self.deliberation)


def _row(snapshot: Snapshot) -> Row:
    row = snapshot.stimulus
    assert row is not None  # noqa: S101  read_inbox returns one
    return row


def _apply_next(
    parts: Dependencies,
    instance_id: str,
    offer: ContinuationOffer | None,
    token: str,
    lease: DecisionLease,
) -> Applied | None:
    """Apply the oldest stimulus. None: the inbox is empty, or another process decides."""
    snapshot = parts.store.read_inbox(instance_id, token)
    if snapshot is None:
        return None
    following = _NextStimulus(parts, token, lease, snapshot)
    if snapshot.slice.has_one_place:
        try:
            return following.apply(parts.store, snapshot, offer, locked=False)
        except (*LOCK_REQUIRED, StimulusFailed):
            pass  # what failed without the lock may have read two states of the instance

    def run(view: LockedView) -> Applied | None:
        snapshot = view.lock_inbox(instance_id, token)
        if snapshot is None:
            return None
        return following.apply(view, snapshot, offer, locked=True)

    return decide_under_lock(
        parts.store, lambda: following.deliberation, run, following.evaluate_ahead
    )
