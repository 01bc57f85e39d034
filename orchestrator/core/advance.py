"""The door of the core: one stimulus, one transition (DESIGN, How an instance moves).

Theory of operation. A stimulus names a step (or the instance) and moves it. Steps that it
begins or completes are put on the agenda, and the agenda is worked off, last in first out,
until nothing is left that can go on by itself: only calls, waits, listens and awaited
sub-workflows leave the process. After a bounded number of tasks the rest of the agenda becomes
stimuli to the instance itself, and the transition commits. A fault is raised where it occurs and
handled here, before the agenda goes on.

Everything is decided on a `Draft`, which is thrown away where the slice lacks something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from orchestrator.core import (
    attempts,
    commands,
    compensation,
    ends,
    faulting,
    flow,
    outside,
    settle,
    tasks,
)
from orchestrator.core.commands import redoing
from orchestrator.core.faults import Fault
from orchestrator.core.kinds import Faulted, Ignored
from orchestrator.core.limits import Limits
from orchestrator.core.nodes import Node
from orchestrator.core.values import (
    ROOT,
    Fact,
    Instance,
    Json,
    NewStimulus,
    Refusal,
    Slice,
    Status,
    Stimulus,
    StimulusKind,
    Transition,
)
from orchestrator.core.work import Draft
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
    has been set anew) gives a transition with `ignored` and no change. A command that does not
    fit gives one with `refused`, whose only change is the fact ``command.refused``. With
    ``stimulus.items`` 0 only the stimulus's own move is made, and the rest becomes notes: the
    moves of all commands but ``mend`` evaluate no expression.

    Raises:
        Needs: the slice lacks something; load it and call again.
        whatever `evaluate` raises for the machine's faults: nothing was decided.
    """
    draft = Draft(workflow, slice, stimulus, evaluate, limits)
    try:
        _move(draft, outside.TAKEN[stimulus.kind], stimulus)
        _work_off(draft, limits.tasks if stimulus.items is None else stimulus.items)
    except (Ignored, commands.Refused) as reason:
        if stimulus.kind is StimulusKind.COMMAND:
            draft = Draft(workflow, slice, stimulus, evaluate, limits)
            if commands.refuse(draft, stimulus.data, str(reason)):
                return draft.finish()
            return _refused(slice.instance, stimulus, reason)
        return Transition(slice.instance, ignored=str(reason))
    return draft.finish()


def _refused(instance: Instance, stimulus: Stimulus, reason: Exception) -> Transition:
    """A command that was judged is never silent: whoever gave it finds the answer in history."""
    told = {"command": stimulus.data.get("command"), "reason": str(reason)}
    if stimulus.data.get("by") is not None:
        told["by"] = stimulus.data["by"]
    return Transition(
        replace(instance, sequence=instance.sequence + 1),
        facts=(Fact("command.refused", None, told),),
        refused=Refusal(str(reason), getattr(reason, "later", False)),
    )


def _work_off(draft: Draft, most: int) -> None:
    agenda = draft.agenda
    while agenda:
        # Suspended, the instance records what lands, and goes on from it at the resume.
        if draft.spent >= most or draft.root.status is Status.SUSPENDED:
            _note_the_rest(draft)
            return
        draft.spent += 1
        id, data = agenda.pop()
        _move(draft, _go_on, id, data)


def _note_the_rest(draft: Draft) -> None:
    """What is left becomes stimuli, in the order in which it would have been done."""
    turns = {"turns": draft.turns} if draft.turns else {}
    for id, data in reversed(draft.agenda):
        noted = {**(data or {}), **turns, "run": draft.root.run}
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
        if node.recall("flying") is not None and node.recall("result") is not None:
            return settle.land_recorded(draft, node)
        if data is not None and "rearm" in data:
            return redoing.rearm_now(draft, node)
        if data is not None and not data.keys().isdisjoint(_RESUMED):
            return attempts.resume(draft, node, data)
        return KINDS[node.kind].go_on(draft, node, data)
    except Fault as fault:
        raise Faulted(node, fault.error) from None


def _go_on_root(draft: Draft, data: Json) -> None:
    if "begin" in data:  # unless a command has ended the new run before its first step
        return outside.begin(draft) if draft.root.is_open else None
    if "settled" in data:
        return ends.settled(draft)
    if "rearm" in data:
        return redoing.rearm_now(draft, None)
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
