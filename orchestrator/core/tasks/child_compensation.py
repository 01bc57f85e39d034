"""The compensation of an awaited sub-workflow. Not a task of the DSL: a step that waits until the
sub-workflow's instance reports the end of its compensation."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.control_flow import mark_completed, push_completion
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import standard_error, with_instance
from orchestrator.core.model import Compensation, Json
from orchestrator.core.task_kinds import StepFaulted, StimulusIgnored, TaskKind, register
from orchestrator.core.task_plan import Plan
from orchestrator.core.transition_draft import Draft


def enter(_: Draft, node: Node, __: Plan) -> None:
    """Never called: `compensation` creates these steps itself."""
    raise LookupError(f"{node.reference} cannot be entered")


def on_instance_ended(draft: Draft, node: Node, data: Mapping[str, Json]) -> None:
    """Complete or fault the step by the sub-workflow's report. Raises `StimulusIgnored` if the step
    has ended."""
    if not node.is_open or "compensated" not in data:
        raise StimulusIgnored(f"the step is {node.status}")
    if data.get("compensated") == Compensation.FAILED:
        error = standard_error("runtime", "the compensation of the sub-workflow failed")
        raise StepFaulted(node, with_instance(error, node.reference))
    if data.get("compensated") == Compensation.NONE:
        node.set_state(nothing_to_undo=True)
    mark_completed(draft, node)
    push_completion(draft, node, None)


register("child_compensation", TaskKind(enter, on_instance_ended=on_instance_ended))
