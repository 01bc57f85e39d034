"""Decides commands in the API request that sends them, under the row lock of their instance.

Only the command's own change is made: no expression is evaluated, and the work that follows is
left to a control worker as stimuli. Waiting commands are decided first, so that each command
meets the state after all commands accepted before it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from orchestrator import clock
from orchestrator.clock import monotonic
from orchestrator.core import Bounds
from orchestrator.core.engine_version import UnknownEngine
from orchestrator.core.model import Attempt, Json, Refusal, Stimulus, StimulusKind
from orchestrator.database.transitions.instance_slice_reader import Snapshot
from orchestrator.database.transitions.row_mapper import Row, to_stimulus
from orchestrator.database.transitions.save_request import SaveRequest
from orchestrator.metrics import Meter
from orchestrator.state_manager import transition_metrics
from orchestrator.state_manager.decision import decide
from orchestrator.state_manager.deliberation import NoEvaluation
from orchestrator.state_manager.inbox import RETRYABLE, StimulusFailed
from orchestrator.state_manager.store_protocol import DecidingView
from orchestrator.state_manager.transition_runner import CommittedTransition, slice_after
from orchestrator.state_manager.workflow_cache import WorkflowCache

#: Largest number of open places decided in a request. A command may change all of them, so a
#: larger instance is left to a control worker.
MAX_OPEN_PLACES = 500
#: Largest number of waiting commands decided in the request of another one.
MAX_OLDER_COMMANDS = 20
#: Commands that may evaluate expressions. A control worker decides them.
_EVALUATING = frozenset({"reconcile"})
COMMAND = StimulusKind.COMMAND


class EvaluationNeeded(Exception):
    """The decision needs an expression evaluated."""


def never(program: str, value: Json, variables: Mapping[str, Json]) -> Json:  # noqa: ARG001
    """The evaluator of a process that evaluates nothing. Raises `EvaluationNeeded`."""
    raise EvaluationNeeded(program)


_NO_EVALUATION = NoEvaluation(never)


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """The outcome of a command. `at` is the database's time of the decision; `saved` are the
    committed transitions, those of older commands first.

    `decided` False: it can't be decided here; the caller puts it into the inbox. `refused`: it
    was decided and changes nothing.
    """

    decided: bool
    at: datetime
    refused: Refusal | None = None
    saved: tuple[CommittedTransition, ...] = ()


@dataclass(frozen=True, slots=True)
class Commander:
    """Decides commands. `limits` are the bounds of the core."""

    workflows: WorkflowCache
    limits: Bounds
    queue_of: Callable[[Attempt], str]
    seed: Callable[[], int] = lambda: secrets.randbits(63)
    meter: Meter = field(default_factory=Meter)

    def decide(self, view: DecidingView, instance: str, data: Mapping[str, Json]) -> CommandOutcome:
        """Decide a command (the data of a COMMAND stimulus) and the waiting older ones.

        `view` has the row lock; its owner commits afterwards. May raise `LockTimeout` and
        `DatabaseUnavailable`: then nothing has changed.
        """
        saved: list[CommittedTransition] = []
        at = clock.now()
        try:
            snapshot, older = view.read_commands(instance, MAX_OLDER_COMMANDS + 1)
            at = snapshot.now
            if (
                len(older) > MAX_OLDER_COMMANDS
                or snapshot.slice.instance.open_places > MAX_OPEN_PLACES
            ):
                return CommandOutcome(False, at)
            for row in older:
                saved.append(self._save(view, *self._decide_older(view, snapshot, row)))
                snapshot, _ = view.read_commands(instance, 0)
            stimulus = Stimulus(COMMAND, snapshot.now, self.seed(), data=data, items=0)
            decision = self._decide_one(view, snapshot, stimulus)
        except (UnknownEngine, EvaluationNeeded, StimulusFailed):
            return CommandOutcome(False, at, None, tuple(saved))
        refused = decision[0].transition.refused
        if refused is None:
            saved.append(self._save(view, *decision))
        return CommandOutcome(True, at, refused, tuple(saved))

    def _decide_older(
        self, view: DecidingView, snapshot: Snapshot, row: Row
    ) -> tuple[SaveRequest, float]:
        """Decide a waiting command. Raises `EvaluationNeeded`, or `StimulusFailed` where the core
        can't decide it: a control worker lets the later commands pass it."""
        if (row["data"] or {}).get("command") in _EVALUATING:
            raise EvaluationNeeded(row["data"]["command"])
        stimulus = replace(to_stimulus(row, snapshot.now, self.seed()), items=0)
        try:
            return self._decide_one(view, snapshot, stimulus)
        except (*RETRYABLE, EvaluationNeeded):
            raise
        except Exception as error:
            raise StimulusFailed(row["id"], deferred=False) from error

    def _decide_one(
        self, view: DecidingView, snapshot: Snapshot, stimulus: Stimulus
    ) -> tuple[SaveRequest, float]:
        started_at = monotonic()
        workflow = self.workflows.get(snapshot.slice.instance.workflow_id, view)
        transition, slice = decide(
            view, workflow, snapshot.slice, stimulus, _NO_EVALUATION, self.limits, locked=True
        )
        return SaveRequest(slice, stimulus, transition, self.queue_of), started_at

    def _save(
        self, view: DecidingView, request: SaveRequest, started_at: float
    ) -> CommittedTransition:
        view.save(request)
        slice, transition = request.slice, request.transition
        saved = CommittedTransition(slice, transition, slice_after(slice, transition), None, "")
        workflow = self.workflows.get(slice.instance.workflow_id, view)
        transition_metrics.count_transition(
            self.meter, saved, workflow, "command", monotonic() - started_at
        )
        return saved
