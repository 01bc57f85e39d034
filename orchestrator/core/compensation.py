"""Compensation: undo completed steps (DESIGN, Ends, undoing and keys; invariant I8).

Theory of operation. A compensation process has an owner: the instance (after a fault, a cancel or a
person's command), or a `try` or a competing `fork` with `metadata.rollback`. It goes backward
through the order of completion; `undo` in the owner's state holds its progress. It undoes one step
at a time: either the step's `metadata.compensate` runs as a compensating step, whose `compensates`
names the step, or its sub-workflow compensates itself. It skips the steps inside a composite that
has a compensation of its own. A step loses its `compensated_by` when it was undone, or when its
compensation failed for good.

A call in a compensation that fails is retried in place, by the policy in the compensating task's
`metadata.retry`; the default is four retries after 1, 2, 4 and 8 seconds. After the last one it is
a dead letter, and the process continues with the other steps.
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
from orchestrator.core.retry_policy import RetryPolicy, Tries, pause_before_retry, policy_of
from orchestrator.core.transition_draft import Draft
from orchestrator.core.withdrawal import abandon_child, on_drained

DEFAULT_POLICY: Mapping[str, Any] = {
    "delay": {"seconds": 1},
    "backoff": {"exponential": {}},
    "limit": {"attempt": {"count": 4}},
}

#: Most steps that one transition skips. The rest follows in another transition.
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
    """Begin to undo the instance's steps that completed after number `down_to` (and `before`
    another number, if it is set), the last one first.

    `after_drain`: begin when the withdrawn steps have ended. `reply` is the parent's step that
    asked for the compensation. `reports_end`: the parent waits for the instance's end, which this
    is part of.
    """
    root = draft.root
    beginning = {**_beginning(cause, down_to), "compensation_before": root.compensation.value}
    root.set_state(undo={**beginning, "before": before, "reply": reply, "reports": reports_end})
    draft.set_compensation(Compensation.RUNNING)
    draft.add_fact("compensation.started", None, {"error": cause} if cause else None)
    if not after_drain:
        draft.push(ROOT, {"undo": True})


def roll_back(draft: Draft, node: Node, cause: Json, down_to: int) -> None:
    """Begin to undo what completed inside `node` after number `down_to`."""
    node.open_children = 1
    node.set_state(undo=_beginning(cause, down_to))
    draft.push(node.id, {"undo": True})


def _beginning(cause: Json, down_to: int) -> dict[str, Json]:
    return {
        # The completion number below which steps are undone. It is set when the first step is
        # undone, so that steps that complete until then are undone too.
        "before": None,
        "to": down_to,
        "error": cause,
        "done": 0,
    }


def undo_next(draft: Draft, owner: Node | None) -> None:
    """Undo the next step, or end the process. `owner` None: the instance."""
    progress: dict[str, Json] = dict(_state_of(draft, owner).get_state("undo"))
    if progress["before"] is None:
        progress["before"] = draft.root.last_number + 1
    for _ in range(MAX_SKIPPED):
        node = _next_undoable(draft, progress["before"])
        if node is None or (node.completion_number or 0) <= progress["to"]:
            return _finish(draft, owner, progress)
        progress["before"] = node.completion_number
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


def _next_undoable(draft: Draft, before: int) -> Node | None:
    """Return the step that completed last before a number and can be undone, among the steps of
    this transition and the saved ones."""
    candidates = [
        node
        for node in draft.nodes.values()
        if _undoable(node)
        and node.completion_number is not None
        and node.completion_number < before
    ]
    best = max(candidates, key=lambda node: node.completion_number or 0, default=None)
    while True:
        stored, path = draft.need("undo", before)
        if stored is None or (
            best is not None and (best.completion_number or 0) >= stored.completion_number
        ):
            return best
        for step in path.values():
            draft.adopt(step)
        node = draft.adopt(stored)
        if _undoable(node):
            return node
        before = stored.completion_number


def _undoable(node: Node) -> bool:
    """Whether a step can be undone: it has completed, its outcome is unknown, or it is a
    sub-workflow that ended otherwise and was not compensated."""
    if node.compensated_by == "child":
        return node.completion_number is not None
    return node.compensated_by is not None and (
        node.status is Status.COMPLETED or node.outcome_unknown
    )


def _is_to_undo(draft: Draft, owner: Node | None, node: Node) -> bool:
    """Whether the owner's process undoes this step: it is inside the owner (of a `fork`: not in the
    branch that won), and no completed step around it has a compensation of its own, which would
    replace this one's."""
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
    """Begin to undo one step. Return False if there is nothing to do."""
    parent = ROOT if owner is None else owner.id
    if node.compensated_by == "child":
        _send_compensate(draft, node, parent)
        return True
    task = draft.plan_of(node).task.compensation
    scope = {**scope_of(draft, node), "input": node.input, "output": node.output, "error": cause}
    if task is not None and enter(draft, parent, task, node.output, scope, None, node.id):
        return True
    node.compensated_by = None
    return False


def _send_compensate(draft: Draft, node: Node, parent: int) -> None:
    """Send `compensate` to an awaited sub-workflow, and add the step that waits for it."""
    compensating = Node.new(parent, node.reference, "child_compensation", None, None)
    compensating.compensates = node.id
    draft.add(compensating)
    compensating.set_state(child=node.get_state("child"))
    command = {"command": "compensate", "reply": compensating.id, "reason": "the parent undoes it"}
    draft.send_stimulus(StimulusKind.COMMAND, node.get_state("child"), None, command)


def on_undo_completed(draft: Draft, compensating: Node) -> None:
    """Continue after a compensating step that has completed."""
    node = draft.node(compensating.compensates or ROOT)
    node.compensated_by = None
    if compensating.get_state("nothing_to_undo"):
        _uncount(draft, compensating)
    else:
        draft.add_fact("task.compensated", node.id, {"by": compensating.id})
    _continue(draft, compensating)


def _uncount(draft: Draft, compensating: Node) -> None:
    """Subtract a sub-workflow that had nothing to undo: an instance of which nothing was undone can
    still be retried."""
    parent = compensating.parent
    owner = _state_of(draft, None if parent == ROOT else draft.node(parent))
    progress = owner.get_state("undo")
    if progress is not None:
        owner.set_state(undo={**progress, "done": progress["done"] - 1})


def on_undo_failed(draft: Draft, compensating: Node, error: Json) -> None:
    """Add a dead letter for a compensating step that failed for good, and continue."""
    node = draft.node(compensating.compensates or ROOT)
    node.compensated_by = None
    draft.dead_letters.append(
        {"step": compensating.id, "reason": "compensation", "error": error, "undoes": node.id}
    )
    draft.add_fact("compensation.failed", node.id, {"by": compensating.id, "error": error})
    draft.root.set_state(open_dead_letters=draft.root.get_state("open_dead_letters", 0) + 1)
    _continue(draft, compensating)


def on_dead_letter_closed(draft: Draft) -> None:
    """Count one dead letter less."""
    draft.root.set_state(
        open_dead_letters=(draft.root.get_state("open_dead_letters", 0) - 1) or None
    )


def _continue(draft: Draft, compensating: Node) -> None:
    """Continue the process and, if the owner has ended, the waiter of this compensating step."""
    owner = None if compensating.parent == ROOT else draft.node(compensating.parent)
    waiter = compensating.get_state("waiter")
    if waiter is not None:
        on_drained(draft, waiter)
    if owner is not None and not owner.is_open:
        return
    if _state_of(draft, owner).get_state("undo") is not None:
        draft.push(compensating.parent, {"undo": True})
    elif not draft.count_open_leaves()[0]:
        # The compensation was aborted while this compensating step ran, and no step is open now. So
        # release the commands that were postponed until this point.
        release_commands(draft)


def _finish(draft: Draft, owner: Node | None, progress: Mapping[str, Json]) -> None:
    if owner is not None:
        owner.set_state(undo=None)
        owner.open_children = 0
        draft.push(owner.id, {"undone": True})
        return
    untouched = not progress["done"] and progress["compensation_before"] == Compensation.NONE
    state = Compensation.NONE if untouched else Compensation.COMPLETED
    _end(
        draft, progress, Compensation.FAILED if draft.root.get_state("open_dead_letters") else state
    )


def abort(draft: Draft) -> None:
    """End the instance's process before it has undone everything. A step that is being undone goes
    on; postponed commands wait for its end."""
    _end(draft, draft.root.get_state("undo"), Compensation.FAILED)


def postpone_command(draft: Draft, command: Mapping[str, Json]) -> None:
    """Store a command until the instance has ended, has no attempt in flight and is not being
    compensated: only one step may be undone at a time."""
    waiting: list[Json] = draft.root.get_state("postponed_commands", [])
    draft.root.set_state(postponed_commands=[*waiting, dict(command)])


def release_commands(draft: Draft) -> None:
    """Send the postponed commands again: nothing they waited for is left."""
    for command in draft.root.get_state("postponed_commands", []):
        draft.stimuli.append(NewStimulus(StimulusKind.COMMAND, None, None, command))
    draft.root.set_state(postponed_commands=None)


def _end(draft: Draft, progress: Mapping[str, Json], state: Compensation) -> None:
    if not draft.count_open_leaves()[0]:
        release_commands(draft)
    draft.root.set_state(undo=None)
    draft.set_compensation(state)
    draft.add_fact("compensation.ended", None, {"compensation": state.value})
    runs = draft.plan.runs or draft.root.get_state("task_replaced")
    if state is not Compensation.NONE and runs:
        _abandon_children(draft)
    if progress["reply"] is not None:
        report_compensation(draft, progress["reply"])
    elif progress["reports"]:
        report(draft, compensated=True)


def _abandon_children(draft: Draft) -> None:
    """Abandon the sub-workflows that did not complete in the run that was undone: they must not
    continue."""
    run = draft.root.run
    stopped = {step.id for step in draft.need("stopped", run)}
    for step in draft.need("stopped", run):
        draft.adopt(step)
    for node in draft.nodes.values():
        if node.id in stopped or node.get_state("stopped") == run:
            abandon_child(draft, node, "the parent was undone")


def retry_failed_undo(draft: Draft, compensating: Node, node: Node, error: Json) -> bool:
    """Retry a failed call in a compensation after a pause. Return False if it is not retried."""
    attempt = draft.slice.attempt
    if not node.uses_attempts or attempt is None or attempt.step != node.id or not draft.ended:
        return False
    task = draft.plan_of(compensating).task
    tries = node.get_state("tries", 0)
    try:
        own_policy = policy_of(task.metadata.get("retry"), draft.workflow.use)
        policy = own_policy or RetryPolicy(DEFAULT_POLICY)
        wait = pause_before_retry(
            draft, node, policy, Tries(tries, node.started_at), error, "error"
        )
    except Fault:
        return False
    if wait is None:
        return False
    retry_after_pause(draft, node, attempt, error, wait, tries=tries + 1)
    return True
