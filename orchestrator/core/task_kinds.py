"""What a kind of task can do, and the register of all kinds.

One file of `core.tasks` stands behind each entry. A kind never calls another one: it enters,
completes or faults steps, and the engine asks the kind of whatever comes next.
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
    """A step has faulted. Raised by whatever moves a step, caught by the engine, which looks
    for the one who handles it. `unknown`: nobody can say whether the effects happened.
    `running`: the step was still at work, and what it does is to be broken off. `given_up`: its
    attempts were lost as often as they may be."""

    def __init__(
        self,
        node: Node,
        error: Mapping[str, Json],
        *,
        unknown: bool = False,
        running: bool = False,
        is_exhausted: bool = False,
    ) -> None:
        super().__init__(error)
        self.node = node
        self.error = error
        self.unknown = unknown
        self.running = running
        self.is_exhausted = is_exhausted


class StimulusIgnored(Exception):
    """The stimulus changes nothing; the argument says why."""


def _unexpected(what: str) -> Callable[..., Any]:
    def refuse(_: Draft, node: Node, *__: Any) -> Any:
        raise LookupError(f"{node.ref} ({node.kind}) expects no {what}")

    return refuse


def _never(*_: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class TaskKind:
    """The moves of one kind of task.

    `enter` starts a step whose input is known. `go_on` continues one that said it would.
    `child_completed` is told of each child; a list's children follow each other by it.
    `catches` says whether the step handles a child's error, `caught` handles it, and is told
    whether something may run beside the child that faulted, below it.
    `timers`, `event` and `child` take what comes from outside.
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


#: Every kind of step, by its name in `Step.kind`.
KINDS: dict[str, TaskKind] = {}


def register(name: str, kind: TaskKind) -> None:
    """Make a kind known."""
    KINDS[name] = kind
