"""Retry and skip: a person has a stopped instance go on (DESIGN, I13).

Theory of operation. The end of a run left a mark on every step that it stopped. A new run
opens the containers among them again as they were, counters included, and begins those that
had no open children anew, as new steps with new keys; finished steps stand. Going back to an
earlier step abandons what was stopped beside or after it in the same place, and begins that
step's task anew.
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

#: Why a sub-workflow is not repaired that its parent has withdrawn, or was undone without.
ABANDONED = "its parent has given it up; only a retry of the parent has it go on"


def retry(draft: Draft, data: Mapping[str, Json], *, by_parent: bool = False) -> None:
    """A new run from the step that failed, or from an earlier one (``from``).

    ``input`` replaces that step's raw input: what it and its descendants read as `.`, and as
    `$input`. ``workflow_input`` replaces the workflow's: what `$workflow.input` gives from then
    on. `asked`: the parent wants it.
    """
    if draft.root.get_state("abandoned") is not None and not by_parent:
        raise CommandRefused(ABANDONED)
    change = {"input": data["input"]} if data.get("input") is not None else {}
    _new_run(draft, data).restart_task(_target(draft, data), change)


def skip(draft: Draft, data: Mapping[str, Json]) -> None:
    """Go on as if the step (``step``) had completed with ``output``: of an instance that
    runs, a step that something is awaited of; of one that has faulted, the one that failed."""
    output = data.get("output")
    if not draft.root.is_open:
        if draft.root.get_state("abandoned") is not None:
            raise CommandRefused(ABANDONED)
        target = _target(draft, {"from": data.get("step")})
        return _new_run(draft, data).restart_task(target, {"output": output})
    node = step_of(draft, data.get("step"))
    if not node.is_open or node.open or node.get_state("flying"):
        raise CommandRefused("only a step that something is awaited of can be skipped")
    if control_flow.in_compensation(draft, node) is not None:
        raise CommandRefused("a compensation is resolved, not skipped")
    if node.get_state("result") is not None:
        raise CommandRefused("its result has come already, and takes effect at the resume")
    steps = withdrawal.open_steps(draft)  # the attempts stay locked until this is saved
    if withdrawal.cannot_be_stopped(node, steps):
        return _replace(draft, node, steps, {**reason(data), "output": output})
    control_flow.remove_timers(draft, node)
    if node.kind == "call":
        draft.withdrawn.append(node.id)
        node.set_state(attempt=None)
    elif node.kind == "listen":
        draft.remove_listener(node.id)
    return complete_without_run(draft, node, output, data)


def _replace(
    draft: Draft, node: Node, steps: withdrawal.OpenSteps, data: Mapping[str, Json]
) -> None:
    """What a worker (or a sub-workflow) is doing goes on, and is undone with the rest should it
    succeed; another step of the task takes its place."""
    withdrawal.start_draining(
        draft, node, steps.ancestors(draft, node), None, steps.attempts.get(node.id)
    )
    draft.root.set_state(replaced=True)
    step_restart.insert_skipped(draft, node, node.parent, data)


def _target(draft: Draft, data: Mapping[str, Json]) -> Node | None:
    """The step to begin anew; None: the workflow itself failed before its first step."""
    step = data.get("from")
    if step is None:
        step = draft.root.get_state("failed")
    node = None if step is None else step_of(draft, step)
    if node is not None and control_flow.in_compensation(draft, node) is not None:
        raise CommandRefused("a compensation is no part of the flow; its dead letter is retried")
    return node


def _new_run(draft: Draft, data: Mapping[str, Json]) -> NewRun:
    root = draft.root
    if root.is_open or root.status is Status.COMPLETED:
        raise CommandRefused(f"the instance is {root.status}")
    if root.compensation is not Compensation.NONE:
        is_running = root.compensation is Compensation.RUNNING
        raise CommandRefused(f"it {'is being' if is_running else 'was'} undone: start it anew")
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
        if node.get_state("letter"):
            node.set_state(letter=None)
            resolution = {"action": data.get("command", "retry"), **reason(data)}
            draft.letters_closed.append({"step": node.id, "resolution": resolution})
    return NewRun(draft, stopped, data)


def _edit(draft: Draft, data: Mapping[str, Json]) -> dict[str, Json]:
    """Replace the workflow's input; history keeps the one that it had. Raises `CommandRefused`
    where
    the workflow takes no such input."""
    edited = data.get("workflow_input")
    if edited is None:
        return {}
    before = draft.instance_input()
    draft.edited_input = (edited,)
    try:
        if draft.plan.input_schema is not None:
            draft.plan.input_schema.validate(edited, "the workflow's input")
    except Fault as fault:
        raise CommandRefused(str(fault.error.get("detail"))) from None
    return {"workflow_input": edited, "workflow_input_before": before}
