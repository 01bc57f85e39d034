"""Reconcile: continue open places that wait for nothing.

Only damage from outside leaves such places: deleted rows, or a restored backup. `orchestrator
doctor` finds them and names the steps in ``steps``. They are checked again here under the
instance's lock; steps that have moved since are left alone. What was lost is created again through
the task's own kind: another attempt of a call, a timer that is never due earlier than before, a
listener; in a container without open children, what follows its last child. The counter of open
places is corrected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.core import control_flow, withdrawal
from orchestrator.core.attempts import create_attempt, retry_now
from orchestrator.core.commands import join_recount
from orchestrator.core.commands.refusal import CommandRefused, reason
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import Fault
from orchestrator.core.model import (
    OPEN_STATUSES,
    ROOT,
    AttemptState,
    Compensation,
    Json,
    Status,
    TimerKind,
)
from orchestrator.core.task_kinds import KINDS, StepFaulted
from orchestrator.core.task_plan import is_parallel
from orchestrator.core.tasks import fork
from orchestrator.core.transition_draft import Draft

#: Kinds that end by the report of another instance, which is asked to send it again.
_ENDED_BY_REPORTS = frozenset({"run", "child_compensation"})


def reconcile(draft: Draft, data: Mapping[str, Json]) -> None:
    """Continue the instance where it stalled. Raises `StepFaulted` if the handling of a fault was
    lost."""
    root = draft.root
    if root.status is Status.SUSPENDED:
        raise CommandRefused("the instance is suspended: it continues at its resume")
    steps = withdrawal.open_steps(draft)
    _recount(draft, steps)
    named = [id for id in data.get("steps") or () if isinstance(id, int)]
    draft.add_fact("workflow.mended", None, {"steps": named, **reason(data)})
    around = {node.parent for node in steps.nodes}
    for node in steps.nodes:
        if node.id in named and node.id not in around and node.id not in steps.attempts:
            _repair_step(draft, node)
    if not steps.nodes:
        _repair_instance(draft)


def _recount(draft: Draft, steps: withdrawal.OpenSteps) -> None:
    """Correct the counts of open steps without open children, and of those that only wait."""
    saved = [node.original for node in steps.nodes if node.original is not None]
    leaves = [step for step in saved if step.open_children == 0 and step.status in OPEN_STATUSES]
    waiting = sum(step.status is Status.WAITING for step in leaves)
    root = draft.root
    state = {**(root.original.state or {}), "waiting": waiting}
    root.original = replace(root.original, open_places=len(leaves), state=state)
    root.set_state(waiting=waiting or None)


def _repair_step(draft: Draft, node: Node) -> None:
    try:
        if node.get_state("draining") is not None:
            return withdrawal.on_drain_timeout(draft, node)
        reported = node.kind in _ENDED_BY_REPORTS or withdrawal.awaits_child(node)
        if reported or node.get_state("result") is not None:
            return None
        if node.status is Status.WAITING and TimerKind.RETRY in KINDS[node.kind].on_timer:
            return KINDS[node.kind].on_timer[TimerKind.RETRY](draft, node)
        if node.uses_attempts and node.open_children == 0:
            return _recreate_attempt(draft, node)
        if node.kind in ("wait", "listen") and node.open_children == 0:
            return KINDS[node.kind].enter(draft, node, draft.plan_of(node))
        return _continue_container(draft, node)
    except Fault as fault:
        raise StepFaulted(node, fault.error) from None


def _recreate_attempt(draft: Draft, node: Node) -> None:
    """Create another attempt of the step, with the same idempotency key."""
    last = draft.need("attempt", node.id)
    if node.get_state("attempt") is not None:
        return retry_now(draft, node)
    if last is None:
        return KINDS[node.kind].enter(draft, node, draft.plan_of(node))
    started = last.state is not AttemptState.WITHDRAWN
    return create_attempt(
        draft,
        node,
        last.task,
        last.queue,
        last.priority,
        last.number + 1,
        last.starts + started,
    )


def _continue_container(draft: Draft, node: Node) -> None:
    """Continue after the last child of a container; if there is none, begin it."""
    if node.kind == "fork" and fork.resume(draft, node):
        return None
    if is_parallel(draft.plan_of(node).task):
        return join_recount.recount(draft, node, frozenset())
    node.open_children = 1
    last = _newest_child(draft, node.id)
    if last is None:
        return KINDS[node.kind].enter(draft, node, draft.plan_of(node))
    return _continue_after(draft, last)


def _newest_child(draft: Draft, parent: int) -> Node | None:
    """Return the newest step in a container that is no compensating step."""
    children = [child for child in draft.need("children", parent) if child.compensates is None]
    return draft.node(max(child.id for child in children)) if children else None


def _continue_after(draft: Draft, last: Node) -> None:
    if last.status is Status.COMPLETED:
        return control_flow.push_completion(draft, last, draft.plan_of(last).then)
    raise StepFaulted(last, last.error or {})


def _repair_instance(draft: Draft) -> None:
    """Continue an instance without open steps."""
    root = draft.root
    if root.compensation is Compensation.RUNNING:
        if root.get_state("undo") is not None:
            draft.push(ROOT, {"undo": True})
        return None
    if not root.is_open or root.status is Status.PENDING:
        return None
    last = _newest_child(draft, ROOT)
    return draft.push(ROOT, {"begin": True}) if last is None else _continue_after(draft, last)
