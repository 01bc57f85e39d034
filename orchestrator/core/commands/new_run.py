"""Reopen a stopped instance, as `retry_and_skip` decides."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core import control_flow, withdrawal
from orchestrator.core.commands.join_recount import recount
from orchestrator.core.commands.refusal import CommandRefused, reason
from orchestrator.core.commands.step_restart import postpone_restart, restart_timeout
from orchestrator.core.draft_nodes import Node
from orchestrator.core.model import ROOT, Json, Status, TimerKind
from orchestrator.core.task_plan import is_parallel
from orchestrator.core.tasks import fork, run
from orchestrator.core.tasks.listen import listen_plan_of, register_listener
from orchestrator.core.transition_draft import Draft

#: Containers whose children follow each other: a step in a finished one can be restarted in a copy
#: of it.
_COPIED = frozenset({"do", "try", "call", "extension", "for"})

#: First agenda item of a container that was stopped before its first child.
_FIRST_MOVE: Mapping[str, Json] = {"for": {"at": 0}, "extension": {"before": 0}}


class NewRun:
    """Reopens the steps that the end of a run stopped."""

    def __init__(self, draft: Draft, stopped: list[Node], data: Mapping[str, Json]) -> None:
        self.draft = draft
        self.data = data
        self.stopped = {node.id: node for node in stopped}
        #: For each container, the tracks (branches, iterations) on which a step was stopped.
        self.tracks: dict[int, set[int | None]] = {}
        #: Steps whose timeout is an expression, to be evaluated from the agenda.
        self.timeouts: list[int] = []
        for node in stopped:
            self.tracks.setdefault(node.parent, set()).add(node.index)

    def restart_task(self, target: Node | None, change: Mapping[str, Json]) -> None:
        """Continue the instance and restart `target`: with another raw ``input``, or skipped with
        the ``output`` of `change`."""
        self._restart(target, change)
        for id in reversed(self.timeouts):  # runs first: timeouts limit the attempts
            self.draft.push(id, {"rearm": True})

    def _restart(self, target: Node | None, change: Mapping[str, Json]) -> None:
        self._open_instance()
        if target is None:
            if self.stopped:
                return self._continue_inside()
            return self._continue_after_last(ROOT, {"begin": True})
        if not change and target.id in self.stopped and self._continues(target):
            return self._continue_inside()
        parent = self._container_for(target)
        container = self._abandon(target)
        for node in reversed(list(self.stopped.values())):
            if node.id in self.stopped:
                self._reopen_or_restart(node, restarts_inside=node.id == container)
        restart_data = {**reason(self.data), **change} if "output" in change else change
        return postpone_restart(self.draft, target, parent, restart_data)

    def _continues(self, target: Node) -> bool:
        """Whether the step itself continues: it contains open steps, its sub-workflow continues, or
        it has completed since."""
        return (
            target.open_children > 0
            or run.can_retry_child(target)
            or target.status is Status.COMPLETED
        )

    def _continue_inside(self) -> None:
        """Continue inside a container that failed while it ran (by its timeout, for example), or in
        a sub-workflow. What has completed in it stays."""
        for node in reversed(list(self.stopped.values())):
            self._reopen_or_restart(node, restarts_inside=False)

    def _open_instance(self) -> None:
        draft, root = self.draft, self.draft.root
        draft.set_instance_status(Status.RUNNING)
        root.error = root.output = None
        root.set_state(failed=None, report=None)
        self._restart_timeout(None)

    def _restart_timeout(self, node: Node | None) -> None:
        if not restart_timeout(self.draft, node):
            self.timeouts.append(ROOT if node is None else node.id)

    # -- the restarted step's container --------------------

    def _is_open(self, parent: int) -> bool:
        return parent == ROOT or parent in self.stopped

    def _container_for(self, target: Node) -> int:
        """Return the container to restart the step in: its own one, or a copy of that."""
        if self._is_open(target.parent):
            return target.parent
        old = self.draft.node(target.parent)
        task = self.draft.plan_of(old).task
        if old.kind not in _COPIED or is_parallel(task) or self._has_chunks(old):
            raise CommandRefused(
                f"no step in {old.reference} can be restarted after that has ended"
            )
        copy = Node.new(self._container_for(old), old.reference, old.kind, old.index, old.scope)
        copy.input, copy.raw_input, copy.state = old.input, old.raw_input, old.state
        copy.set_state(next=None, error=None, then=None, due=None, attempt_due=None)
        self.draft.add(copy)
        copy.open_children = 1
        if old.kind != "extension":
            copy.compensated_by = self.draft.plan_of(old).compensated_by
        return copy.id

    def _has_chunks(self, node: Node) -> bool:
        return node.kind == "for" and node.get_state("items") is None

    def _abandon(self, target: Node) -> int:
        """Drop the stopped steps in the same place. Return the container of both."""
        top = target
        while not self._is_open(top.parent):
            top = self.draft.node(top.parent)
        is_parallel_track = self._runs_beside(top.parent)
        dropped = [
            node
            for node in self.stopped.values()
            if self._is_below(node, top.parent, top.index if is_parallel_track else None)
        ]
        for node in dropped:
            del self.stopped[node.id]
            node.set_state(stopped=None)
            withdrawal.abandon_child(self.draft, node, "the parent has restarted the step")
        if is_parallel_track and not dropped:  # the track had completed
            self.tracks.setdefault(top.parent, set()).add(top.index)
        return top.parent

    def _runs_beside(self, parent: int) -> bool:
        return parent != ROOT and is_parallel(self.draft.plan_of(self.draft.node(parent)).task)

    def _is_below(self, node: Node, top: int, index: int | None) -> bool:
        """Whether a stopped step is below `top` and, if `index` is set, on that track."""
        while node.parent != top:
            if node.parent == ROOT:
                return False
            node = self.draft.node(node.parent)
        return index is None or node.index == index

    # -- steps that the new run opens again ----

    def _reopen_or_restart(self, node: Node, *, restarts_inside: bool) -> None:
        contains = restarts_inside or any(
            other.parent == node.id for other in self.stopped.values()
        )
        if node.status is Status.COMPLETED:  # it ended after the last run's end
            return self._continue_completed(node)
        if run.can_retry_child(node):
            return self._retry_child(node)
        if contains:
            self._reopen(node)
            if node.open_children == 0:  # it waited, or failed before its first child
                node.open_children = 1
                node.set_state(next=None, error=None)
            return None
        if node.open_children:
            return self._reopen_without_children(node)
        if node.status is Status.CANCELLED and self._wait_again(node):
            return None
        return postpone_restart(self.draft, node, node.parent, {})

    def _retry_child(self, node: Node) -> None:
        run.retry_child(self.draft, node, reason(self.data))
        self._restart_timeout(node)

    def _continue_completed(self, node: Node) -> None:
        if node.get_state("redo"):  # the last run had postponed its restart
            return postpone_restart(self.draft, node, node.parent, {})
        node.set_state(stopped=self.draft.root.run)
        return control_flow.push_completion(self.draft, node, self.draft.plan_of(node).then)

    def _reopen(self, node: Node) -> None:
        draft = self.draft
        draft.set_status(node, Status.RUNNING)
        node.error = None
        node.set_state(stopped=None, attempt_due=None, fault=None)
        self._restart_timeout(node)
        if node.kind == "fork" and fork.resume(draft, node):
            return
        if is_parallel(draft.plan_of(node).task):
            recount(draft, node, self.tracks.get(node.id, set()))
        elif node.kind == "listen" and not node.get_state("closing"):
            self._listen(node)

    def _listen(self, node: Node) -> None:
        listen_plan = listen_plan_of(self.draft.plan_of(node))
        register_listener(self.draft, node, listen_plan, node.get_state("correlation", {}))

    def _reopen_without_children(self, node: Node) -> None:
        """Reopen a container that was stopped between children, or while steps in it drained."""
        self._reopen(node)
        if is_parallel(self.draft.plan_of(node).task):
            return None
        if node.kind == "try" and node.get_state("undo") is not None:
            return self.draft.push(node.id, {"undo": True})
        if node.kind == "try" and node.get_state("next") is not None:
            return self.draft.push(node.id, {"drained": True})
        return self._continue_after_last(node.id, _FIRST_MOVE.get(node.kind))

    def _continue_after_last(self, parent: int, first_move: Json) -> None:
        """Continue a list after its newest completed step; if there is none, begin it."""
        completed = [
            child.id
            for child in self.draft.need("children", parent)
            if child.status is Status.COMPLETED and child.compensates is None
        ]
        if not completed:
            return self.draft.push(parent, first_move)
        # Continue after the newest child (the greatest id), not after the child with the greatest
        # completion number. A skipped step counts as completed only when its attempt has ended,
        # which may be long after its successors have completed.
        last = self.draft.node(max(completed))
        if last.kind == "switch":  # its decision was not stored: evaluate it again
            return postpone_restart(self.draft, last, last.parent, {})
        return control_flow.push_completion(self.draft, last, self.draft.plan_of(last).then)

    def _wait_again(self, node: Node) -> bool:
        """Reopen a step that only waited: a listener with the events it has consumed, a `try` with
        its pause. Return False for other steps."""
        draft = self.draft
        if node.kind == "listen":
            self._listen(node)
        elif node.kind == "try" and "retry" in (node.get_state("next") or {}):
            draft.arm(node.id, TimerKind.RETRY, node.get_state("next")["retry"])
        else:
            return False
        draft.set_status(node, Status.WAITING)
        node.set_state(stopped=None)
        self._restart_timeout(node)
        return True
