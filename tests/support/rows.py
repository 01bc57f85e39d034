"""The rows of an instance in memory, and the answers to what the core may need of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestrator.core.values import (
    OPEN,
    ROOT,
    Attempt,
    AttemptState,
    Chunk,
    Instance,
    Json,
    Listener,
    Status,
    Step,
    Stimulus,
    Transition,
)
from orchestrator.document.model import Workflow

if TYPE_CHECKING:
    from tests.support.world import World

LIVE = (AttemptState.READY, AttemptState.CLAIMED)


@dataclass
class Rows:
    """All rows of one instance."""

    instance: Instance
    workflow: Workflow
    steps: dict[int, Step] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    timers: dict[tuple[int, str], datetime] = field(default_factory=dict)
    listeners: dict[int, Listener] = field(default_factory=dict)
    chunks: dict[tuple[int, int], Chunk] = field(default_factory=dict)
    inbox: list[Stimulus] = field(default_factory=list)
    history: list[Transition] = field(default_factory=list)
    dead_letters: list[Json] = field(default_factory=list)
    settled: list[Json] = field(default_factory=list)


def chain(rows: Rows, step: int) -> dict[int, Step]:
    """A step with its ancestors."""
    found: dict[int, Step] = {}
    while step != ROOT and step in rows.steps:
        found[step] = rows.steps[step]
        step = found[step].parent
    return found


def _open(_: World, rows: Rows) -> list[tuple[Step, Attempt | None]]:
    live = {one.step: one for one in rows.attempts.values() if one.state in LIVE}
    return [
        (step, live.get(step.id))
        for step in sorted(rows.steps.values(), key=lambda step: step.id)
        if step.status in OPEN or step.id in live
    ]


def _children(_: World, rows: Rows, parent: int) -> list[Step]:
    found = [step for step in rows.steps.values() if step.parent == parent]
    return [replace(step, input=None) for step in sorted(found, key=lambda step: step.id)]


def _undo(_: World, rows: Rows, before: int) -> tuple[Step | None, dict[int, Step]]:
    found = [
        step
        for step in rows.steps.values()
        if step.undo is not None
        and step.done is not None
        and step.done < before
        and (step.status is Status.COMPLETED or step.unknown)
    ]
    if not found:
        return None, {}
    step = max(found, key=lambda step: step.done or 0)
    return step, chain(rows, step.id)


def _items(_: World, rows: Rows, step: int, index: int) -> Chunk | None:
    found = [one for (of, at), one in rows.chunks.items() if of == step and at <= index]
    return max(found, key=lambda one: one.index, default=None)


def _attempt(_: World, rows: Rows, step: int) -> Attempt | None:
    found = [one for one in rows.attempts.values() if one.step == step]
    return max(found, key=lambda one: one.number, default=None)


def _workflow(world: World, _: Rows, namespace: str, name: str, version: str) -> str | None:
    wanted = f"{namespace}/{name}/" + ("" if version == "latest" else version)
    return max((id for id in world.workflows if id.startswith(wanted)), default=None)


def _stopped(_: World, rows: Rows, run: int) -> list[Step]:
    return [
        step
        for step in sorted(rows.steps.values(), key=lambda step: step.id)
        if (step.state or {}).get("stopped") == run
    ]


def _input(_: World, rows: Rows, step: int) -> Json:
    if step == ROOT:
        return {"input": rows.instance.input, "raw_input": None}
    return {"input": rows.steps[step].input, "raw_input": rows.steps[step].raw_input}


def _secrets(world: World, _: Rows, *names: str) -> Json:
    return {name: world.secrets[name] for name in names if name in world.secrets}


ANSWERS: dict[str, Callable[..., Any]] = {
    "open": _open,
    "children": _children,
    "undo": _undo,
    "items": _items,
    "attempt": _attempt,
    "workflow": _workflow,
    "stopped": _stopped,
    "secrets": _secrets,
    "input": _input,
    "step": lambda _, rows, step: chain(rows, step),
}
