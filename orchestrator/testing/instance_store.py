"""A store in memory for the pure core: rows in dictionaries, stimuli in inboxes, a clock that moves
only by a call. It applies transitions as the database would, answers the core's needs, and checks
the invariants of every transition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from orchestrator.core import Bounds, advance
from orchestrator.core.model import (
    ROOT,
    Attempt,
    AttemptEnd,
    AttemptState,
    DataNeeded,
    Instance,
    Json,
    Slice,
    Status,
    Stimulus,
    StimulusKind,
    Transition,
)
from orchestrator.document.model import Workflow
from orchestrator.expressions import Evaluate, Evaluator
from orchestrator.ids import uuid7
from orchestrator.testing.in_memory_rows import ANSWERS, LIVE, Rows, chain
from orchestrator.testing.transition_application import apply_transition, end_attempt, stored
from orchestrator.testing.transition_checks import check_transition, require

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_EVALUATOR = Evaluator()
#: What a suspended instance still takes.
_WHILE_SUSPENDED = (StimulusKind.COMMAND, StimulusKind.RESULT)


def never(program: str, *_: Any) -> Json:
    """The evaluator of a transition that must not evaluate anything."""
    raise AssertionError(f"it was to be decided without {program!r}")


class InstanceStore:
    """Deploys documents, starts instances and applies their stimuli."""

    #: The core; a benchmark wraps it to measure the time.
    advance = staticmethod(advance)

    #: Whether commands are decided as in the API's request, or as in a control worker.
    decided = False

    def __init__(
        self,
        *documents: Mapping[str, Any],
        evaluate: Evaluate | None = None,
        limits: Bounds | None = None,
        secrets: Mapping[str, Json] | None = None,
        seed: int = 0,
    ) -> None:
        self.evaluate = evaluate or _EVALUATOR.evaluate
        self.limits = limits or Bounds()
        self.secrets = dict(secrets or {})
        self.now = EPOCH
        self.seed = seed
        self.made = 0
        self.workflows: dict[str, Workflow] = {}
        self.rows: dict[str, Rows] = {}
        self.events: list[Json] = []
        self.ignored: list[str] = []
        #: Instances whose inboxes are not processed for now.
        self.paused: set[str] = set()
        #: How many needs of each kind the core has raised.
        self.needs: Counter[str] = Counter()
        for document in documents:
            self.deploy(document)

    def deploy(self, document: Mapping[str, Any]) -> str:
        """Deploy a document and return its id: ``namespace/name/version``."""
        return self.deploy_workflow(Workflow(dict(document)))

    def deploy_workflow(self, workflow: Workflow) -> str:
        """Deploy a workflow that was compiled before, and return its id."""
        id = f"{workflow.namespace}/{workflow.name}/{workflow.version}"
        self.workflows[id] = workflow
        return id

    def start(self, name: str | None = None, input: Json = None, *, run: bool = True) -> str:
        """Start an instance of the workflow whose id begins with `name` (default: the only)."""
        workflow_id = next(id for id in self.workflows if name is None or id.startswith(name))
        id = self.insert(workflow_id, input)
        if run:
            self.drain()
        return id

    def insert(self, workflow_id: str, input: Json, id: str | None = None, **more: Any) -> str:
        """Insert a pending instance with its start stimulus; `more` are fields of `Instance`."""
        self.made += 1
        id = id or uuid7(int(self.now.timestamp() * 1000), self.made)
        workflow = self.workflows[workflow_id]
        instance = Instance(
            id, workflow.namespace, workflow_id, input=stored(input), created_at=self.now, **more
        )
        self.rows[id] = Rows(instance, workflow)
        self.send_stimulus(id, StimulusKind.START, run=False)
        return id

    # -- stimuli --------------------

    def send_stimulus(
        self,
        id: str,
        kind: StimulusKind,
        step: int | None = None,
        data: Json = None,
        *,
        run: bool = True,
    ) -> None:
        """Put a stimulus into an instance's inbox."""
        self.rows[id].inbox.append(self.stimulus(kind, step, stored(data) or {}))
        if run:
            self.drain()

    def command(self, id: str, command: str, **data: Json) -> None:
        """Give an instance a command."""
        self.send_stimulus(id, StimulusKind.COMMAND, data={"command": command, **data})

    def stimulus(self, kind: StimulusKind, step: int | None, data: Json, **more: Any) -> Stimulus:
        """Return a stimulus with the present time and the next seed."""
        self.seed += 1
        return Stimulus(kind, self.now, self.seed, step, data, **more)

    def fire_timers(self) -> None:
        """Put the timers that are due into the inboxes."""
        for id, rows in self.rows.items():
            for (step, kind), at in list(rows.timers.items()):
                if at <= self.now:
                    del rows.timers[step, kind]
                    self.send_stimulus(
                        id, StimulusKind.TIMER, step or None, {"kind": kind}, run=False
                    )

    def drain(self) -> None:
        """Apply all stimuli, until no inbox has one that can be applied."""
        while True:
            waiting = [id for id in self.with_inbox() if self.next_stimulus(id) is not None]
            if not waiting:
                return
            for id in waiting:
                stimulus = self.next_stimulus(id)
                if stimulus is not None:
                    self.rows[id].inbox.remove(stimulus)
                    self.apply(id, replace(stimulus, at=self.now))

    def with_inbox(self) -> list[str]:
        """Return the instances whose inboxes are not empty, in the order of their creation."""
        return [id for id, rows in self.rows.items() if rows.inbox]

    def next_stimulus(self, id: str) -> Stimulus | None:
        """Return the oldest stimulus that an instance can take now."""
        rows = self.rows[id]
        if id in self.paused:
            return None
        if rows.instance.status is not Status.SUSPENDED:
            return next(iter(rows.inbox), None)
        return next((one for one in rows.inbox if one.kind in _WHILE_SUSPENDED), None)

    # -- transitions --------------------

    def apply(self, id: str, stimulus: Stimulus) -> Transition:
        """Decide and apply one transition."""
        rows = self.rows[id]
        transition = self._decide(rows, stimulus)
        if transition.ignored is not None:
            self.ignored.append(transition.ignored)
            self.on_ignored(rows, stimulus)
        else:
            if transition.refused is not None:
                self.ignored.append(transition.refused.reason)
            self.on_transition(rows, transition)
        return transition

    def _decide(self, rows: Rows, stimulus: Stimulus) -> Transition:
        slice, evaluate = self._slice(rows, stimulus), self.evaluate
        if self._is_decided(stimulus):
            evaluate, stimulus = never, replace(stimulus, items=0)
        while True:
            try:
                return self.advance(rows.workflow, slice, stimulus, evaluate, self.limits)
            except DataNeeded as needs:
                self.needs[needs.need.what] += 1
                answer = self.need(rows, needs.need.what, *needs.need.args)
                slice = replace(slice, loaded={**slice.loaded, needs.need: answer})

    def need(self, rows: Rows, what: str, *args: Any) -> Any:
        """Answer a need of the core (`orchestrator.core.model.Need`)."""
        return ANSWERS[what](self, rows, *args)

    def _is_decided(self, stimulus: Stimulus) -> bool:
        """Whether the API decides the command in its request: without any expression, the rest of
        the agenda as stimuli."""
        return (
            self.decided
            and stimulus.kind is StimulusKind.COMMAND
            and stimulus.data.get("command") != "reconcile"
        )

    def _slice(self, rows: Rows, stimulus: Stimulus) -> Slice:
        attempt = rows.attempts.get(stimulus.ended.attempt) if stimulus.ended else None
        return Slice(rows.instance, chain(rows, stimulus.step or ROOT), attempt)

    def on_ignored(self, rows: Rows, stimulus: Stimulus) -> None:
        """Do what follows a stimulus that changed nothing."""
        end = stimulus.ended
        if end is not None and rows.attempts[end.attempt].state in LIVE:
            end_attempt(rows, end)

    def on_transition(self, rows: Rows, change: Transition) -> None:
        """Save a transition, and hand on what leaves its instance."""
        check_transition(rows, change)
        apply_transition(rows, change)
        self.events.extend(stored(event) for event in change.emitted)
        for child in change.children:
            parent = (rows.instance.id, child.parent_step) if child.parent_step else (None, None)
            more = {"parent_instance": parent[0], "parent_step": parent[1]}
            self.insert(child.workflow_id, child.input, child.id, state=child.state, **more)
        for note in change.stimuli:
            self.send_stimulus(
                note.instance or rows.instance.id, note.kind, note.step, note.data, run=False
            )

    # -- attempts --------------------

    def ready(self, id: str | None = None) -> list[Attempt]:
        """Attempts that a worker may claim, those of the oldest steps first."""
        return self._attempts(AttemptState.READY, id)

    def running(self, id: str | None = None) -> list[Attempt]:
        """Attempts that a worker has claimed."""
        return self._attempts(AttemptState.CLAIMED, id)

    def _attempts(self, state: AttemptState, id: str | None) -> list[Attempt]:
        some = [self.rows[id]] if id else self.rows.values()
        found = [one for rows in some for one in rows.attempts.values() if one.state is state]
        return sorted(found, key=lambda one: (one.step, one.number))

    def of(self, attempt: Attempt) -> Rows:
        """Return the rows of an attempt's instance."""
        return next(rows for rows in self.rows.values() if attempt.id in rows.attempts)

    def claim(self, attempt: Attempt) -> Attempt:
        """Claim a ready attempt for a worker."""
        rows = self.of(attempt)
        now = rows.attempts[attempt.id]
        require(now.state is AttemptState.READY, f"refused: {now.state}")
        rows.attempts[attempt.id] = replace(now, state=AttemptState.CLAIMED)
        return rows.attempts[attempt.id]

    def end(self, attempt: Attempt, end: AttemptEnd, *, run: bool = True) -> None:
        """Report the end of an attempt; claim it first if no worker has."""
        rows = self.of(attempt)
        if rows.attempts[attempt.id].state is AttemptState.READY and end.state is not (
            AttemptState.LOST
        ):
            self.claim(attempt)
        rows.inbox.append(self.stimulus(StimulusKind.RESULT, attempt.step, {}, ended=end))
        if run:
            self.drain()
