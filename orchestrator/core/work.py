"""The working copy of an instance while one transition is decided.

A `Draft` holds what the slice brought, changed as the decision goes on, and collects all
that the transition is to do. Nothing of it leaves the core: at the end `finish` turns it into
an immutable `Transition`; where a decision ends in `Needs`, the draft is thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from orchestrator.core.plans import Plan, WorkflowPlan, plan_of, workflow_plan
from orchestrator.core.transitions import COMPENSATION, INSTANCE, STEP, move
from orchestrator.core.values import (
    ENDED,
    OPEN,
    ROOT,
    Attempt,
    Chunk,
    Compensation,
    Ended,
    Fact,
    Instance,
    Json,
    Listener,
    Need,
    Needs,
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
from orchestrator.document.model import Workflow
from orchestrator.expressions import Evaluate
from orchestrator.ids import uuid7


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a transition and an instance (DESIGN, I17).

    `tasks` are run in one transition before it commits with a note to go on; `counter` is
    the greatest number an instance may give to its steps and completions; `turns` bounds
    loops backward that never leave the process; a loop keeps the steps of its first `kept`
    turns and forgets those of later ones as it goes; `items` of a `for` are stored together;
    `events` may be collected by one `listen`; sub-workflows nest up to `depth`.
    """

    tasks: int = 100
    counter: int = 2_000_000
    turns: int = 10_000
    kept: int = 1_000
    items: int = 100
    events: int = 10_000
    depth: int = 20


UNLOADED = object()
"""Stands for an input that the slice left out."""


class Living:
    """What a step and the instance have in common: a status, and a small memory."""

    __slots__ = ("state", "status")

    status: Status
    state: Any

    @property
    def is_open(self) -> bool:
        """Whether it has not ended yet."""
        return self.status in OPEN

    def remember(self, **values: Json) -> None:
        """Note something in `state`; a value of None forgets it."""
        state = {**(self.state or {}), **values}
        self.state = {key: value for key, value in state.items() if value is not None} or None

    def recall(self, name: str, default: Any = None) -> Any:
        """What `state` says under a name."""
        return default if self.state is None else self.state.get(name, default)


class Node(Living):
    """A step in the making; the fields are those of `Step`. `was` is the step as the slice
    had it, None for a new one."""

    __slots__ = (
        "_input",
        "_raw_input",
        "call",
        "done",
        "ended_at",
        "error",
        "id",
        "index",
        "kind",
        "open",
        "output",
        "parent",
        "plan",
        "raw_output",
        "ref",
        "scope",
        "started_at",
        "undo",
        "undoes",
        "unknown",
        "was",
    )

    id: int
    parent: int
    ref: str
    kind: str
    index: int | None
    _input: Json
    _raw_input: Json
    raw_output: Json  # before `output.as`; never saved
    output: Json
    scope: Any
    call: Json
    error: Json
    open: int
    done: int | None
    undo: str | None
    undoes: int | None
    unknown: bool
    started_at: datetime | None
    ended_at: datetime | None
    was: Step | None
    plan: Plan | None

    @classmethod
    def new(cls, parent: int, ref: str, kind: str, index: int | None, scope: Json) -> Node:
        """A step that has not begun: it gets its number when it is added to a draft."""
        node = cls()
        node.id = -1
        node.parent = parent
        node.ref = ref
        node.kind = kind
        node.status = Status.RUNNING
        node.index = index
        node.scope = scope
        node._input = node._raw_input = None
        node.output = node.state = node.call = node.error = None
        node.open = 0
        node.done = node.undo = node.undoes = node.started_at = node.ended_at = None
        node.unknown = False
        node.was = node.plan = node.raw_output = None
        return node

    @classmethod
    def of(cls, step: Step) -> Node:
        """A step that is saved, to be changed."""
        node = cls()
        node.id = step.id
        node.parent = step.parent
        node.ref = step.ref
        node.kind = step.kind
        node.status = step.status
        node.index = step.index
        node._input = step.input
        node._raw_input = step.raw_input
        node.output = step.output
        node.state = step.state
        node.scope = step.scope
        node.call = step.call
        node.error = step.error
        node.open = step.open
        node.done = step.done
        node.undo = step.undo
        node.undoes = step.undoes
        node.unknown = step.unknown
        node.started_at = step.started_at
        node.ended_at = step.ended_at
        node.was = step
        node.plan = node.raw_output = None
        return node

    def step(self) -> Step:
        """The value to be saved."""
        return Step(
            self.id,
            self.parent,
            self.ref,
            self.kind,
            self.status,
            self.index,
            None if self._input is UNLOADED else self._input,
            None if self._raw_input is UNLOADED else self._raw_input,
            self.output,
            self.state,
            self.scope,
            self.call,
            self.error,
            self.open,
            self.done,
            self.undo,
            self.undoes,
            self.unknown,
            self.started_at,
            self.ended_at,
        )

    @property
    def input(self) -> Json:
        """The task's input. Raises `Needs` where the slice left it out."""
        return self._there(self._input)

    @input.setter
    def input(self, value: Json) -> None:
        self._input = value

    @property
    def raw_input(self) -> Json:
        """What came before ``input.from``, where that differs. Raises `Needs` as `input`."""
        return self._there(self._raw_input)

    @raw_input.setter
    def raw_input(self, value: Json) -> None:
        self._raw_input = value

    def _there(self, value: Json) -> Json:
        if value is UNLOADED:
            raise Needs(Need("input", (self.id,)))
        return value

    def changed(self) -> bool:
        """Whether it is saved and differs from that. Payloads are compared by identity."""
        was = self.was
        return was is not None and not (
            self.status is was.status
            and self.output is was.output
            and self.state is was.state
            and self.open == was.open
            and self.done == was.done
            and self.undo == was.undo
            and self.error is was.error
            and self.unknown is was.unknown
            and self.call is was.call
            and self.scope is was.scope
            and self.ended_at is was.ended_at
        )


class Root(Living):
    """The instance in the making; the fields are those of `Instance`."""

    __slots__ = (
        "compensation",
        "context",
        "counter",
        "ended_at",
        "error",
        "open",
        "output",
        "run",
        "started_at",
        "was",
    )

    def __init__(self, instance: Instance) -> None:
        self.was = instance
        self.status = instance.status
        self.compensation = instance.compensation
        self.run = instance.run
        self.counter = instance.counter
        self.open = instance.open
        self.output: Json = instance.output
        self.error: Json = instance.error
        self.context: Json = instance.context
        self.state: Any = instance.state
        self.started_at = instance.started_at
        self.ended_at = instance.ended_at

    def instance(self) -> Instance:
        """The value to be saved."""
        was = self.was
        return Instance(
            was.id,
            was.namespace,
            was.workflow_id,
            self.status,
            self.compensation,
            self.run,
            was.sequence + 1,
            self.counter,
            self.open,
            was.input,
            self.output,
            self.error,
            self.context,
            self.state,
            was.created_at,
            self.started_at,
            self.ended_at,
            was.parent_instance,
            was.parent_step,
            was.business_id,
        )


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
        "closed",
        "dead_letters",
        "disarmed",
        "emitted",
        "ended",
        "evaluate",
        "facts",
        "ignored",
        "limits",
        "listeners",
        "new",
        "nodes",
        "pruned",
        "root",
        "seed",
        "slice",
        "spent",
        "stimuli",
        "timers",
        "turns",
        "used",
        "withdrawn",
        "workflow",
    )

    def __init__(
        self,
        workflow: Workflow,
        slice: Slice,
        stimulus: Stimulus,
        evaluate: Evaluate,
        limits: Limits,
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
        self.spent = 0
        self.turns = 0
        self.used = 0
        self.ignored: str | None = None
        self.ended: list[Ended] = []
        self.attempts: list[Attempt] = []
        self.withdrawn: list[int] = []
        self.timers: list[Timer] = []
        self.disarmed: list[int] = []
        self.listeners: list[Listener] = []
        self.closed: list[int] = []
        self.emitted: list[Json] = []
        self.children: list[NewInstance] = []
        self.stimuli: list[NewStimulus] = []
        self.facts: list[Fact] = []
        self.pruned: list[int] = []
        self.chunks: list[Chunk] = []
        self.dead_letters: list[Json] = []

    # -- looking --------------------

    @property
    def plan(self) -> WorkflowPlan:
        """What the core derived from the workflow."""
        return workflow_plan(self.workflow)

    def node(self, id: int) -> Node:
        """The step, as far as it has been decided; raises `Needs` where the slice lacks it."""
        node = self.nodes.get(id)
        if node is None:
            step = self.slice.steps.get(id)
            if step is None:
                step = self.need("step", id).get(id)
                if step is None:
                    raise LookupError(f"there is no step {id}")
            node = self.nodes[id] = Node.of(step)
            if id in self.slice.partial:
                self._leave_out(node)
        return node

    def _leave_out(self, node: Node) -> None:
        """The slice lacks the step's input, unless it has been loaded since."""
        given = self.slice.loaded.get(Need("input", (node.id,)))
        node.input = UNLOADED if given is None else given["input"]
        node.raw_input = UNLOADED if given is None else given["raw_input"]

    def instance_input(self) -> Json:
        """The workflow's raw input; raises `Needs` where the slice left it out."""
        if ROOT in self.slice.partial:
            return self.need("input", ROOT)["input"]
        return self.slice.instance.input

    def known(self, step: Step) -> Node:
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
        """What was loaded for a need; raises `Needs` if nothing was yet."""
        need = Need(what, args)
        if need not in self.slice.loaded:
            raise Needs(need)
        return self.slice.loaded[need]

    # -- numbers, ids, chance --------------------

    def number(self) -> int:
        """The next number of the instance: for a step, or for the order of completion."""
        self.root.counter += 1
        return self.root.counter

    def bits(self) -> int:
        """128 random bits that follow from the transition's seed."""
        self.used += 1
        text = b"%d:%d" % (self.seed, self.used)
        return int.from_bytes(blake2b(text, digest_size=16).digest())

    def chance(self) -> float:
        """A random number of [0, 1)."""
        return (self.bits() >> 75) / (1 << 53)

    def id(self) -> str:
        """A new UUIDv7 of the transition's time."""
        return uuid7(int(self.at.timestamp() * 1000), self.bits() & (1 << 74) - 1)

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
        node.ended_at = self.at if status in ENDED else None

    def set_instance_status(self, status: Status) -> None:
        """Move the instance to another status, if the table allows it."""
        self.root.status = move(INSTANCE, self.root.status, status)
        self.root.ended_at = self.at if status in ENDED else None

    def set_compensation(self, state: Compensation) -> None:
        """Move the instance's compensation to another state, if the table allows it."""
        self.root.compensation = move(COMPENSATION, self.root.compensation, state)

    def fact(self, type: str, step: int | None = None, data: Json = None) -> None:
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

    def disarm(self, step: int) -> None:
        """Remove a step's timers, those of this transition included."""
        self.timers = [timer for timer in self.timers if timer.step != step]
        self.disarmed.append(step)

    def close(self, step: int) -> None:
        """Remove a step's listener, also one of this transition."""
        self.listeners = [listener for listener in self.listeners if listener.step != step]
        self.closed.append(step)

    def dispatch(self, attempt: Attempt) -> None:
        """Hand a step off to a worker."""
        self.attempts.append(attempt)

    def tell(self, kind: StimulusKind, instance: str, step: int | None, data: Json) -> None:
        """Note something for another instance."""
        self.stimuli.append(NewStimulus(kind, instance, step, data))

    # -- the end --------------------

    def finish(self) -> Transition:
        """The transition that has been decided."""
        created = self._kept()
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
            tuple(self.disarmed),
            tuple(self.listeners),
            tuple(self.closed),
            tuple(self.emitted),
            tuple(self.children),
            tuple(self.stimuli),
            tuple(self.facts),
            tuple(self.pruned),
            tuple(self.chunks),
            tuple(self.dead_letters),
        )

    def _kept(self) -> list[Node]:
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

    def leaves(self) -> tuple[int, int]:
        """How many open steps have no open children, and how many of them only wait."""
        leaves, waiting = self.root.was.open, (self.root.was.state or {}).get("waiting", 0)
        for node in self.nodes.values():
            was = node.was
            if was is not None and was.open == 0 and was.status in OPEN:
                leaves -= 1
                waiting -= was.status is Status.WAITING
            if node.open == 0 and node.status in OPEN:
                leaves += 1
                waiting += node.status is Status.WAITING
        return leaves, waiting

    def _count_leaves(self) -> None:
        root = self.root
        root.open, waiting = self.leaves()
        if waiting != root.recall("waiting", 0):
            root.remember(waiting=waiting or None)
        if root.status is Status.RUNNING or root.status is Status.WAITING:
            still = root.open > 0 and waiting == root.open
            self.set_instance_status(Status.WAITING if still else Status.RUNNING)


def parent_of(draft: Draft, node: Node) -> Node | None:
    """The step that contains this one; None under the root."""
    return None if node.parent == ROOT else draft.node(node.parent)
