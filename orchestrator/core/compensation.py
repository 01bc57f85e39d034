"""Undoing what was completed (DESIGN, Ends, undoing and keys; invariant I8).

Theory of operation. A compensation process belongs to the instance, after a fault, a cancel
or a person's command, or to a `try` or a competing `fork` with `metadata.rollback`. It goes
backward through the order of completion: `undo` in the owner's state says how far it has come.
One step is undone at a time: its `metadata.compensate` runs as a step of its own that says which
one it undoes, or its sub-workflow is told to compensate itself. What a composite's own
compensation replaces is passed over. A step that was undone, or whose undoing was given up, loses
its `undo`.

A call in a compensation that fails is tried again in place, by the policy in the compensating
task's `metadata.retry`, and by default four more times, 1, 2, 4 and 8 seconds apart. After
that it is a dead letter, and the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core.attempts import retry_after_pause
from orchestrator.core.control_flow import enter
from orchestrator.core.draft_nodes import Node, Root
from orchestrator.core.dsl_errors import Fault
from orchestrator.core.expression_variables import scope_of
from orchestrator.core.model import ROOT, Compensation, Json, NewStimulus, Status, StimulusKind
from orchestrator.core.parent_report import report, report_compensation
from orchestrator.core.retry_policy import Policy, Tries, pause, policy_of
from orchestrator.core.transition_draft import Draft
from orchestrator.core.withdrawal import abandon_child, on_drained

DEFAULT_POLICY: Mapping[str, Any] = {
    "delay": {"seconds": 1},
    "backoff": {"exponential": {}},
    "limit": {"attempt": {"count": 4}},
}

#: Steps passed over in one transition; then it commits and goes on.
MAX_SKIPPED = 50


def start(
    draft: Draft,
    cause: Json,
    *,
    after_drain: bool,
    before: int | None = None,
    down_to: int = 0,
    reply: int | None = None,
    reports_end: bool = True,
) -> None:
    """Undo the instance's steps that completed after number `down_to` (and, where it is given,
    `before` another), the last one first.

    `waits`: not before the withdrawn steps have landed. `reply` is the parent's step that
    asked for it; `reports`: the parent waits for the instance's end, which this belongs to.
    """
    root = draft.root
    beginning = {**_beginning(cause, down_to), "was": root.compensation.value}
    root.set_state(undo={**beginning, "before": before, "reply": reply, "reports": reports_end})
    draft.set_compensation(Compensation.RUNNING)
    draft.add_fact("compensation.started", None, {"error": cause} if cause else None)
    if not after_drain:
        draft.push(ROOT, {"undo": True})


def roll_back(draft: Draft, node: Node, cause: Json, down_to: int) -> None:
    """Undo what completed inside a `try` after number `down_to`."""
    node.open = 1
    node.set_state(undo=_beginning(cause, down_to))
    draft.push(node.id, {"undo": True})


def _beginning(cause: Json, down_to: int) -> dict[str, Json]:
    return {
        # Known only when it begins: what lands until then counts.
        "before": None,
        "to": down_to,
        "error": cause,
        "done": 0,
    }


def undo_next(draft: Draft, owner: Node | None) -> None:
    """Undo the next step, if there is one. `owner` None: the instance."""
    progress: dict[str, Json] = dict(_state_of(draft, owner).get_state("undo"))
    if progress["before"] is None:
        progress["before"] = draft.root.counter + 1
    for _ in range(MAX_SKIPPED):
        node = _next(draft, progress["before"])
        if node is None or (node.done or 0) <= progress["to"]:
            return _finish(draft, owner, progress)
        progress["before"] = node.done
        if _is_to_undo(draft, owner, node):
            progress["done"] += 1
            _state_of(draft, owner).set_state(undo=progress)
            if _begin_undo(draft, owner, node, progress["error"]):
                return None
    _state_of(draft, owner).set_state(undo=progress)
    step = None if owner is None else owner.id
    draft.stimuli.append(
        NewStimulus(StimulusKind.AGENDA, None, step, {"undo": True, "run": draft.root.run})
    )
    return None


def _state_of(draft: Draft, owner: Node | None) -> Node | Root:
    return draft.root if owner is None else owner


def _next(draft: Draft, before: int) -> Node | None:
    """The step that completed last before a number and can be undone: among those of this
    very transition, and those that are saved."""
    candidates = [
        node
        for node in draft.nodes.values()
        if _undoable(node) and node.done is not None and node.done < before
    ]
    best = max(candidates, key=lambda node: node.done or 0, default=None)
    while True:
        stored, path = draft.need("undo", before)
        if stored is None or (best is not None and (best.done or 0) >= stored.done):
            return best
        for step in path.values():
            draft.adopt(step)
        node = draft.adopt(stored)
        if _undoable(node):
            return node
        before = stored.done


def _undoable(node: Node) -> bool:
    """Whether a step can be undone: it has completed, nobody knows whether it has, or it is a
    sub-workflow that ended otherwise and keeps what it did."""
    if node.undo == "child":
        return node.done is not None
    return node.undo is not None and (node.status is Status.COMPLETED or node.unknown)


def _is_to_undo(draft: Draft, owner: Node | None, node: Node) -> bool:
    """Whether the process is to undo this step: it is the owner's (of a `fork` not in the branch
    that won), and no step around it that has completed has a compensation of its own, which
    replaces this one's."""
    inside = owner is None
    won = None if owner is None else owner.get_state("won")
    at = node
    while at.parent != ROOT:
        if won is not None and owner is not None and at.parent == owner.id:
            return at.index is not None and at.index != won["index"]
        at = draft.node(at.parent)
        inside = inside or (owner is not None and at.id == owner.id)
        if at.status is Status.COMPLETED and _has_compensation(draft, at):
            return False
    return inside


def _has_compensation(draft: Draft, node: Node) -> bool:
    return node.kind != "extension" and "compensate" in draft.plan_of(node).task.metadata


def _begin_undo(draft: Draft, owner: Node | None, node: Node, cause: Json) -> bool:
    """Begin to undo one step. False: there was nothing to do."""
    parent = ROOT if owner is None else owner.id
    if node.undo == "child":
        _send_compensate(draft, node, parent)
        return True
    task = draft.plan_of(node).task.compensation
    scope = {**scope_of(draft, node), "input": node.input, "output": node.output, "error": cause}
    if task is not None and enter(draft, parent, task, node.output, scope, None, node.id):
        return True
    node.undo = None
    return False


def _send_compensate(draft: Draft, node: Node, parent: int) -> None:
    """An awaited sub-workflow undoes itself, and says when it has."""
    undoing = Node.new(parent, node.ref, "undo", None, None)
    undoing.undoes = node.id
    draft.add(undoing)
    undoing.set_state(child=node.get_state("child"))
    command = {"command": "compensate", "reply": undoing.id, "reason": "the parent undoes it"}
    draft.send_stimulus(StimulusKind.COMMAND, node.get_state("child"), None, command)


def on_undo_completed(draft: Draft, undoing: Node) -> None:
    """A compensating step has completed."""
    node = draft.node(undoing.undoes or ROOT)
    node.undo = None
    if undoing.get_state("nothing"):
        _uncount(draft, undoing)
    else:
        draft.add_fact("task.compensated", node.id, {"by": undoing.id})
    _continue(draft, undoing)


def _uncount(draft: Draft, undoing: Node) -> None:
    """A sub-workflow had nothing to undo: with no more than that done, an instance counts as one
    of which nothing was undone, and can be retried."""
    owner = _state_of(draft, None if undoing.parent == ROOT else draft.node(undoing.parent))
    progress = owner.get_state("undo")
    if progress is not None:
        owner.set_state(undo={**progress, "done": progress["done"] - 1})


def on_undo_failed(draft: Draft, undoing: Node, error: Json) -> None:
    """A compensating step has faulted for good: a person must look at it."""
    node = draft.node(undoing.undoes or ROOT)
    node.undo = None
    dead_letter = {"step": undoing.id, "reason": "compensation", "error": error, "undoes": node.id}
    draft.dead_letters.append(dead_letter)
    draft.add_fact("compensation.failed", node.id, {"by": undoing.id, "error": error})
    draft.root.set_state(letters=draft.root.get_state("letters", 0) + 1)
    _continue(draft, undoing)


def on_dead_letter_closed(draft: Draft) -> None:
    """One dead letter fewer."""
    draft.root.set_state(letters=(draft.root.get_state("letters", 0) - 1) or None)


def _continue(draft: Draft, undoing: Node) -> None:
    """The process goes on; or whoever waited for this undoing does, its owner being over."""
    owner = None if undoing.parent == ROOT else draft.node(undoing.parent)
    waiter = undoing.get_state("settler")
    if waiter is not None:
        on_drained(draft, waiter)
    if owner is not None and not owner.is_open:
        return
    if _state_of(draft, owner).get_state("undo") is not None:
        draft.push(undoing.parent, {"undo": True})


def _finish(draft: Draft, owner: Node | None, progress: Mapping[str, Json]) -> None:
    if owner is not None:
        owner.set_state(undo=None)
        owner.open = 0
        draft.push(owner.id, {"undone": True})
        return
    untouched = not progress["done"] and progress["was"] == Compensation.NONE
    state = Compensation.NONE if untouched else Compensation.COMPLETED
    _end(draft, progress, Compensation.FAILED if draft.root.get_state("letters") else state)


def abort(draft: Draft) -> None:
    """The instance's process ends before it has undone everything."""
    _end(draft, draft.root.get_state("undo"), Compensation.FAILED)


def postpone_command(draft: Draft, command: Mapping[str, Json]) -> None:
    """Keep a command until the instance has ended, nothing of it is in flight, and its process
    is over: one step is undone at a time."""
    waiting: list[Json] = draft.root.get_state("put_off", [])
    draft.root.set_state(put_off=[*waiting, dict(command)])


def release_commands(draft: Draft) -> None:
    """Nothing is left that the kept commands wait for: they come anew."""
    for command in draft.root.get_state("put_off", []):
        draft.stimuli.append(NewStimulus(StimulusKind.COMMAND, None, None, command))
    draft.root.set_state(put_off=None)


def _end(draft: Draft, progress: Mapping[str, Json], state: Compensation) -> None:
    release_commands(draft)
    draft.root.set_state(undo=None)
    draft.set_compensation(state)
    draft.add_fact("compensation.ended", None, {"compensation": state.value})
    if state is not Compensation.NONE and draft.plan.runs:
        _abandon_children(draft)
    if progress["reply"] is not None:
        report_compensation(draft, progress["reply"])
    elif progress["reports"]:
        report(draft, compensated=True)


def _abandon_children(draft: Draft) -> None:
    """Sub-workflows that did not complete in the run that was undone must not go on."""
    run = draft.root.run
    stopped = {step.id for step in draft.need("stopped", run)}
    for step in draft.need("stopped", run):
        draft.adopt(step)
    for node in draft.nodes.values():
        if node.id in stopped or node.get_state("stopped") == run:
            abandon_child(draft, node, "the parent was undone")


def retry_failed_undo(draft: Draft, undoing: Node, node: Node, error: Json) -> bool:
    """Whether a failed call within a compensation is tried again, and if so: after a pause."""
    attempt = draft.slice.attempt
    if node.kind != "call" or attempt is None or attempt.step != node.id or not draft.ended:
        return False
    task = draft.plan_of(undoing).task
    tries = node.get_state("tries", 0)
    try:
        own_policy = policy_of(task.metadata.get("retry"), draft.workflow.use)
        policy = own_policy or Policy(DEFAULT_POLICY)
        wait = pause(draft, node, policy, Tries(tries, node.started_at), error, "error")
    except Fault:
        return False
    if wait is None:
        return False
    retry_after_pause(draft, node, attempt, error, wait, tries=tries + 1)
    return True
