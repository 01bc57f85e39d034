"""The working copy of an instance while one transition is decided.

A `Draft` holds what the slice brought, changed as the decision goes on, and collects all
that the transition is to do. Nothing of it leaves the core: at the end `finish` turns it into
an immutable `Transition`; where a decision ends in `DataNeeded`, the draft is thrown away.

Longer than a file should be: whatever a decision changes goes through this one class, which
counts places, numbers and moves as it does, and is made for every transition.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from orchestrator.core.bounds import Bounds
from orchestrator.core.draft_nodes import Node, Root
from orchestrator.core.legal_status_changes import COMPENSATION, INSTANCE, STEP, move
from orchestrator.core.model import (
    ENDED_STATUSES,
    OPEN_STATUSES,
    Attempt,
    AttemptEnd,
    Compensation,
    DataNeeded,
    Fact,
    ItemChunk,
    Json,
    Listener,
    Need,
    NewInstance,
    NewStimulus,
    Slice,
    Status,
    Step,
    Stimulus,
    StimulusKind,
    Timer,
    TimerKind,
    Transition,
)
from orchestrator.core.task_plan import Plan, WorkflowPlan, plan_of, workflow_plan
from orchestrator.document.model import Workflow
from orchestrator.expressions import Evaluate
from orchestrator.ids import uuid7

Agenda = tuple[int, Any]
"""A step (or `ROOT`) that must go on, and what its next move is to know."""


class Draft:
    """Everything about one transition: what it may see, what it has decided so far."""

    __slots__ = (
        "agenda",
        "at",
        "attempts",
        "children",
        "chunks",
        "dead_letters",
        "edited_input",
        "emitted",
        "ended",
        "evaluate",
        "facts",
        "letters_closed",
        "limits",
        "listeners",
        "listeners_removed",
        "loop_turns",
        "new",
        "nodes",
        "pruned",
        "random_draws",
        "returned",
        "root",
        "seed",
        "slice",
        "stimuli",
        "tasks_run",
        "timers",
        "timers_removed",
        "withdrawn",
        "workflow",
    )

    def __init__(
        self,
        workflow: Workflow,
        slice: Slice,
        stimulus: Stimulus,
        evaluate: Evaluate,
        limits: Bounds,
    ) -> None:
        self.workflow = workflow
        self.slice = slice
        self.evaluate = evaluate
        self.limits = limits
        self.at = stimulus.at
        self.seed = stimulus.seed
        self.root = Root(slice.instance)
        self.nodes: dict[int, Node] = {}
        self.new: list[Node] = []
        self.agenda: list[Agenda] = []
        self.tasks_run = 0
        self.loop_turns = 0
        self.random_draws = 0
        self.ended: list[AttemptEnd] = []
        self.attempts: list[Attempt] = []
        self.withdrawn: list[int] = []
        self.timers: list[Timer] = []
        self.timers_removed: list[int] = []
        self.listeners: list[Listener] = []
        self.listeners_removed: list[int] = []
        self.emitted: list[Json] = []
        self.children: list[NewInstance] = []
        self.stimuli: list[NewStimulus] = []
        self.facts: list[Fact] = []
        self.pruned: list[int] = []
        self.chunks: list[ItemChunk] = []
        self.dead_letters: list[Json] = []
        self.letters_closed: list[Json] = []
        self.returned: list[tuple[int, int]] = []
        self.edited_input: tuple[Json, ...] = ()

    # -- looking --------------------

    @property
    def plan(self) -> WorkflowPlan:
        """What the core derived from the workflow."""
        return workflow_plan(self.workflow)

    def node(self, id: int) -> Node:
        """The step, as far as it has been decided; raises `DataNeeded` where the slice lacks it."""
        node = self.nodes.get(id)
        if node is None:
            step = self.slice.steps.get(id)
            if step is None:
                step = self.need("step", id).get(id)
                if step is None:
                    raise LookupError(f"there is no step {id}")
            node = self.nodes[id] = Node.of(step)
        return node

    def instance_input(self) -> Json:
        """The workflow's raw input, as a retry edited it in this transition."""
        return self.edited_input[0] if self.edited_input else self.slice.instance.input

    def adopt(self, step: Step) -> Node:
        """The node of a step that was loaded, whole, besides the slice."""
        node = self.nodes.get(step.id)
        if node is None:
            node = self.nodes[step.id] = Node.of(step)
        return node

    def plan_of(self, node: Node) -> Plan:
        """The plan of a step's task."""
        plan = node.plan
        if plan is None:
            plan = node.plan = plan_of(self.workflow.task(node.ref))
        return plan

    def need(self, what: str, *args: Any) -> Any:
        """What was loaded for a need; raises `DataNeeded` if nothing was yet."""
        need = Need(what, args)
        if need not in self.slice.loaded:
            raise DataNeeded(need)
        return self.slice.loaded[need]

    # -- numbers, ids, chance --------------------

    def number(self) -> int:
        """The next number of the instance: for a step, or for the order of completion."""
        self.root.counter += 1
        return self.root.counter

    def random_bits(self) -> int:
        """128 random bits that follow from the transition's seed."""
        self.random_draws += 1
        text = b"%d:%d" % (self.seed, self.random_draws)
        return int.from_bytes(blake2b(text, digest_size=16).digest())

    def random_fraction(self) -> float:
        """A random number of [0, 1)."""
        return (self.random_bits() >> 75) / (1 << 53)

    def id(self) -> str:
        """A new UUIDv7 of the transition's time."""
        return uuid7(int(self.at.timestamp() * 1000), self.random_bits() & (1 << 74) - 1)

    # -- deciding --------------------

    def add(self, node: Node) -> None:
        """A step begins."""
        node.id = self.number()
        node.started_at = self.at
        self.nodes[node.id] = node
        self.new.append(node)
        self.facts.append(Fact("task.created", node.id))
        self.facts.append(Fact("task.started", node.id))

    def set_status(self, node: Node, status: Status) -> None:
        """Move a step to another status, if the table allows it."""
        node.status = move(STEP, node.status, status)
        node.ended_at = self.at if status in ENDED_STATUSES else None

    def set_instance_status(self, status: Status) -> None:
        """Move the instance to another status, if the table allows it."""
        self.root.status = move(INSTANCE, self.root.status, status)
        self.root.ended_at = self.at if status in ENDED_STATUSES else None

    def set_compensation(self, state: Compensation) -> None:
        """Move the instance's compensation to another state, if the table allows it."""
        self.root.compensation = move(COMPENSATION, self.root.compensation, state)

    def add_fact(self, type: str, step: int | None = None, data: Json = None) -> None:
        """Something happened that history is to tell."""
        self.facts.append(Fact(type, step, data))

    def push(self, id: int, data: Json = None) -> None:
        """The step (or `ROOT`) goes on later in this transition, or in one that follows."""
        self.agenda.append((id, data))

    def arm(self, step: int, kind: TimerKind, seconds: float) -> datetime:
        """Set a timer; returns when it is due."""
        due = self.at + timedelta(seconds=seconds)
        self.timers.append(Timer(step, kind, due))
        return due

    def remove_timers(self, step: int) -> None:
        """Remove a step's timers, those of this transition included."""
        self.timers = [timer for timer in self.timers if timer.step != step]
        self.timers_removed.append(step)

    def remove_listener(self, step: int) -> None:
        """Remove a step's listener, also one of this transition."""
        self.listeners = [listener for listener in self.listeners if listener.step != step]
        self.listeners_removed.append(step)

    def add_attempt(self, attempt: Attempt) -> None:
        """Hand a step off to a worker."""
        self.attempts.append(attempt)

    def send_stimulus(
        self, kind: StimulusKind, instance: str, step: int | None, data: Json
    ) -> None:
        """Note something for another instance."""
        self.stimuli.append(NewStimulus(kind, instance, step, data))

    # -- the end --------------------

    def finish(self) -> Transition:
        """The transition that has been decided."""
        created = self._created_steps()
        gone = self.pruned
        changed = [node for node in self.nodes.values() if node.changed() and node.id not in gone]
        self._count_leaves()
        return Transition(
            self.root.instance(),
            tuple([node.step() for node in created]),
            tuple([node.step() for node in changed]),
            tuple(self.ended),
            tuple(self.attempts),
            tuple(self.withdrawn),
            tuple(self.timers),
            tuple(self.timers_removed),
            tuple(self.listeners),
            tuple(self.listeners_removed),
            tuple(self.emitted),
            tuple(self.children),
            tuple(self.stimuli),
            tuple(self.facts),
            tuple(self.pruned),
            tuple(self.chunks),
            tuple(self.dead_letters),
            tuple(self.letters_closed),
            tuple(self.returned),
            self.edited_input,
        )

    def _created_steps(self) -> list[Node]:
        """The new steps, without those that were pruned in the transition that made them."""
        if not self.pruned:
            return self.new
        gone = set(self.pruned)
        kept = []
        for node in self.new:
            if node.id in gone or node.parent in gone:
                gone.add(node.id)
            else:
                kept.append(node)
        made = {node.id for node in self.new}
        self.pruned = [id for id in self.pruned if id not in made]
        return kept

    def count_open_leaves(self) -> tuple[int, int]:
        """How many open steps have no open children, and how many of them only wait."""
        leaves, waiting = (
            self.root.original.open,
            (self.root.original.state or {}).get("waiting", 0),
        )
        for node in self.nodes.values():
            original = node.original
            if original is not None and original.open == 0 and original.status in OPEN_STATUSES:
                leaves -= 1
                waiting -= original.status is Status.WAITING
            if node.open == 0 and node.status in OPEN_STATUSES:
                leaves += 1
                waiting += node.status is Status.WAITING
        return leaves, waiting

    def _count_leaves(self) -> None:
        root = self.root
        root.open, waiting = self.count_open_leaves()
        if waiting != root.get_state("waiting", 0):
            root.set_state(waiting=waiting or None)
        if root.status is Status.RUNNING or root.status is Status.WAITING:
            still = root.open > 0 and waiting == root.open
            self.set_instance_status(Status.WAITING if still else Status.RUNNING)
