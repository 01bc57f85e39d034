"""Lines of an instance's history as the DSL's lifecycle events (dsl-reference.md, Lifecycle
Events): pure, so that the same line is the same event whoever tells of it.

An event's id is made of the instance, the number of the transition and the place in it; its
source names the workflow's version and its subject the instance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from orchestrator.core.model import Json
from orchestrator.event_handler.compiled_event_filter import LIFECYCLE

#: The facts that the DSL has events for, and what they call the time.
TIME_FIELDS = {
    "workflow.started": "startedAt",
    "workflow.suspended": "suspendedAt",
    "workflow.resumed": "resumedAt",
    "workflow.correlation-started": "startedAt",
    "workflow.correlation-completed": "completedAt",
    "workflow.cancelled": "cancelledAt",
    "workflow.faulted": "faultedAt",
    "workflow.completed": "completedAt",
    "task.created": "createdAt",
    "task.started": "startedAt",
    "task.suspended": "suspendedAt",
    "task.resumed": "resumedAt",
    "task.retried": "retriedAt",
    "task.cancelled": "cancelledAt",
    "task.faulted": "faultedAt",
    "task.completed": "completedAt",
}


@dataclass(frozen=True, slots=True)
class TransitionFacts:
    """One transition of an instance. `facts` are as history keeps them: ``[type, step, data?]``."""

    namespace: str
    workflow: str
    version: str
    instance: str
    sequence: int
    at: datetime
    facts: list[list[Json]]


@dataclass(frozen=True, slots=True)
class StepContext:
    """What history does not repeat: by (instance, step), the reference of a task, and what a
    step (or, at step 0, the instance) has as its output."""

    references: Mapping[tuple[str, int], str] = field(default_factory=dict)
    outputs: Mapping[tuple[str, int], Json] = field(default_factory=dict)


def type_of(fact: str) -> str | None:
    """The type of the event that tells of a fact; None where the DSL has none."""
    return f"{LIFECYCLE}{fact}.v1" if fact in TIME_FIELDS else None


def events_of(happened: TransitionFacts, known: StepContext) -> Iterator[dict[str, Json]]:
    """The events of a transition, in its order. A step that is forgotten by now, as those of
    long loops are, has no reference to be told by, and is left out."""
    for place, (fact, step, *more) in enumerate(happened.facts):
        type = type_of(fact)
        if type is None:
            continue
        about = _about(happened, known, fact, step)
        if about is not None:
            yield {
                "specversion": "1.0",
                "id": f"{happened.instance}:{happened.sequence}:{place}",
                "source": f"/{happened.namespace}/{happened.workflow}/{happened.version}",
                "type": type,
                "subject": happened.instance,
                "time": _utc(happened.at),
                "datacontenttype": "application/json",
                "data": {**about, **_more(happened, known, fact, step, more[0] if more else None)},
            }


def _about(
    happened: TransitionFacts, known: StepContext, fact: str, step: int | None
) -> dict[str, Json] | None:
    name = f"{happened.workflow}-{happened.instance}.{happened.namespace}"
    if not fact.startswith("task."):
        return {"name": name}
    reference = known.references.get((happened.instance, step or 0))
    return None if reference is None else {"workflow": name, "task": reference}


def _more(
    happened: TransitionFacts, known: StepContext, fact: str, step: int | None, data: Json
) -> dict[str, Json]:
    found: dict[str, Json] = {TIME_FIELDS[fact]: _utc(happened.at)}
    if fact == "workflow.started":
        found["definition"] = {
            "name": happened.workflow,
            "namespace": happened.namespace,
            "version": happened.version,
        }
    if fact.endswith(".faulted") and data:
        found["error"] = data.get("error")
    if fact == "workflow.correlation-completed" and data:
        found["correlationKeys"] = data.get("keys")
    if fact.endswith(".completed"):
        output = known.outputs.get((happened.instance, step or 0))
        if output is not None:
            found["output"] = output
    return found


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
