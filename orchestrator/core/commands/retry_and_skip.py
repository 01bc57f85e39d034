"""Retry and skip: a person continues a stopped instance (DESIGN, I13).

Theory of operation. The end of a run marks every step that it stops. A new run reopens the
containers among them with their counters, and restarts those without open children as new steps
with new idempotency keys; finished steps stay. A retry from an earlier step drops the steps that
were stopped beside or after it in the same container, and restarts that step's task.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import control_flow, withdrawal
from orchestrator.core.commands import step_restart
from orchestrator.core.commands.new_run import NewRun
from orchestrator.core.commands.refusal import CommandRefused, reason, step_of
from orchestrator.core.commands.step_restart import complete_without_run
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import Fault
from orchestrator.core.model import Compensation, Json, Status
from orchestrator.core.transition_draft import Draft

#: Reason for refusing a retry of a sub-workflow that its parent has withdrawn or undone without it.
ABANDONED = (
    "its parent has abandoned it: a retry of the parent continues it, or, where the parent was"
    " undone, nothing does"
)


def retry(draft: Draft, data: Mapping[str, Json], *, by_parent: bool = False) -> None:
    """Start a new run from the step that failed, or from an earlier one (``from``).

    ``input`` replaces that step's raw input: the value of `.` and `$input` for it and its
    descendants. ``workflow_input`` replaces the workflow's input: the value of `$workflow.input`
    from then on. `by_parent`: the parent has asked for it.
    """
    if draft.root.get_state("abandoned") is not None and not by_parent:
        raise CommandRefused(ABANDONED)
    change = {"input": data["input"]} if data.get("input") is not None else {}
    _new_run(draft, data).restart_task(_target(draft, data), change)


def skip(draft: Draft, data: Mapping[str, Json]) -> None:
    """Continue as if the step (``step``) had completed with ``output``. In a running instance that
    is a step that waits for something, in a faulted instance the step that failed."""
    output = data.get("output")
    if not draft.root.is_open:
        if draft.root.get_state("abandoned") is not None:
            raise CommandRefused(ABANDONED)
        target = _target(draft, {"from": data.get("step")})
        return _new_run(draft, data).restart_task(target, {"output": output})
    node = step_of(draft, data.get("step"))
    if not node.is_open or node.open_children or node.get_state("draining"):
        raise CommandRefused(
            "only a step that is awaited (a call, a timer, an event) can be skipped"
        )
    if control_flow.in_compensation(draft, node) is not None:
        raise CommandRefused("a compensation is resolved, not skipped")
    if node.get_state("result") is not None:
        raise CommandRefused("its result is recorded already and applies at the resume")
    steps = withdrawal.open_steps(draft)  # locks the attempts until the commit
    if withdrawal.cannot_be_stopped(node, steps):
        return _replace(draft, node, steps, {**reason(data), "output": output})
    control_flow.remove_timers(draft, node)
    if node.uses_attempts:
        draft.withdrawn.append(node.id)
        node.set_state(attempt=None)
    elif node.kind == "listen":
        draft.remove_listener(node.id)
    return complete_without_run(draft, node, output, data)


def _replace(
    draft: Draft, node: Node, steps: withdrawal.OpenSteps, data: Mapping[str, Json]
) -> None:
    """Replace a step that cannot be stopped by a skipped one. The attempt or the sub-workflow runs
    on; if it succeeds, it is undone with the rest."""
    withdrawal.start_draining(
        draft, node, steps.ancestors(draft, node), None, steps.attempts.get(node.id)
    )
    draft.root.set_state(replaced=True)
    step_restart.insert_skipped(draft, node, node.parent, data)


def _target(draft: Draft, data: Mapping[str, Json]) -> Node | None:
    """Return the step to restart; None: the workflow itself failed before its first step."""
    step = data.get("from")
    if step is None:
        step = draft.root.get_state("failed")
    node = None if step is None else step_of(draft, step)
    if node is not None and control_flow.in_compensation(draft, node) is not None:
        raise CommandRefused("a compensation is retried by its dead letter, not as a step")
    return node


def _new_run(draft: Draft, data: Mapping[str, Json]) -> NewRun:
    root = draft.root
    if root.is_open or root.status is Status.COMPLETED:
        raise CommandRefused(f"the instance is {root.status}")
    if root.compensation is not Compensation.NONE:
        undone = "is being" if root.compensation is Compensation.RUNNING else "was"
        alone = root.original.parent_step is None
        advice = "start it anew" if alone else "only its parent can start it anew"
        raise CommandRefused(f"it {undone} undone: {advice}")
    if draft.count_open_leaves()[0]:
        raise CommandRefused(
            "a withdrawn attempt still runs; try again when it has ended", later=True
        )
    stopped = [draft.adopt(step) for step in draft.need("stopped", root.run)]
    record = {name: data[name] for name in ("from", "step", "input", "output") if name in data}
    record |= _edit(draft, data)
    root.run += 1
    draft.add_fact("workflow.retried", None, {"run": root.run, **record, **reason(data)})
    for node in stopped:
        if node.get_state("has_dead_letter"):
            node.set_state(has_dead_letter=None)
            resolution = {"action": data.get("command", "retry"), **reason(data)}
            draft.letters_closed.append({"step": node.id, "resolution": resolution})
    return NewRun(draft, stopped, data)


def _edit(draft: Draft, data: Mapping[str, Json]) -> dict[str, Json]:
    """Replace the workflow's input; history stores the previous one. Raises `CommandRefused` if the
    new one is invalid."""
    edited = data.get("workflow_input")
    if edited is None:
        return {}
    before = draft.instance_input()
    draft.edited_input = (edited,)
    try:
        if draft.plan.input_schema is not None:
            draft.plan.input_schema.validate(edited, "the workflow's input", draft.evaluate)
    except Fault as fault:
        raise CommandRefused(str(fault.error.get("detail"))) from None
    return {"workflow_input": edited, "workflow_input_before": before}
