"""How a stopped instance is opened again: what `repairing` decides, done to the steps."""

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

#: Containers whose children follow each other: a step in a finished one can be begun anew in
#: a copy of it.
_COPIED = frozenset({"do", "try", "call", "extension", "for"})

#: What a container that was stopped before its first child needs to be told.
_FIRST_MOVE: Mapping[str, Json] = {"for": {"at": 0}, "extension": {"before": 0}}


class NewRun:
    """Opens the steps again that the end of a run stopped."""

    def __init__(self, draft: Draft, stopped: list[Node], data: Mapping[str, Json]) -> None:
        self.draft = draft
        self.data = data
        self.stopped = {node.id: node for node in stopped}
        #: For each container, on which tracks of it (branches, iterations) something stopped.
        self.tracks: dict[int, set[int | None]] = {}
        #: Those whose timeout is an expression, and so is computed in its turn.
        self.timeouts: list[int] = []
        for node in stopped:
            self.tracks.setdefault(node.parent, set()).add(node.index)

    def restart_task(self, target: Node | None, change: Mapping[str, Json]) -> None:
        """Go on, `target` begun anew: with another raw ``input``, or passed by with an
        ``output`` given by hand, as `change` says."""
        self._restart(target, change)
        for id in reversed(self.timeouts):  # the first to be taken: attempts are limited by it
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
        around = self._abandon(target)
        for node in reversed(list(self.stopped.values())):
            if node.id in self.stopped:
                self._reopen_or_restart(node, restarts_inside=node.id == around)
        restart_data = {**reason(self.data), **change} if "output" in change else change
        return postpone_restart(self.draft, target, parent, restart_data)

    def _continues(self, target: Node) -> bool:
        """Whether the step itself goes on: it contains others, its sub-workflow does, or it has
        completed since."""
        return target.open > 0 or run.can_retry_child(target) or target.status is Status.COMPLETED

    def _continue_inside(self) -> None:
        """A container failed while it was at work (its timeout, say), or a sub-workflow: what
        it contains goes on, and what has completed in it stands."""
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

    # -- where the step is begun --------------------

    def _is_open(self, parent: int) -> bool:
        return parent == ROOT or parent in self.stopped

    def _container_for(self, target: Node) -> int:
        """The container to begin it in: the one that it was in, or a copy of that."""
        if self._is_open(target.parent):
            return target.parent
        old = self.draft.node(target.parent)
        task = self.draft.plan_of(old).task
        if old.kind not in _COPIED or is_parallel(task) or self._has_chunks(old):
            raise CommandRefused(f"nothing in {old.ref} can be begun anew once that has ended")
        copy = Node.new(self._container_for(old), old.ref, old.kind, old.index, old.scope)
        copy.input, copy.raw_input, copy.state = old.input, old.raw_input, old.state
        copy.set_state(next=None, error=None, then=None, due=None, attempt_due=None)
        self.draft.add(copy)
        copy.open = 1
        if old.kind != "extension":
            copy.undo = self.draft.plan_of(old).undo
        return copy.id

    def _has_chunks(self, node: Node) -> bool:
        return node.kind == "for" and node.get_state("items") is None

    def _abandon(self, target: Node) -> int:
        """What was stopped in the same place is left behind; returns the container of both."""
        top = target
        while not self._is_open(top.parent):
            top = self.draft.node(top.parent)
        beside = self._runs_beside(top.parent)
        left = [
            node
            for node in self.stopped.values()
            if self._is_below(node, top.parent, top.index if beside else None)
        ]
        for node in left:
            del self.stopped[node.id]
            node.set_state(stopped=None)
            withdrawal.abandon_child(self.draft, node, "the parent has begun the step anew")
        if beside and not left:  # the track had completed
            self.tracks.setdefault(top.parent, set()).add(top.index)
        return top.parent

    def _runs_beside(self, parent: int) -> bool:
        return parent != ROOT and is_parallel(self.draft.plan_of(self.draft.node(parent)).task)

    def _is_below(self, node: Node, top: int, index: int | None) -> bool:
        """Whether a stopped step is below `top`, and (where given) on that track of it."""
        while node.parent != top:
            if node.parent == ROOT:
                return False
            node = self.draft.node(node.parent)
        return index is None or node.index == index

    # -- opening again --------------------

    def _reopen_or_restart(self, node: Node, *, restarts_inside: bool) -> None:
        contains = restarts_inside or any(
            other.parent == node.id for other in self.stopped.values()
        )
        if node.status is Status.COMPLETED:  # it landed after the end
            return self._continue_completed(node)
        if run.can_retry_child(node):
            return self._retry_child(node)
        if contains:
            self._reopen(node)
            if node.open == 0:  # it waited, or had failed before its first child
                node.open = 1
                node.set_state(next=None, error=None)
            return None
        if node.open:
            return self._reopen_without_children(node)
        if node.status is Status.CANCELLED and self._wait_again(node):
            return None
        return postpone_restart(self.draft, node, node.parent, {})

    def _retry_child(self, node: Node) -> None:
        run.retry_child(self.draft, node, reason(self.data))
        self._restart_timeout(node)

    def _continue_completed(self, node: Node) -> None:
        if node.get_state("redo"):  # it was to be begun anew in the last run already
            return postpone_restart(self.draft, node, node.parent, {})
        node.set_state(stopped=self.draft.root.run)
        return control_flow.push_completion(self.draft, node, self.draft.plan_of(node).then)

    def _reopen(self, node: Node) -> None:
        draft = self.draft
        draft.set_status(node, Status.RUNNING)
        node.error = None
        node.set_state(stopped=None, attempt_due=None)
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
        """It was stopped between two children, or while it waited for withdrawn ones."""
        self._reopen(node)
        if is_parallel(self.draft.plan_of(node).task):
            return None
        if node.kind == "try" and node.get_state("undo") is not None:
            return self.draft.push(node.id, {"undo": True})
        if node.kind == "try" and node.get_state("next") is not None:
            return self.draft.push(node.id, {"settled": True})
        return self._continue_after_last(node.id, _FIRST_MOVE.get(node.kind))

    def _continue_after_last(self, parent: int, first_move: Json) -> None:
        """What comes after the newest completed step of a list; without one, its beginning."""
        completed = [
            child.id
            for child in self.draft.need("children", parent)
            if child.status is Status.COMPLETED and child.undoes is None
        ]
        if not completed:
            return self.draft.push(parent, first_move)
        # Not the one that completed last: a step that was skipped may have landed after that.
        last = self.draft.node(max(completed))
        if last.kind == "switch":  # where it went was not kept; it is asked again
            return postpone_restart(self.draft, last, last.parent, {})
        return control_flow.push_completion(self.draft, last, self.draft.plan_of(last).then)

    def _wait_again(self, node: Node) -> bool:
        """What only waited goes on waiting: a listener with what it has consumed, a `try` with
        its pause."""
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
