"""Converts an instance's history to the DSL's lifecycle events (dsl-reference.md, Lifecycle
Events): pure, so that every process makes the same event from the same fact.

An event's id consists of the instance, the transition's number and the fact's index in it. Its
source is the workflow version and its subject the instance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from orchestrator.core.model import Json
from orchestrator.event_handler.compiled_event_filter import LIFECYCLE

#: The facts that have lifecycle events in the DSL, and the name of their time field.
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
    """One transition of an instance. `facts` have the form of history: ``[type, step, data?]``."""

    namespace: str
    workflow: str
    version: str
    instance: str
    sequence: int
    at: datetime
    facts: list[list[Json]]


@dataclass(frozen=True, slots=True)
class StepContext:
    """Data that history does not have, by (instance, step): the reference of the step's task, and
    the output of the step (or, at step 0, of the instance)."""

    references: Mapping[tuple[str, int], str] = field(default_factory=dict)
    outputs: Mapping[tuple[str, int], Json] = field(default_factory=dict)


def type_of(fact: str) -> str | None:
    """Return the event type of a fact; None if the DSL has none."""
    return f"{LIFECYCLE}{fact}.v1" if fact in TIME_FIELDS else None


def events_of(transition: TransitionFacts, context: StepContext) -> Iterator[dict[str, Json]]:
    """Yield the events of a transition, in its order. A deleted step (long loops delete their
    steps) has no reference any more; its events are omitted."""
    for index, (fact, step, *more) in enumerate(transition.facts):
        type = type_of(fact)
        if type is None:
            continue
        about = _subject_fields(transition, context, fact, step)
        if about is not None:
            yield {
                "specversion": "1.0",
                "id": f"{transition.instance}:{transition.sequence}:{index}",
                "source": f"/{transition.namespace}/{transition.workflow}/{transition.version}",
                "type": type,
                "subject": transition.instance,
                "time": _utc(transition.at),
                "datacontenttype": "application/json",
                "data": {
                    **about,
                    **_further_fields(transition, context, fact, step, more[0] if more else None),
                },
            }


def _subject_fields(
    transition: TransitionFacts, context: StepContext, fact: str, step: int | None
) -> dict[str, Json] | None:
    name = f"{transition.workflow}-{transition.instance}.{transition.namespace}"
    if not fact.startswith("task."):
        return {"name": name}
    reference = context.references.get((transition.instance, step or 0))
    return None if reference is None else {"workflow": name, "task": reference}


def _further_fields(
    transition: TransitionFacts, context: StepContext, fact: str, step: int | None, data: Json
) -> dict[str, Json]:
    data_fields: dict[str, Json] = {TIME_FIELDS[fact]: _utc(transition.at)}
    if fact == "workflow.started":
        data_fields["definition"] = {
            "name": transition.workflow,
            "namespace": transition.namespace,
            "version": transition.version,
        }
    if fact.endswith(".faulted") and data:
        data_fields["error"] = data.get("error")
    if fact == "workflow.correlation-completed" and data:
        data_fields["correlationKeys"] = data.get("keys")
    if fact.endswith(".completed"):
        output = context.outputs.get((transition.instance, step or 0))
        if output is not None:
            data_fields["output"] = output
    return data_fields


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
