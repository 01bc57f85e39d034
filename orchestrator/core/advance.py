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
    control_flow,
    fault_propagation,
    instance_end,
    stimulus_handlers,
    tasks,
    withdrawal,
)
from orchestrator.core.bounds import Bounds
from orchestrator.core.commands import step_restart
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import Fault
from orchestrator.core.model import (
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
from orchestrator.core.task_kinds import StepFaulted, StimulusIgnored
from orchestrator.core.transition_draft import Draft
from orchestrator.document.model import Workflow
from orchestrator.expressions import Evaluate

KINDS = tasks.KINDS

DEFAULT_LIMITS = Bounds()

#: What a step that was paused is told on.
_RESUME_ITEMS = frozenset({"result", "again"})


def advance(
    workflow: Workflow,
    slice: Slice,
    stimulus: Stimulus,
    evaluate: Evaluate,
    limits: Bounds = DEFAULT_LIMITS,
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
        _run_item(draft, stimulus_handlers.HANDLERS[stimulus.kind], stimulus)
        _run_agenda(draft, limits.tasks if stimulus.items is None else stimulus.items)
    except (StimulusIgnored, commands.CommandRefused) as reason:
        if stimulus.kind is StimulusKind.COMMAND:
            draft = Draft(workflow, slice, stimulus, evaluate, limits)
            if commands.refuse(draft, stimulus.data, str(reason)):
                return draft.finish()
            return _refused(slice.instance, stimulus, reason)
        return Transition(slice.instance, ignored=str(reason))
    return draft.finish()


def _refused(instance: Instance, stimulus: Stimulus, reason: Exception) -> Transition:
    """A command that was judged is never silent: whoever gave it finds the answer in history."""
    record = {"command": stimulus.data.get("command"), "reason": str(reason)}
    if stimulus.data.get("by") is not None:
        record["by"] = stimulus.data["by"]
    return Transition(
        replace(instance, sequence=instance.sequence + 1),
        facts=(Fact("command.refused", None, record),),
        refused=Refusal(str(reason), getattr(reason, "later", False)),
    )


def _run_agenda(draft: Draft, max_items: int) -> None:
    agenda = draft.agenda
    while agenda:
        # Suspended, the instance records what lands, and goes on from it at the resume.
        if draft.tasks_run >= max_items or draft.root.status is Status.SUSPENDED:
            _defer_agenda(draft)
            return
        draft.tasks_run += 1
        id, data = agenda.pop()
        _run_item(draft, _run_step_item, id, data)


def _defer_agenda(draft: Draft) -> None:
    """What is left becomes stimuli, in the order in which it would have been done."""
    turns = {"turns": draft.loop_turns} if draft.loop_turns else {}
    for id, data in reversed(draft.agenda):
        data_with_run = {**(data or {}), **turns, "run": draft.root.run}
        draft.stimuli.append(NewStimulus(StimulusKind.AGENDA, None, id or None, data_with_run))
    draft.agenda.clear()


def _run_item(draft: Draft, move: Callable[..., None], *arguments: Any) -> None:
    """Make one move, and handle the faults that come of it."""
    while True:
        try:
            return move(draft, *arguments)
        except StepFaulted as faulted:
            move, arguments = fault_propagation.fault, (faulted,)


def _run_step_item(draft: Draft, id: int, data: Json) -> None:
    """A step (or the instance) takes the next item of the agenda."""
    if id == ROOT:
        return _run_root_item(draft, data)
    node = draft.node(id)
    try:
        if data is not None and "then" in data:
            return _enter_next(draft, node, data["then"])
        if data is not None and "redo" in data:
            return step_restart.restart(draft, node, data)
        if not node.is_open:  # it was withdrawn since
            return None
        if node.get_state("flying") is not None and node.get_state("result") is not None:
            return withdrawal.finish_recorded(draft, node)
        if data is not None and "rearm" in data:
            return step_restart.arm_timeout(draft, node)
        if data is not None and not data.keys().isdisjoint(_RESUME_ITEMS):
            return attempts.resume(draft, node, data)
        return KINDS[node.kind].on_agenda_item(draft, node, data)
    except Fault as fault:
        raise StepFaulted(node, fault.error) from None


def _run_root_item(draft: Draft, data: Json) -> None:
    if "begin" in data:  # unless a command has ended the new run before its first step
        return stimulus_handlers.begin_first_task(draft) if draft.root.is_open else None
    if "settled" in data:
        return instance_end.on_drained(draft)
    if "rearm" in data:
        return step_restart.arm_timeout(draft, None)
    if draft.root.get_state("undo") is not None:
        return compensation.undo_next(draft, None)
    return None


def _enter_next(draft: Draft, node: Node, then: str | None) -> None:
    """What comes after a completed step: its next sibling, or the end of what contains it."""
    if node.undoes is not None:
        return compensation.on_undo_completed(draft, node)
    if node.get_state("stopped") is not None:  # it landed after the end, and a new run goes on
        node.set_state(stopped=None)
    if node.parent != ROOT:
        parent = draft.node(node.parent)
        if not parent.is_open:
            return None
        if then == control_flow.END:
            return _end_workflow(draft, node)
        return KINDS[parent.kind].on_child_completed(draft, parent, node, then)
    if not draft.root.is_open:
        return None
    if not control_flow.proceed(draft, node, then, counts_turns=True):
        instance_end.complete(draft, node.output)
    return None


def _end_workflow(draft: Draft, node: Node) -> None:
    """`end` ends the workflow, from any depth; within a compensation only that. What is
    around the task completes with it, what runs beside it is withdrawn."""
    undoing = control_flow.in_compensation(draft, node)
    at = node
    while at is not undoing and at.parent != ROOT:
        at = draft.node(at.parent)
        if at.kind == "listen":
            draft.remove_listener(at.id)
        at.open, at.output = 0, node.output
        control_flow.mark_completed(draft, at)
    if undoing is None:
        return instance_end.complete(draft, node.output, others_open=draft.plan.parallel)
    if draft.plan.parallel:
        withdrawal.withdraw(draft, undoing.id)
    return control_flow.push_completion(draft, undoing, None)
