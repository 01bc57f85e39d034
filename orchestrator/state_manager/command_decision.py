"""Commands decided in the request that brings them, under the row lock of their instance.

Only the command's own move is made: it evaluates no expression, and what follows from it is
left as notes for a control worker. Older commands that still wait are decided first, so that
each is judged against the state that all commands accepted before it lead to.
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
from orchestrator.database.transitions.row_mapper import to_stimulus
from orchestrator.database.transitions.save_request import SaveRequest
from orchestrator.metrics import Meter
from orchestrator.state_manager import transition_metrics
from orchestrator.state_manager.decision import decide
from orchestrator.state_manager.store_protocol import DecidingView
from orchestrator.state_manager.transition_runner import CommittedTransition, follow
from orchestrator.state_manager.workflow_cache import WorkflowCache

#: An instance with more open places than this is left to a control worker: a command may
#: change every one of them.
MOST_OPEN = 500
#: More waiting commands than this are not judged in the request of another one.
MOST_OLDER = 20
#: Commands that may evaluate expressions, so that a control worker decides them.
_EVALUATING = frozenset({"mend"})
COMMAND = StimulusKind.COMMAND


class Evaluates(Exception):
    """The decision needs an expression evaluated."""


def never(program: str, value: Json, variables: Mapping[str, Json]) -> Json:  # noqa: ARG001
    """The evaluator of a process that evaluates nothing. Raises `Evaluates`."""
    raise Evaluates(program)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command, decided at a time of the database's clock. `saved` are the
    transitions made, those of older commands first.

    `decided` False: it can't be decided here, and is to be left as a note. `refused`: it was
    judged and changes nothing.
    """

    decided: bool
    at: datetime
    refused: Refusal | None = None
    saved: tuple[CommittedTransition, ...] = ()


@dataclass(frozen=True, slots=True)
class Commander:
    """Decides commands. `limits` are those of the core."""

    workflows: WorkflowCache
    limits: Bounds
    queue_of: Callable[[Attempt], str]
    seed: Callable[[], int] = lambda: secrets.randbits(63)
    meter: Meter = field(default_factory=Meter)

    def decide(self, view: DecidingView, instance: str, data: Mapping[str, Json]) -> Outcome:
        """Decide a command (the data of a COMMAND stimulus) and the older ones that wait.

        `view` holds the row lock, and commits afterwards. May raise `Busy`,
        `DatabaseUnavailable`: nothing has happened then.
        """
        saved: list[CommittedTransition] = []
        at = clock.now()
        try:
            snapshot, older = view.read_commands(instance, MOST_OLDER + 1)
            at = snapshot.now
            if len(older) > MOST_OLDER or snapshot.slice.instance.open > MOST_OPEN:
                return Outcome(False, at)
            for note in older:
                if (note["data"] or {}).get("command") in _EVALUATING:
                    raise Evaluates(note["data"]["command"])
                stimulus = replace(to_stimulus(note, snapshot.now, self.seed()), items=0)
                saved.append(self._save(view, *self._judge(view, snapshot, stimulus)))
                snapshot, _ = view.read_commands(instance, 0)
            stimulus = Stimulus(COMMAND, snapshot.now, self.seed(), data=data, items=0)
            judged = self._judge(view, snapshot, stimulus)
        except (UnknownEngine, Evaluates):
            return Outcome(False, at, None, tuple(saved))
        refused = judged[0].transition.refused
        if refused is None:
            saved.append(self._save(view, *judged))
        return Outcome(True, at, refused, tuple(saved))

    def _judge(
        self, view: DecidingView, snapshot: Snapshot, stimulus: Stimulus
    ) -> tuple[SaveRequest, float]:
        began = monotonic()
        workflow = self.workflows.get(snapshot.slice.instance.workflow_id, view)
        transition, slice = decide(
            view, workflow, snapshot.slice, stimulus, never, self.limits, locked=True
        )
        return SaveRequest(slice, stimulus, transition, self.queue_of), began

    def _save(self, view: DecidingView, saving: SaveRequest, began: float) -> CommittedTransition:
        view.save(saving)
        slice, transition = saving.slice, saving.transition
        saved = CommittedTransition(slice, transition, follow(slice, transition), None, "")
        workflow = self.workflows.get(slice.instance.workflow_id, view)
        transition_metrics.count_transition(
            self.meter, saved, workflow, "command", monotonic() - began
        )
        return saved
