"""What stimuli do: each kind of them moves a step, or the instance.

A stimulus that comes too late raises `Ignored`: of a superseded attempt, for an ended step, a
timer that has been set anew since, an event that the listener does not want any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from orchestrator.core import attempts, commands, ends, flow, settle
from orchestrator.core.data import length, workflow_input
from orchestrator.core.faults import Fault, placed, timeout
from orchestrator.core.kinds import KINDS, Faulted, Ignored
from orchestrator.core.nodes import Living, Node
from orchestrator.core.values import (
    ROOT,
    AttemptState,
    NewStimulus,
    Status,
    Stimulus,
    StimulusKind,
    TimerKind,
)
from orchestrator.core.work import Draft

# -- starts --------------------


def _start(draft: Draft, stimulus: Stimulus) -> None:
    if _is_suspended(draft, stimulus):
        return None
    if draft.root.status is not Status.PENDING:
        raise Ignored(f"the instance is {draft.root.status}")
    draft.root.started_at = draft.at
    if trace := stimulus.data.get("trace"):
        draft.root.remember(trace=trace)
    draft.set_instance_status(Status.RUNNING)
    draft.fact("workflow.started")
    plan = draft.plan
    try:
        if plan.timeout is not None:
            after = length(draft, None, plan.timeout, draft.instance_input())
            due = draft.arm(ROOT, TimerKind.TIMEOUT, after)
            draft.root.remember(due=due.isoformat())
    except Fault as fault:
        return ends.fault(draft, placed(fault.error, ends.WHOLE), None, beside=False)
    return begin(draft)


def begin(draft: Draft) -> None:
    """Begin the workflow's first task, the input taken in."""
    try:
        data = workflow_input(draft, draft.instance_input())
    except Fault as fault:
        return ends.fault(draft, placed(fault.error, ends.WHOLE), None, beside=False)
    if not flow.begin_list(draft, ROOT, "/do", data):
        ends.complete(draft, data)
    return None


def _noted(draft: Draft, stimulus: Stimulus) -> None:
    """A stimulus of the instance to itself. One of an earlier run comes too late: a retry has
    found out anew what is to go on."""
    data = dict(stimulus.data or {})
    draft.turns = data.pop("turns", 0)
    if data.pop("run", draft.root.run) != draft.root.run:
        raise Ignored("it is of an earlier run")
    if _is_suspended(draft, stimulus):
        return
    if stimulus.step and stimulus.step not in draft.slice.steps:
        raise Ignored(f"there is no step {stimulus.step}")
    draft.push(stimulus.step or ROOT, data or None)


def _is_suspended(draft: Draft, stimulus: Stimulus) -> bool:
    """While the instance is suspended only results and commands move it; the rest waits."""
    if draft.root.status is not Status.SUSPENDED:
        return False
    draft.stimuli.append(
        NewStimulus(stimulus.kind, None, stimulus.step, dict(stimulus.data) or None)
    )
    return True


# -- what comes from outside --------------------


def _result(draft: Draft, stimulus: Stimulus) -> None:
    """An attempt has ended."""
    end, attempt = stimulus.ended, draft.slice.attempt
    if end is None or attempt is None or attempt.id != end.attempt:
        raise Ignored("the attempt is not known")
    if attempt.state not in (AttemptState.READY, AttemptState.CLAIMED):
        raise Ignored(f"the attempt is {attempt.state} already")
    node = draft.node(attempt.step)
    if node.recall("flying") is not None:
        return settle.landed(draft, node, end)
    if not node.is_open or attempt.withdrawn:
        raise Ignored(f"the step is {node.status} already")
    if draft.root.status is Status.SUSPENDED:
        draft.ended.append(end)
        return node.remember(result=attempts.as_json(end))
    return attempts.ended(draft, node, attempt, end)


def _timer(draft: Draft, stimulus: Stimulus) -> None:
    """Something has fallen due."""
    kind = TimerKind(stimulus.data["kind"])
    if kind is TimerKind.START:
        return _start(draft, stimulus)
    if _is_suspended(draft, stimulus):
        return None
    if not stimulus.step:
        return _instance_timed_out(draft)
    node = _open_node(draft, stimulus)
    if node.recall("flying") is not None:
        return settle.given_up(draft, node)
    if node.recall("result") is not None:  # it came first, before the resume that took so long
        draft.stimuli.append(NewStimulus(stimulus.kind, None, node.id, dict(stimulus.data)))
        return draft.push(node.id, {"result": True})
    _check_due(draft, node, kind)
    if kind is not TimerKind.TIMEOUT:
        return _within(draft, node, KINDS[node.kind].timers[kind])
    error = timeout(f"{node.ref} has taken longer than its timeout")
    raise Faulted(node, placed(error, node.ref), running=True)


def _check_due(draft: Draft, living: Living, kind: TimerKind) -> None:
    """A timer may have been set anew, or be of no use any more, while it was on its way."""
    if kind in (TimerKind.RETRY, TimerKind.WAIT):
        if living.status is not Status.WAITING:
            raise Ignored(f"the step is {living.status}")
        return
    due = living.recall("attempt_due" if kind is TimerKind.ATTEMPT else "due")
    if due is None or datetime.fromisoformat(due) > draft.at:
        raise Ignored("the timer was set anew, or is of no use any more")


def _instance_timed_out(draft: Draft) -> None:
    if not draft.root.is_open:
        raise Ignored(f"the instance is {draft.root.status}")
    _check_due(draft, draft.root, TimerKind.TIMEOUT)
    error = timeout("the workflow has taken longer than its timeout")
    ends.fault(draft, placed(error, ends.WHOLE), None, beside=True)


def _event(draft: Draft, stimulus: Stimulus) -> None:
    """An event has matched a listener."""
    if not _is_suspended(draft, stimulus):
        node = _open_node(draft, stimulus)
        _within(draft, node, KINDS[node.kind].event, stimulus.data)


def _child(draft: Draft, stimulus: Stimulus) -> None:
    """A sub-workflow says how it ended, or how its compensation did. Its step may have ended
    before."""
    if not _is_suspended(draft, stimulus):
        node = _known_node(draft, stimulus)
        _within(draft, node, KINDS[node.kind].child, stimulus.data)


def _known_node(draft: Draft, stimulus: Stimulus) -> Node:
    id = stimulus.step or ROOT
    if id not in draft.slice.steps:
        raise Ignored(f"there is no step {id}")
    return draft.node(id)


def _open_node(draft: Draft, stimulus: Stimulus) -> Node:
    node = _known_node(draft, stimulus)
    if not node.is_open:
        raise Ignored(f"the step is {node.status} already")
    return node


def _within(draft: Draft, node: Node, move: Callable[..., None], *arguments: Any) -> None:
    """A move of a step, whose faults are the step's."""
    try:
        move(draft, node, *arguments)
    except Fault as fault:
        raise Faulted(node, fault.error) from None


def _command(draft: Draft, stimulus: Stimulus) -> None:
    commands.obey(draft, stimulus.data)


#: What takes each kind of stimulus.
TAKEN: Mapping[StimulusKind, Callable[[Draft, Stimulus], None]] = {
    StimulusKind.START: _start,
    StimulusKind.RESULT: _result,
    StimulusKind.TIMER: _timer,
    StimulusKind.EVENT: _event,
    StimulusKind.CHILD: _child,
    StimulusKind.COMMAND: _command,
    StimulusKind.GO_ON: _noted,
}
