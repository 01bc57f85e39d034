"""The rows of an instance in memory, and the answers to the core's needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from orchestrator.core.model import (
    OPEN_STATUSES,
    Attempt,
    AttemptState,
    Instance,
    ItemChunk,
    Json,
    Listener,
    Step,
    Stimulus,
    Transition,
)
from orchestrator.document.model import Workflow
from orchestrator.document.version_order import version_key
from orchestrator.testing import in_memory_slices

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
    chunks: dict[tuple[int, int], ItemChunk] = field(default_factory=dict)
    inbox: list[Stimulus] = field(default_factory=list)
    history: list[Transition] = field(default_factory=list)
    dead_letters: list[Json] = field(default_factory=list)
    letters_closed: list[Json] = field(default_factory=list)


def chain(rows: Rows, step: int) -> dict[int, Step]:
    """A step with its ancestors."""
    return in_memory_slices.chain(rows.steps, step)


class Deployed(Protocol):
    """What needs beyond one instance are answered from; see `InstanceStore`."""

    workflows: dict[str, Workflow]
    secrets: dict[str, Json]


def _open(_: Deployed, rows: Rows) -> list[tuple[Step, Attempt | None]]:
    live = {one.step: one for one in rows.attempts.values() if one.state in LIVE}
    return [
        (step, live.get(step.id))
        for step in sorted(rows.steps.values(), key=lambda step: step.id)
        if step.status in OPEN_STATUSES or step.id in live
    ]


def _workflow(store: Deployed, _: Rows, namespace: str, name: str, version: str) -> str | None:
    prefix = f"{namespace}/{name}/"
    if version != "latest":
        return prefix + version if prefix + version in store.workflows else None
    versions = [id.removeprefix(prefix) for id in store.workflows if id.startswith(prefix)]
    return prefix + max(versions, key=version_key) if versions else None


def _secrets(store: Deployed, _: Rows, *names: str) -> Json:
    return {name: store.secrets[name] for name in names if name in store.secrets}


ANSWERS: dict[str, Callable[..., Any]] = {
    "open": _open,
    "children": lambda _, rows, parent: in_memory_slices.children(rows.steps, parent),
    "undo": lambda _, rows, before: in_memory_slices.undo(rows.steps, before),
    "items": lambda _, rows, step, index: in_memory_slices.items(rows.chunks, step, index),
    "attempt": lambda _, rows, step: in_memory_slices.newest(rows.attempts.values(), step),
    "workflow": _workflow,
    "tree": lambda *_: True,
    "stopped": lambda _, rows, run: in_memory_slices.stopped(rows.steps, run),
    "secrets": _secrets,
    "step": lambda _, rows, step: chain(rows, step),
}
