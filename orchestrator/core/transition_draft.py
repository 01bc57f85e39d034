"""The working copy of an instance while one transition is decided.

A `Draft` holds what the slice contains, with the changes so far, and collects what the transition
will do. It never leaves the core: `finish` turns it into an immutable `Transition`. If a decision
ends in `DataNeeded`, the draft is thrown away.

The file is longer than usual: every change of a decision goes through this class, which counts open
places, numbers and tasks, and is created once per transition.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from orchestrator.core.bounds import Bounds
from orchestrator.core.draft_nodes import Node, Root
from orchestrator.core.legal_status_changes import COMPENSATION, INSTANCE, STEP, change_status
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
"""The number of a step (or `ROOT`) that must continue, and the data for its next move."""


class Draft:
    """Everything about one transition: what it may read and what it has decided so far."""

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
        "items",
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
        #: The number of agenda items after which the caller ended the transition; None if it did
        #: not.
        self.items: int | None = None
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

    # -- what the decision may read ----

    @property
    def plan(self) -> WorkflowPlan:
        """The plan of the workflow."""
        return workflow_plan(self.workflow)

    def node(self, id: int) -> Node:
        """Return a step with the changes so far. Raises `DataNeeded` if the slice lacks it."""
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
        """Return the workflow's raw input, or the one that this transition has edited."""
        return self.edited_input[0] if self.edited_input else self.slice.instance.input

    def adopt(self, step: Step) -> Node:
        """Return the node of a step that was loaded besides the slice."""
        node = self.nodes.get(step.id)
        if node is None:
            node = self.nodes[step.id] = Node.of(step)
        return node

    def plan_of(self, node: Node) -> Plan:
        """Return the plan of a step's task."""
        plan = node.plan
        if plan is None:
            plan = node.plan = plan_of(self.workflow.task(node.reference))
        return plan

    def need(self, what: str, *args: Any) -> Any:
        """Return what was loaded for a need. Raises `DataNeeded` if it was not loaded yet."""
        need = Need(what, args)
        if need not in self.slice.loaded:
            raise DataNeeded(need)
        return self.slice.loaded[need]

    # -- numbers, ids, random values --------------------

    def number(self) -> int:
        """Return the next number of the instance, for a new step or for a completion."""
        self.root.last_number += 1
        return self.root.last_number

    def random_bits(self) -> int:
        """Return 128 random bits, derived from the transition's seed."""
        self.random_draws += 1
        text = b"%d:%d" % (self.seed, self.random_draws)
        return int.from_bytes(blake2b(text, digest_size=16).digest())

    def random_fraction(self) -> float:
        """Return a random number from 0 up to, but not including, 1."""
        return (self.random_bits() >> 75) / (1 << 53)

    def id(self) -> str:
        """Return a new UUIDv7 of the transition's time."""
        return uuid7(int(self.at.timestamp() * 1000), self.random_bits() & (1 << 74) - 1)

    # -- changes that the decision makes ----

    def add(self, node: Node) -> None:
        """Add a step that begins, and give it its number."""
        node.id = self.number()
        node.started_at = self.at
        self.nodes[node.id] = node
        self.new.append(node)
        self.facts.append(Fact("task.created", node.id))
        self.facts.append(Fact("task.started", node.id))

    def set_status(self, node: Node, status: Status) -> None:
        """Change a step's status. Raises `IllegalMove` if the table does not allow it."""
        node.status = change_status(STEP, node.status, status)
        node.ended_at = self.at if status in ENDED_STATUSES else None

    def set_instance_status(self, status: Status) -> None:
        """Change the instance's status. Raises `IllegalMove` as `set_status` does."""
        self.root.status = change_status(INSTANCE, self.root.status, status)
        self.root.ended_at = self.at if status in ENDED_STATUSES else None

    def set_compensation(self, state: Compensation) -> None:
        """Change the compensation's state. Raises `IllegalMove` as `set_status` does."""
        self.root.compensation = change_status(COMPENSATION, self.root.compensation, state)

    def add_fact(self, type: str, step: int | None = None, data: Json = None) -> None:
        """Add a fact to the history of this transition."""
        self.facts.append(Fact(type, step, data))

    def push(self, id: int, data: Json = None) -> None:
        """Put a step (or `ROOT`) on the agenda of this transition."""
        self.agenda.append((id, data))

    def arm(self, step: int, kind: TimerKind, seconds: float) -> datetime:
        """Arm a timer. Return when it is due."""
        due = self.at + timedelta(seconds=seconds)
        self.timers.append(Timer(step, kind, due))
        return due

    def remove_timers(self, step: int) -> None:
        """Remove a step's timers, also those armed in this transition."""
        self.timers = [timer for timer in self.timers if timer.step != step]
        self.timers_removed.append(step)

    def remove_listener(self, step: int) -> None:
        """Remove a step's listener, also if it was registered in this transition."""
        self.listeners = [listener for listener in self.listeners if listener.step != step]
        self.listeners_removed.append(step)

    def add_attempt(self, attempt: Attempt) -> None:
        """Add an attempt that workers may claim after the commit."""
        self.attempts.append(attempt)

    def send_stimulus(
        self, kind: StimulusKind, instance: str, step: int | None, data: Json
    ) -> None:
        """Send a stimulus to another instance."""
        self.stimuli.append(NewStimulus(kind, instance, step, data))

    # -- the finished transition ----

    def finish(self) -> Transition:
        """Return the transition that was decided."""
        created = self._created_steps()
        pruned = self.pruned
        changed = [node for node in self.nodes.values() if node.changed() and node.id not in pruned]
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
            items=self.items,
        )

    def _created_steps(self) -> list[Node]:
        """Return the new steps, without those that this transition itself pruned."""
        if not self.pruned:
            return self.new
        pruned = set(self.pruned)
        stored = []
        for node in self.new:
            if node.id in pruned or node.parent in pruned:
                pruned.add(node.id)
            else:
                stored.append(node)
        created_ids = {node.id for node in self.new}
        self.pruned = [id for id in self.pruned if id not in created_ids]
        return stored

    def count_open_leaves(self) -> tuple[int, int]:
        """Return how many open steps have no open children, and how many of these only wait."""
        leaves, waiting = (
            self.root.original.open_places,
            (self.root.original.state or {}).get("waiting", 0),
        )
        for node in self.nodes.values():
            original = node.original
            if (
                original is not None
                and original.open_children == 0
                and original.status in OPEN_STATUSES
            ):
                leaves -= 1
                waiting -= original.status is Status.WAITING
            if node.open_children == 0 and node.status in OPEN_STATUSES:
                leaves += 1
                waiting += node.status is Status.WAITING
        return leaves, waiting

    def _count_leaves(self) -> None:
        root = self.root
        root.open_places, waiting = self.count_open_leaves()
        if waiting != root.get_state("waiting", 0):
            root.set_state(waiting=waiting or None)
        if root.status is Status.RUNNING or root.status is Status.WAITING:
            still = root.open_places > 0 and waiting == root.open_places
            self.set_instance_status(Status.WAITING if still else Status.RUNNING)
