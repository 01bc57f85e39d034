"""Handlers, one per kind of stimulus: each moves a step or the instance.

A handler raises `StimulusIgnored` for a stimulus that comes too late: from a superseded attempt,
for a step that has ended, from a timer that was armed again since, or an event that the listener no
longer accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from orchestrator.core import attempts, commands, control_flow, instance_end, withdrawal
from orchestrator.core.attempt_end_json import end_to_json
from orchestrator.core.data_flow import duration_seconds, workflow_input
from orchestrator.core.draft_nodes import DraftState, Node
from orchestrator.core.dsl_errors import Fault, timeout, with_instance
from orchestrator.core.model import (
    ROOT,
    AttemptState,
    NewStimulus,
    Status,
    Stimulus,
    StimulusKind,
    TimerKind,
)
from orchestrator.core.task_kinds import KINDS, StepFaulted, StimulusIgnored
from orchestrator.core.transition_draft import Draft

# -- handlers of start stimuli ----


def _on_start(draft: Draft, stimulus: Stimulus) -> None:
    if _is_suspended(draft, stimulus):
        return None
    if draft.root.status is not Status.PENDING:
        raise StimulusIgnored(f"the instance is {draft.root.status}")
    draft.root.started_at = draft.at
    if trace := stimulus.data.get("trace"):
        draft.root.set_state(trace=trace)
    draft.set_instance_status(Status.RUNNING)
    draft.add_fact("workflow.started")
    plan = draft.plan
    try:
        if plan.timeout is not None:
            after = duration_seconds(draft, None, plan.timeout, draft.instance_input())
            due = draft.arm(ROOT, TimerKind.TIMEOUT, after)
            draft.root.set_state(due=due.isoformat())
    except Fault as fault:
        return instance_end.fault_workflow(draft, fault.error, others_open=False)
    return begin_first_task(draft)


def begin_first_task(draft: Draft) -> None:
    """Validate and transform the workflow's input, then begin its first task."""
    try:
        data = workflow_input(draft, draft.instance_input())
    except Fault as fault:
        return instance_end.fault_workflow(draft, fault.error, others_open=False)
    if not control_flow.begin_list(draft, ROOT, "/do", data):
        instance_end.complete(draft, data)
    return None


def _on_agenda(draft: Draft, stimulus: Stimulus) -> None:
    """Continue a step from a stored agenda item. Items of an earlier run are ignored: a retry has
    determined again which steps continue."""
    data = dict(stimulus.data or {})
    draft.loop_turns = data.pop("turns", 0)
    if data.pop("run", draft.root.run) != draft.root.run:
        raise StimulusIgnored("it is of an earlier run")
    if _is_suspended(draft, stimulus):
        return
    if stimulus.step and stimulus.step not in draft.slice.steps:
        raise StimulusIgnored(f"there is no step {stimulus.step}")
    draft.push(stimulus.step or ROOT, data or None)


def _is_suspended(draft: Draft, stimulus: Stimulus) -> bool:
    """While the instance is suspended, put the stimulus back into the inbox and return True. Only
    results and commands are handled then."""
    if draft.root.status is not Status.SUSPENDED:
        return False
    draft.stimuli.append(
        NewStimulus(stimulus.kind, None, stimulus.step, dict(stimulus.data) or None)
    )
    return True


# -- handlers of results, timers, events and commands -----


def _on_result(draft: Draft, stimulus: Stimulus) -> None:
    """Handle the end of an attempt."""
    end, attempt = stimulus.ended, draft.slice.attempt
    if end is None or attempt is None or attempt.id != end.attempt:
        raise StimulusIgnored("the attempt is not known")
    if attempt.state not in (AttemptState.READY, AttemptState.CLAIMED):
        raise StimulusIgnored(f"the attempt is {attempt.state} already")
    node = draft.node(attempt.step)
    if node.get_state("draining") is not None:
        return withdrawal.on_late_end(draft, node, end)
    if not node.is_open or attempt.withdrawn:
        raise StimulusIgnored(f"the step is {node.status} already")
    if draft.root.status is Status.SUSPENDED:
        draft.ended.append(end)
        return node.set_state(result=end_to_json(end))
    return attempts.on_attempt_ended(draft, node, attempt, end)


def _on_timer(draft: Draft, stimulus: Stimulus) -> None:
    """Handle a timer that is due."""
    kind = TimerKind(stimulus.data["kind"])
    if kind is TimerKind.START:
        return _on_start(draft, stimulus)
    if _is_suspended(draft, stimulus):
        return None
    if not stimulus.step:
        return _instance_timed_out(draft)
    node = _open_node(draft, stimulus)
    if node.get_state("draining") is not None:
        return withdrawal.on_drain_timeout(draft, node)
    if (
        node.get_state("result") is not None
    ):  # it came before the timer; a late resume applies it first
        draft.stimuli.append(NewStimulus(stimulus.kind, None, node.id, dict(stimulus.data)))
        return draft.push(node.id, {"result": True})
    _check_due(draft, node, kind)
    if kind is not TimerKind.TIMEOUT:
        return _run_for(draft, node, KINDS[node.kind].on_timer[kind])
    error = timeout(f"{node.reference} has taken longer than its timeout")
    raise StepFaulted(node, with_instance(error, node.reference), running=True)


#: Where the state of a step says when its timer is due.
_DUE = {TimerKind.ATTEMPT: "attempt_due", TimerKind.EXPIRY: "expires"}


def _check_due(draft: Draft, owner: DraftState, kind: TimerKind) -> None:
    """Raise `StimulusIgnored` if the timer was armed again or removed since it was sent."""
    if kind in (TimerKind.RETRY, TimerKind.WAIT):
        if owner.status is not Status.WAITING:
            raise StimulusIgnored(f"the step is {owner.status}")
        return
    due = owner.get_state(_DUE.get(kind, "due"))
    if due is None or datetime.fromisoformat(due) > draft.at:
        raise StimulusIgnored("the timer was armed again, or is no longer needed")


def _instance_timed_out(draft: Draft) -> None:
    if not draft.root.is_open:
        raise StimulusIgnored(f"the instance is {draft.root.status}")
    _check_due(draft, draft.root, TimerKind.TIMEOUT)
    error = timeout("the workflow has taken longer than its timeout")
    instance_end.fault_workflow(draft, error, others_open=True)


def _on_event(draft: Draft, stimulus: Stimulus) -> None:
    """Pass an event that matched a listener to its step."""
    if not _is_suspended(draft, stimulus):
        node = _open_node(draft, stimulus)
        _run_for(draft, node, KINDS[node.kind].on_event, stimulus.data)


def _on_instance_ended(draft: Draft, stimulus: Stimulus) -> None:
    """Pass a sub-workflow's report (its end, or the end of its compensation) to its step, which may
    have ended before."""
    if not _is_suspended(draft, stimulus):
        node = _existing_node(draft, stimulus)
        _run_for(draft, node, KINDS[node.kind].on_instance_ended, stimulus.data)


def _existing_node(draft: Draft, stimulus: Stimulus) -> Node:
    id = stimulus.step or ROOT
    if id not in draft.slice.steps:
        raise StimulusIgnored(f"there is no step {id}")
    return draft.node(id)


def _open_node(draft: Draft, stimulus: Stimulus) -> Node:
    node = _existing_node(draft, stimulus)
    if not node.is_open:
        raise StimulusIgnored(f"the step is {node.status} already")
    return node


def _run_for(draft: Draft, node: Node, move: Callable[..., None], *arguments: Any) -> None:
    """Run a move of a step. A `Fault` becomes the step's fault."""
    try:
        move(draft, node, *arguments)
    except Fault as fault:
        raise StepFaulted(node, fault.error) from None


def _on_command(draft: Draft, stimulus: Stimulus) -> None:
    commands.execute(draft, stimulus.data)


#: The handler of each kind of stimulus.
HANDLERS: Mapping[StimulusKind, Callable[[Draft, Stimulus], None]] = {
    StimulusKind.START: _on_start,
    StimulusKind.RESULT: _on_result,
    StimulusKind.TIMER: _on_timer,
    StimulusKind.EVENT: _on_event,
    StimulusKind.CHILD: _on_instance_ended,
    StimulusKind.COMMAND: _on_command,
    StimulusKind.AGENDA: _on_agenda,
}
