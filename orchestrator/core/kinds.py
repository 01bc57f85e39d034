"""What a kind of task can do, and the register of all kinds.

One file of `core.tasks` stands behind each entry. A kind never calls another one: it enters,
completes or faults steps, and the engine asks the kind of whatever comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.nodes import Node
from orchestrator.core.plans import Plan
from orchestrator.core.values import Json, TimerKind
from orchestrator.core.work import Draft


class Faulted(Exception):
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
        given_up: bool = False,
    ) -> None:
        super().__init__(error)
        self.node = node
        self.error = error
        self.unknown = unknown
        self.running = running
        self.given_up = given_up


class Ignored(Exception):
    """The stimulus changes nothing; the argument says why."""


def _unexpected(what: str) -> Callable[..., Any]:
    def refuse(_: Draft, node: Node, *__: Any) -> Any:
        raise LookupError(f"{node.ref} ({node.kind}) expects no {what}")

    return refuse


def _never(*_: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Kind:
    """The moves of one kind of task.

    `enter` starts a step whose input is known. `go_on` continues one that said it would.
    `child_completed` is told of each child; a list's children follow each other by it.
    `catches` says whether the step handles a child's error, `caught` handles it, and is told
    whether something may run beside the child that faulted, below it.
    `timers`, `event` and `child` take what comes from outside.
    """

    enter: Callable[[Draft, Node, Plan], None]
    go_on: Callable[[Draft, Node, Json], None] = field(default=_unexpected("move"))
    child_completed: Callable[[Draft, Node, Node, str | None], None] = field(
        default=_unexpected("child")
    )
    catches: Callable[[Draft, Node, Node, Mapping[str, Json]], bool] = _never
    caught: Callable[[Draft, Node, Node, Mapping[str, Json], bool], None] = field(
        default=_unexpected("error")
    )
    timers: Mapping[TimerKind, Callable[[Draft, Node], None]] = field(default_factory=dict)
    event: Callable[[Draft, Node, Mapping[str, Json]], None] = field(default=_unexpected("event"))
    child: Callable[[Draft, Node, Mapping[str, Json]], None] = field(
        default=_unexpected("sub-workflow")
    )


#: Every kind of step, by its name in `Step.kind`.
KINDS: dict[str, Kind] = {}


def register(name: str, kind: Kind) -> None:
    """Make a kind known."""
    KINDS[name] = kind
