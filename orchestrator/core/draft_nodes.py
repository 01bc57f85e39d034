"""Mutable copies of steps and of the instance, for one transition.

They have the fields of `Step` and `Instance`, and keep the saved value in `original`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from orchestrator.core.model import OPEN_STATUSES, Instance, Json, Status, Step
from orchestrator.core.task_plan import Plan


class DraftState:
    """What a step and the instance have in common: a status and a small `state`."""

    __slots__ = ("state", "status")

    status: Status
    state: Any

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.status in OPEN_STATUSES

    def set_state(self, **values: Json) -> None:
        """Set values in `state`. A value of None removes the key."""
        state = {**(self.state or {}), **values}
        self.state = {key: value for key, value in state.items() if value is not None} or None

    def get_state(self, name: str, default: Any = None) -> Any:
        """Return a value of `state`, or `default`."""
        return default if self.state is None else self.state.get(name, default)


class Node(DraftState):
    """A mutable step, with the fields of `Step`. `original` is the step as it was loaded; None for
    a new one."""

    __slots__ = (
        "call",
        "compensated_by",
        "compensates",
        "completion_number",
        "ended_at",
        "error",
        "id",
        "index",
        "input",
        "kind",
        "open_children",
        "original",
        "outcome_unknown",
        "output",
        "parent",
        "plan",
        "raw_input",
        "raw_output",
        "reference",
        "scope",
        "started_at",
    )

    id: int
    parent: int
    reference: str
    kind: str
    index: int | None
    input: Json
    raw_input: Json
    raw_output: Json  # before `output.as`; never saved
    output: Json
    scope: Any
    call: Json
    error: Json
    open_children: int
    completion_number: int | None
    compensated_by: str | None
    compensates: int | None
    outcome_unknown: bool
    started_at: datetime | None
    ended_at: datetime | None
    original: Step | None
    plan: Plan | None

    @classmethod
    def new(cls, parent: int, ref: str, kind: str, index: int | None, scope: Json) -> Node:
        """Make a step that has not begun. It gets its number when a draft adds it."""
        node = cls()
        node.id = -1
        node.parent = parent
        node.reference = ref
        node.kind = kind
        node.status = Status.RUNNING
        node.index = index
        node.scope = scope
        node.input = node.raw_input = None
        node.output = node.state = node.call = node.error = None
        node.open_children = 0
        node.completion_number = node.compensated_by = node.compensates = node.started_at = (
            node.ended_at
        ) = None
        node.outcome_unknown = False
        node.original = node.plan = node.raw_output = None
        return node

    @classmethod
    def of(cls, step: Step) -> Node:
        """Make the mutable copy of a saved step."""
        node = cls()
        node.id = step.id
        node.parent = step.parent
        node.reference = step.reference
        node.kind = step.kind
        node.status = step.status
        node.index = step.index
        node.input = step.input
        node.raw_input = step.raw_input
        node.output = step.output
        node.state = step.state
        node.scope = step.scope
        node.call = step.call
        node.error = step.error
        node.open_children = step.open_children
        node.completion_number = step.completion_number
        node.compensated_by = step.compensated_by
        node.compensates = step.compensates
        node.outcome_unknown = step.outcome_unknown
        node.started_at = step.started_at
        node.ended_at = step.ended_at
        node.original = step
        node.plan = node.raw_output = None
        return node

    @property
    def uses_attempts(self) -> bool:
        """Whether workers do the step's work: a call, or a process that is no sub-workflow."""
        return self.kind == "call" or (self.kind == "run" and self.call is not None)

    def step(self) -> Step:
        """Return the value to be saved."""
        return Step(
            self.id,
            self.parent,
            self.reference,
            self.kind,
            self.status,
            self.index,
            self.input,
            self.raw_input,
            self.output,
            self.state,
            self.scope,
            self.call,
            self.error,
            self.open_children,
            self.completion_number,
            self.compensated_by,
            self.compensates,
            self.outcome_unknown,
            self.started_at,
            self.ended_at,
        )

    def changed(self) -> bool:
        """Whether a saved step differs from `original`. Payloads are compared by identity."""
        original = self.original
        return original is not None and not (
            self.status is original.status
            and self.output is original.output
            and self.state is original.state
            and self.open_children == original.open_children
            and self.completion_number == original.completion_number
            and self.compensated_by == original.compensated_by
            and self.error is original.error
            and self.outcome_unknown is original.outcome_unknown
            and self.call is original.call
            and self.scope is original.scope
            and self.ended_at is original.ended_at
        )


class Root(DraftState):
    """The mutable instance, with the fields of `Instance`."""

    __slots__ = (
        "compensation",
        "context",
        "ended_at",
        "error",
        "last_number",
        "open_places",
        "original",
        "output",
        "run",
        "started_at",
    )

    def __init__(self, instance: Instance) -> None:
        self.original = instance
        self.status = instance.status
        self.compensation = instance.compensation
        self.run = instance.run
        self.last_number = instance.last_number
        self.open_places = instance.open_places
        self.output: Json = instance.output
        self.error: Json = instance.error
        self.context: Json = instance.context
        self.state: Any = instance.state
        self.started_at = instance.started_at
        self.ended_at = instance.ended_at

    def instance(self) -> Instance:
        """Return the value to be saved."""
        original = self.original
        return Instance(
            original.id,
            original.namespace,
            original.workflow_id,
            self.status,
            self.compensation,
            self.run,
            original.sequence + 1,
            self.last_number,
            self.open_places,
            original.input,
            self.output,
            self.error,
            self.context,
            self.state,
            original.created_at,
            self.started_at,
            self.ended_at,
            original.parent_instance,
            original.parent_step,
            original.business_id,
        )
