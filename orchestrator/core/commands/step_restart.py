"""Restart a step's task in a new run, or insert a skipped step."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from orchestrator.core import control_flow
from orchestrator.core.commands.refusal import reason
from orchestrator.core.data_flow import duration_seconds
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import Fault
from orchestrator.core.model import ROOT, Json, TimerKind
from orchestrator.core.transition_draft import Draft


def postpone_restart(draft: Draft, old: Node, parent: int, change: Mapping[str, Json]) -> None:
    """Restart the task of an ended step from the agenda. Until then the step is marked as stopped
    in this run: if the run ends before, the next run finds the step."""
    old.set_state(stopped=draft.root.run, redo=True)
    draft.push(old.id, {"redo": parent, **change})


def restart(draft: Draft, old: Node, data: Mapping[str, Json]) -> None:
    """Run the postponed restart. Raises `StepFaulted`."""
    parent = data["redo"]
    if not (draft.root.is_open if parent == ROOT else draft.node(parent).is_open):
        return None
    old.set_state(stopped=None, redo=None)
    if "output" in data:
        return insert_skipped(draft, old, parent, data)
    raw = old.input if old.raw_input is None else old.raw_input
    raw = data.get("input", raw)
    task = draft.plan_of(old).task
    if old.kind == "extension":
        control_flow.enter(draft, parent, task, raw, old.scope, old.index)
    else:
        control_flow.enter_bare(draft, parent, task, raw, old.scope, old.index)
    return None


def insert_skipped(draft: Draft, old: Node, parent: int, data: Mapping[str, Json]) -> None:
    """Add a step of the same task as an old one, completed with the output in `data`."""
    node = Node.new(parent, old.reference, old.kind, old.index, old.scope)
    node.input, node.raw_input = old.input, old.raw_input
    draft.add(node)
    complete_without_run(draft, node, data["output"], data)


def complete_without_run(draft: Draft, node: Node, output: Json, data: Mapping[str, Json]) -> None:
    """Complete a step with an output but without running it; there is nothing to undo."""
    node.output = output
    node.compensated_by = None
    draft.add_fact("task.passed", node.id, reason(data) or None)
    control_flow.mark_completed(draft, node)
    control_flow.push_completion(draft, node, draft.plan_of(node).then)


def restart_timeout(draft: Draft, node: Node | None) -> bool:
    """Restart the timeout of a step (None: of the workflow). Return False if the timeout is an
    expression: a command evaluates none, the agenda item ``rearm`` does."""
    plan = draft.plan if node is None else draft.plan_of(node)
    if plan.timeout is None or (node is not None and node.kind == "extension"):
        return True
    if plan.timeout.plain:
        arm_timeout(draft, node)
    return plan.timeout.plain


def arm_timeout(draft: Draft, node: Node | None) -> None:
    """Compute and arm the timeout of an open step, or of the workflow (None)."""
    owner, plan = (draft.root, draft.plan) if node is None else (node, draft.plan_of(node))
    if plan.timeout is None or not owner.is_open:
        return
    raw = None
    if not plan.timeout.plain:
        raw = draft.instance_input() if node is None else node.input
    with suppress(Fault):  # it could be computed the first time
        after = duration_seconds(draft, node, plan.timeout, raw)
        due = draft.arm(ROOT if node is None else node.id, TimerKind.TIMEOUT, after)
        owner.set_state(due=due.isoformat())
