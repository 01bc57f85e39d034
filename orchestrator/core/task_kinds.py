"""The interface of a kind of task, and the register of all kinds.

Each entry is implemented by one file of `core.tasks`. A kind never calls another one: it begins,
completes or faults steps, and the engine calls the kind of the next step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.draft_nodes import Node
from orchestrator.core.model import Json, TimerKind
from orchestrator.core.task_plan import Plan
from orchestrator.core.transition_draft import Draft


class StepFaulted(Exception):
    """A step has faulted. Any move of a step may raise it; the engine catches it and searches the
    handler. `outcome_unknown`: the task's effects may have happened. `running`: the step was still
    working, and its work is to be stopped. `dead_letter`: the reason of the dead letter that the
    step becomes: ``lost`` (it lost as many attempts as it may) or ``undecided``; None: none.
    """

    def __init__(
        self,
        node: Node,
        error: Mapping[str, Json],
        *,
        outcome_unknown: bool = False,
        running: bool = False,
        dead_letter: str | None = None,
    ) -> None:
        super().__init__(error)
        self.node = node
        self.error = error
        self.outcome_unknown = outcome_unknown
        self.running = running
        self.dead_letter = dead_letter


class StimulusIgnored(Exception):
    """The stimulus changes nothing; the argument is the reason."""


def _unexpected(what: str) -> Callable[..., Any]:
    def refuse(_: Draft, node: Node, *__: Any) -> Any:
        raise LookupError(f"{node.reference} ({node.kind}) expects no {what}")

    return refuse


def _never(*_: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class TaskKind:
    """The moves of one kind of task.

    `enter` begins a step whose input is known. `on_agenda_item` continues it from the agenda.
    `on_child_completed` is called for each completed child, with the directive that follows it.
    `handles_error` says whether the step handles a child's error; `on_error` handles it, its last
    argument says whether steps beside the faulted child may be open. `on_timer`, `on_event` and
    `on_instance_ended` handle stimuli. `on_replaced` awaits the sub-workflow by which a step's task
    has replaced itself.
    """

    enter: Callable[[Draft, Node, Plan], None]
    on_agenda_item: Callable[[Draft, Node, Json], None] = field(default=_unexpected("move"))
    on_child_completed: Callable[[Draft, Node, Node, str | None], None] = field(
        default=_unexpected("child")
    )
    handles_error: Callable[[Draft, Node, Node, Mapping[str, Json]], bool] = _never
    on_error: Callable[[Draft, Node, Node, Mapping[str, Json], bool], None] = field(
        default=_unexpected("error")
    )
    on_timer: Mapping[TimerKind, Callable[[Draft, Node], None]] = field(default_factory=dict)
    on_event: Callable[[Draft, Node, Mapping[str, Json]], None] = field(
        default=_unexpected("event")
    )
    on_instance_ended: Callable[[Draft, Node, Mapping[str, Json]], None] = field(
        default=_unexpected("sub-workflow")
    )
    on_replaced: Callable[[Draft, Node, Mapping[str, Json]], None] = field(
        default=_unexpected("replacement")
    )


#: Every kind of step, by its name in `Step.kind`.
KINDS: dict[str, TaskKind] = {}


def register(name: str, kind: TaskKind) -> None:
    """Register a kind."""
    KINDS[name] = kind
