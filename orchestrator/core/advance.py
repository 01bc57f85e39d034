"""The core's entry point: one stimulus, one transition (DESIGN, How an instance moves).

Theory of operation. A stimulus names a step (or the instance) and moves it. Steps that it begins or
completes are put on the agenda. The agenda is processed, last in first out, until only calls,
waits, listens and awaited sub-workflows are left. After a bounded number of tasks the rest of the
agenda becomes stimuli of the instance itself, and the transition commits. A fault is handled where
it is caught here, before the next item of the agenda.

The caller may also end a transition that takes long: it is asked after each item of the agenda, so
that every transition runs at least one. The number of items is then part of the history row, and a
replay ends there, too.

Everything is decided on a `Draft`, which is thrown away if the slice lacks something.
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
    undecidable,
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

MayGoOn = Callable[[], bool]
"""Whether a transition may run another item of its agenda; asked after each item."""


def always() -> bool:
    """Let every transition run as many items as the bounds allow."""
    return True


#: Agenda items of a step that continues after a suspension.
_RESUME_ITEMS = frozenset({"result", "resume"})


def advance(
    workflow: Workflow,
    slice: Slice,
    stimulus: Stimulus,
    evaluate: Evaluate,
    limits: Bounds = DEFAULT_LIMITS,
    may_go_on: MayGoOn = always,
) -> Transition:
    """Decide what a stimulus changes in an instance. Pure: equal arguments give equal transitions.

    A stimulus that comes too late (from a superseded attempt, for a step that has ended, from a
    timer that was armed again) returns a transition with `ignored` and no change. A command that
    does not fit returns one with `refused`, whose only change is the fact ``command.refused``. With
    ``stimulus.items`` 0 only the stimulus itself is applied and the agenda becomes stimuli: then no
    command but ``mend`` evaluates an expression. Where `may_go_on` has ended the agenda, the
    transition's `items` says after how many items.

    Raises:
        DataNeeded: the slice lacks something; load it and call again.
        Exception: any error of `evaluate` that is not an expression's; nothing was decided.
    """
    draft = Draft(workflow, slice, stimulus, evaluate, limits)
    try:
        _run_item(draft, _handler(stimulus), stimulus)
        max_items = limits.tasks if stimulus.items is None else stimulus.items
        _run_agenda(draft, max_items, may_go_on)
    except (StimulusIgnored, commands.CommandRefused) as reason:
        if stimulus.kind is StimulusKind.COMMAND:
            draft = Draft(workflow, slice, stimulus, evaluate, limits)
            if commands.answer_refused_retry(draft, stimulus.data, str(reason)):
                return draft.finish()
            return _refused(slice.instance, stimulus, reason)
        return Transition(slice.instance, ignored=str(reason))
    return draft.finish()


def _handler(stimulus: Stimulus) -> Callable[[Draft, Stimulus], None]:
    if stimulus.is_undecidable:
        return undecidable.fault_undecidable
    return stimulus_handlers.HANDLERS[stimulus.kind]


def _refused(instance: Instance, stimulus: Stimulus, reason: Exception) -> Transition:
    """Record the refusal in history: the sender of the command reads the answer there."""
    record = {"command": stimulus.data.get("command"), "reason": str(reason)}
    if stimulus.data.get("by") is not None:
        record["by"] = stimulus.data["by"]
    return Transition(
        replace(instance, sequence=instance.sequence + 1),
        facts=(Fact("command.refused", None, record),),
        refused=Refusal(str(reason), getattr(reason, "later", False)),
    )


def _run_agenda(draft: Draft, max_items: int, may_go_on: MayGoOn) -> None:
    agenda = draft.agenda
    while agenda:
        if draft.tasks_run and draft.tasks_run < max_items and not may_go_on():
            max_items = draft.items = draft.tasks_run
        # Stop after `max_items` tasks, or if the instance is suspended: then it only records
        # results. Turn the rest of the agenda into stimuli, from which a later transition
        # continues.
        if draft.tasks_run >= max_items or draft.root.status is Status.SUSPENDED:
            _defer_agenda(draft)
            return
        draft.tasks_run += 1
        id, data = agenda.pop()
        _run_item(draft, _run_step_item, id, data)


def _defer_agenda(draft: Draft) -> None:
    """Turn the rest of the agenda into stimuli, in the order of processing."""
    turns = {"turns": draft.loop_turns} if draft.loop_turns else {}
    for id, data in reversed(draft.agenda):
        data_with_run = {**(data or {}), **turns, "run": draft.root.run}
        draft.stimuli.append(NewStimulus(StimulusKind.AGENDA, None, id or None, data_with_run))
    draft.agenda.clear()


def _run_item(draft: Draft, move: Callable[..., None], *arguments: Any) -> None:
    """Run one item, and handle the faults that it raises."""
    while True:
        try:
            return move(draft, *arguments)
        except StepFaulted as faulted:
            move, arguments = fault_propagation.fault, (faulted,)


def _run_step_item(draft: Draft, id: int, data: Json) -> None:
    """Run the agenda item of a step (or of the instance)."""
    if id == ROOT:
        return _run_root_item(draft, data)
    node = draft.node(id)
    try:
        if data is not None and "then" in data:
            return _enter_next(draft, node, data["then"])
        if data is not None and "redo" in data:
            return step_restart.restart(draft, node, data)
        if not node.is_open:  # it was withdrawn meanwhile
            return None
        if node.get_state("draining") is not None and node.get_state("result") is not None:
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
    if "drained" in data:
        return instance_end.on_drained(draft)
    if "rearm" in data:
        return step_restart.arm_timeout(draft, None)
    if draft.root.get_state("undo") is not None:
        return compensation.undo_next(draft, None)
    return None


def _enter_next(draft: Draft, node: Node, then: str | None) -> None:
    """Begin what follows a completed step: the next task, or the end of the step around it."""
    if node.compensates is not None:
        return compensation.on_undo_completed(draft, node)
    if node.get_state("stopped") is not None:  # it ended after the last run; a new run continues
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
    """Handle `end`: it ends the workflow from any depth, within a compensation only that. The steps
    around the task complete with it, the steps beside it are withdrawn."""
    compensating = control_flow.in_compensation(draft, node)
    at = node
    while at is not compensating and at.parent != ROOT:
        at = draft.node(at.parent)
        if at.kind == "listen":
            draft.remove_listener(at.id)
        at.open_children, at.output = 0, node.output
        control_flow.mark_completed(draft, at)
    if compensating is None:
        return instance_end.complete(draft, node.output, others_open=draft.plan.parallel)
    if draft.plan.parallel:
        withdrawal.withdraw(draft, compensating.id)
    return control_flow.push_completion(draft, compensating, None)
