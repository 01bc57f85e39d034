"""The door of the core: one stimulus, one transition (DESIGN, How an instance moves).

Theory of operation. A stimulus names a step (or the instance) and moves it. Steps that it
begins or completes are put on the agenda, and the agenda is worked off, last in first out,
until nothing is left that can go on by itself: only calls, waits, listens and awaited
sub-workflows leave the process. After a bounded number of tasks the rest of the agenda becomes
notes to the instance itself, and the transition commits. A fault is raised where it occurs and
handled here, before the agenda goes on.

Everything is decided on a `Draft`, which is thrown away where the slice lacks something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.core import (
    attempts,
    commands,
    compensation,
    ends,
    faulting,
    flow,
    settle,
    tasks,
)
from orchestrator.core.commands import redoing
from orchestrator.core.data import length, workflow_input
from orchestrator.core.faults import Fault, placed, timeout
from orchestrator.core.kinds import Faulted, Ignored
from orchestrator.core.values import (
    ROOT,
    AttemptState,
    Json,
    NewStimulus,
    Slice,
    Status,
    Stimulus,
    StimulusKind,
    TimerKind,
    Transition,
)
from orchestrator.core.work import Draft, Limits, Node
from orchestrator.document.model import Workflow
from orchestrator.expressions import Evaluate

KINDS = tasks.KINDS

DEFAULT_LIMITS = Limits()

#: What a step that was paused is told on.
_RESUMED = frozenset({"result", "again"})


def advance(
    workflow: Workflow,
    slice: Slice,
    stimulus: Stimulus,
    evaluate: Evaluate,
    limits: Limits = DEFAULT_LIMITS,
) -> Transition:
    """What a stimulus makes of an instance. Pure: the same arguments give the same answer.

    A stimulus that comes too late (of a superseded attempt, for an ended step, a timer that
    has been set anew) gives a transition with `ignored` and no change.

    Raises:
        Needs: the slice lacks something; load it and call again.
        whatever `evaluate` raises for the machine's faults: nothing was decided.
    """
    draft = Draft(workflow, slice, stimulus, evaluate, limits)
    try:
        _move(draft, _TAKEN[stimulus.kind], stimulus)
        _work_off(draft)
    except (Ignored, commands.Refused) as reason:
        return Transition(slice.instance, ignored=str(reason))
    return draft.finish()


def _work_off(draft: Draft) -> None:
    agenda = draft.agenda
    while agenda:
        # Suspended, the instance records what lands, and goes on from it at the resume.
        if draft.spent >= draft.limits.tasks or draft.root.status is Status.SUSPENDED:
            _note_the_rest(draft)
            return
        draft.spent += 1
        id, data = agenda.pop()
        _move(draft, _go_on, id, data)


def _note_the_rest(draft: Draft) -> None:
    """What is left becomes stimuli, in the order in which it would have been done."""
    for id, data in reversed(draft.agenda):
        noted = {**(data or {}), "turns": draft.turns} if draft.turns else data
        draft.stimuli.append(NewStimulus(StimulusKind.GO_ON, None, id or None, noted))
    draft.agenda.clear()


def _move(draft: Draft, move: Callable[..., None], *arguments: Any) -> None:
    """Make one move, and handle the faults that come of it."""
    while True:
        try:
            return move(draft, *arguments)
        except Faulted as faulted:
            move, arguments = faulting.fault, (faulted,)


def _go_on(draft: Draft, id: int, data: Json) -> None:
    """A step (or the instance) takes the next item of the agenda."""
    if id == ROOT:
        return _go_on_root(draft, data)
    node = draft.node(id)
    try:
        if data is not None and "then" in data:
            return _follow(draft, node, data["then"])
        if data is not None and "redo" in data:
            return redoing.redo(draft, node, data)
        if not node.is_open:  # it was withdrawn since
            return None
        if data is not None and not data.keys().isdisjoint(_RESUMED):
            return attempts.resume(draft, node, data)
        return KINDS[node.kind].go_on(draft, node, data)
    except Fault as fault:
        raise Faulted(node, fault.error) from None


def _go_on_root(draft: Draft, data: Json) -> None:
    if "begin" in data:
        return _begin(draft)
    if "settled" in data:
        return ends.settled(draft)
    if draft.root.recall("undo") is not None:
        return compensation.go_on(draft, None)
    return None


def _follow(draft: Draft, node: Node, then: str | None) -> None:
    """What comes after a completed step: its next sibling, or the end of what contains it."""
    if node.undoes is not None:
        return compensation.undone(draft, node)
    if node.recall("stopped") is not None:  # it landed after the end, and a new run goes on
        node.remember(stopped=None)
    if node.parent != ROOT:
        parent = draft.node(node.parent)
        if not parent.is_open:
            return None
        if then == flow.END:
            return _end_all(draft, node)
        return KINDS[parent.kind].child_completed(draft, parent, node, then)
    if not draft.root.is_open:
        return None
    if not flow.proceed(draft, node, then, turning=True):
        ends.complete(draft, node.output)
    return None


def _end_all(draft: Draft, node: Node) -> None:
    """`end` ends the workflow, from any depth; within a compensation only that. What is
    around the task completes with it, what runs beside it is withdrawn."""
    undoing = flow.in_compensation(draft, node)
    at = node
    while at is not undoing and at.parent != ROOT:
        at = draft.node(at.parent)
        if at.kind == "listen":
            draft.close(at.id)
        at.open, at.output = 0, node.output
        flow.mark_completed(draft, at)
    if undoing is None:
        return ends.complete(draft, node.output, beside=draft.plan.parallel)
    if draft.plan.parallel:
        settle.withdraw(draft, undoing.id)
    return flow.done(draft, undoing, None)


# -- starts --------------------


def _start(draft: Draft, _: Stimulus) -> None:
    if draft.root.status is not Status.PENDING:
        raise Ignored(f"the instance is {draft.root.status}")
    draft.root.started_at = draft.at
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
    return _begin(draft)


def _begin(draft: Draft) -> None:
    try:
        data = workflow_input(draft, draft.instance_input())
    except Fault as fault:
        return ends.fault(draft, placed(fault.error, ends.WHOLE), None, beside=False)
    if not flow.begin_list(draft, ROOT, "/do", data):
        ends.complete(draft, data)
    return None


def _noted(draft: Draft, stimulus: Stimulus) -> None:
    """A note of the instance to itself."""
    data = dict(stimulus.data or {})
    draft.turns = data.pop("turns", 0)
    if _is_suspended(draft, stimulus):
        return
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
    if kind is not TimerKind.TIMEOUT:
        return _within(draft, node, KINDS[node.kind].timers[kind])
    if node.recall("flying") is not None:
        return settle.given_up(draft, node)
    error = timeout(f"{node.ref} has taken longer than its timeout")
    raise Faulted(node, placed(error, node.ref), running=True)


def _instance_timed_out(draft: Draft) -> None:
    if not draft.root.is_open:
        raise Ignored(f"the instance is {draft.root.status}")
    error = timeout("the workflow has taken longer than its timeout")
    ends.fault(draft, placed(error, ends.WHOLE), None, beside=True)


def _event(draft: Draft, stimulus: Stimulus) -> None:
    """An event has matched a listener."""
    if not _is_suspended(draft, stimulus):
        node = _open_node(draft, stimulus)
        _within(draft, node, KINDS[node.kind].event, stimulus.data)


def _child(draft: Draft, stimulus: Stimulus) -> None:
    """A sub-workflow says how it ended, or how its compensation did."""
    if not _is_suspended(draft, stimulus):
        node = _open_node(draft, stimulus)
        _within(draft, node, KINDS[node.kind].child, stimulus.data)


def _open_node(draft: Draft, stimulus: Stimulus) -> Node:
    id = stimulus.step or ROOT
    if id not in draft.slice.steps:
        raise Ignored(f"there is no step {id}")
    node = draft.node(id)
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


_TAKEN: dict[StimulusKind, Callable[[Draft, Stimulus], None]] = {
    StimulusKind.START: _start,
    StimulusKind.RESULT: _result,
    StimulusKind.TIMER: _timer,
    StimulusKind.EVENT: _event,
    StimulusKind.CHILD: _child,
    StimulusKind.COMMAND: _command,
    StimulusKind.GO_ON: _noted,
}
