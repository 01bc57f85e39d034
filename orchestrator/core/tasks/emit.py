"""``emit``: publish a CloudEvent; it is the step's output (dsl-reference.md, Emit)."""

from __future__ import annotations

from orchestrator.core import dsl_errors
from orchestrator.core.cloud_event_validation import InvalidEvent, validated
from orchestrator.core.control_flow import complete
from orchestrator.core.data_flow import render
from orchestrator.core.draft_nodes import Node
from orchestrator.core.expression_template import Template
from orchestrator.core.model import Json
from orchestrator.core.task_kinds import TaskKind, register
from orchestrator.core.task_plan import Plan
from orchestrator.core.transition_draft import Draft


def enter(draft: Draft, node: Node, plan: Plan) -> None:
    """Render the event's attributes and add the missing required ones."""
    if plan.kind_plan is None:
        attributes = plan.task.body["emit"]["event"].get("with") or {}
        plan.kind_plan = Template(attributes, "emit.event.with", loose=plan.loose)
    event = _event(draft, render(draft, node, plan.kind_plan, node.input))
    draft.emitted.append(event)
    complete(draft, node, event)


def _event(draft: Draft, values: dict[str, Json]) -> dict[str, Json]:
    """Return the event in the JSON format of CloudEvents 1.0."""
    workflow = draft.workflow
    event = {
        "specversion": "1.0",
        "id": draft.id(),
        "source": f"/{workflow.namespace}/{workflow.name}/{workflow.version}",
        "time": draft.at.isoformat().replace("+00:00", "Z"),
        **{name: value for name, value in values.items() if value is not None or name == "data"},
    }
    for name in ("id", "source", "type"):
        if not isinstance(event.get(name), str) or not event[name]:
            raise dsl_errors.expression(f"the event's {name} is not a text")
    try:
        return validated(event)
    except InvalidEvent as error:
        raise dsl_errors.validation(f"the event is no CloudEvent: {error}") from None


register("emit", TaskKind(enter))
