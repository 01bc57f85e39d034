"""The bounds of a transition and of an instance."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds (DESIGN, I17).

    `tasks`: tasks run in one transition; the rest of the agenda becomes stimuli. `last_number`: the
    greatest number of a step or a completion of an instance. `turns`: loop turns in a row that wait
    for nothing. `kept_turns`: turns of a loop whose steps are stored; the steps of later turns are
    deleted. `items`: items of a `for` stored in one row. `events`: events collected by one
    `listen`. `depth`: how deep sub-workflows nest. `other_namespaces`: whether sub-workflows may be
    of another namespace. `payload`: bytes of JSON that an expression, a join or a task's result may
    have.
    """

    tasks: int = 100
    last_number: int = 2_000_000
    turns: int = 10_000
    kept_turns: int = 1_000
    items: int = 100
    events: int = 10_000
    depth: int = 20
    other_namespaces: bool = False
    payload: int = 1 << 20
