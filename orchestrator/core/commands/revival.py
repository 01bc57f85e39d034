"""How a stopped instance is opened again: what `repairing` decides, done to the steps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from orchestrator.core import flow
from orchestrator.core.commands.refused import Refused, reason
from orchestrator.core.plans import is_parallel
from orchestrator.core.tasks.listen import listening_of, register_listener
from orchestrator.core.values import ROOT, Json, Status, TimerKind
from orchestrator.core.work import Draft, Living, Node

#: Containers whose children follow each other: a step in a finished one can be begun anew in
#: a copy of it.
_COPIED = frozenset({"do", "try", "call", "extension", "for"})

#: What a container that was stopped before its first child needs to be told.
_FIRST_MOVE: Mapping[str, Json] = {"for": {"at": 0}, "extension": {"before": 0}}


class Revival:
    """Opens the steps again that the end of a run stopped."""

    def __init__(self, draft: Draft, stopped: list[Node], data: Mapping[str, Json]) -> None:
        self.draft = draft
        self.data = data
        self.stopped = {node.id: node for node in stopped}

    def begin_again(self, target: Node | None, change: Mapping[str, Json]) -> None:
        """Go on, `target` begun anew: with another raw ``input``, or passed by with an
        ``output`` given by hand, as `change` says."""
        self._open_instance()
        if target is None:
            return self.draft.push(ROOT, {"begin": True})
        if target.open and not change and target.id in self.stopped:
            return self._go_on_inside()
        parent = self._place(target)
        self._abandon(target)
        for node in list(self.stopped.values()):
            if node.id in self.stopped:
                self._revive(node, wanted=node.id == parent)
        return self._begin(target, parent, change)

    def _go_on_inside(self) -> None:
        """A container failed while it was at work (its timeout, say): what it contains goes
        on, and what has completed in it stands."""
        for node in list(self.stopped.values()):
            self._revive(node, wanted=False)

    def _open_instance(self) -> None:
        draft, root = self.draft, self.draft.root
        draft.set_instance_status(Status.RUNNING)
        root.error = root.output = None
        root.remember(failed=None, report=None)
        _rearm(draft, root, ROOT)

    # -- where the step is begun --------------------

    def _is_open(self, parent: int) -> bool:
        return parent == ROOT or parent in self.stopped

    def _place(self, target: Node) -> int:
        """The container to begin it in: the one that it was in, or a copy of that."""
        if self._is_open(target.parent):
            return target.parent
        old = self.draft.node(target.parent)
        task = self.draft.plan_of(old).task
        if old.kind not in _COPIED or is_parallel(task) or self._has_chunks(old):
            raise Refused(f"nothing in {old.ref} can be begun anew once that has ended")
        copy = Node.new(self._place(old), old.ref, old.kind, old.index, old.scope)
        copy.input, copy.raw_input, copy.state = old.input, old.raw_input, old.state
        copy.remember(next=None, error=None, then=None, due=None, attempt_due=None)
        self.draft.add(copy)
        copy.open = 1
        return copy.id

    def _has_chunks(self, node: Node) -> bool:
        return node.kind == "for" and node.recall("items") is None

    def _abandon(self, target: Node) -> None:
        """What was stopped in the same place is left behind."""
        top = target
        while not self._is_open(top.parent):
            top = self.draft.node(top.parent)
        beside = self._runs_beside(top.parent)
        left = [
            node
            for node in self.stopped.values()
            if self._is_left(node, top.parent, top.index if beside else None)
        ]
        for node in left:
            del self.stopped[node.id]
            node.remember(stopped=None)
        if beside and not left:
            self.draft.node(top.parent).open += 1

    def _runs_beside(self, parent: int) -> bool:
        return parent != ROOT and is_parallel(self.draft.plan_of(self.draft.node(parent)).task)

    def _is_left(self, node: Node, top: int, index: int | None) -> bool:
        """Whether a stopped step is below `top`, and (where given) on that track of it."""
        while node.parent != top:
            if node.parent == ROOT:
                return False
            node = self.draft.node(node.parent)
        return index is None or node.index == index

    # -- opening again --------------------

    def _revive(self, node: Node, *, wanted: bool) -> None:
        contains = wanted or any(other.parent == node.id for other in self.stopped.values())
        if node.status is Status.COMPLETED:  # it landed after the end
            node.remember(stopped=None)
            return flow.done(self.draft, node, self.draft.plan_of(node).then)
        if contains:
            return self._reopen(node)
        if node.open:
            return self._reopen_without_children(node)
        if node.status is Status.CANCELLED and self._waits_again(node):
            return None
        return self._redo(node)

    def _reopen(self, node: Node) -> None:
        draft = self.draft
        draft.set_status(node, Status.RUNNING)
        node.error = None
        node.remember(stopped=None, attempt_due=None)
        _rearm(draft, node, node.id)
        if is_parallel(draft.plan_of(node).task):
            self._begin_missing(node)
        elif node.kind == "listen" and not node.recall("closing"):
            self._listen(node)

    def _listen(self, node: Node) -> None:
        listening = listening_of(self.draft.plan_of(node))
        register_listener(self.draft, node, listening, node.recall("correlation", {}))

    def _begin_missing(self, node: Node) -> None:
        """Branches and iterations that were counted but had not begun."""
        known = {child.index for child in self.draft.need("children", node.id)}
        if node.kind == "fork":
            count = len(self.draft.workflow.tasks(node.ref + "/fork/branches"))
        else:
            count = min(node.recall("next", 0), node.recall("begun", node.recall("count")))
        for index in range(count):
            if index not in known:
                self.draft.push(node.id, {"only": index})

    def _reopen_without_children(self, node: Node) -> None:
        """It was stopped between two children, or while it waited for withdrawn ones."""
        self._reopen(node)
        if is_parallel(self.draft.plan_of(node).task):
            return None
        if node.kind == "try" and node.recall("undo") is not None:
            return self.draft.push(node.id, {"undo": True})
        if node.kind == "try" and node.recall("next") is not None:
            return self.draft.push(node.id, {"settled": True})
        completed = [one for one in self.draft.need("children", node.id) if one.done is not None]
        if not completed:
            return self.draft.push(node.id, _FIRST_MOVE.get(node.kind))
        last = self.draft.node(max(completed, key=lambda one: one.done or 0).id)
        if last.kind == "switch":  # where it went was not kept; it is asked again
            return self._redo(last)
        return flow.done(self.draft, last, self.draft.plan_of(last).then)

    def _waits_again(self, node: Node) -> bool:
        """What only waited goes on waiting: a listener with what it has consumed, a `try` with
        its pause."""
        draft = self.draft
        if node.kind == "listen":
            self._listen(node)
        elif node.kind == "try" and "retry" in (node.recall("next") or {}):
            draft.arm(node.id, TimerKind.RETRY, node.recall("next")["retry"])
        else:
            return False
        draft.set_status(node, Status.WAITING)
        node.remember(stopped=None)
        _rearm(draft, node, node.id)
        return True

    def _redo(self, node: Node) -> None:
        node.remember(stopped=None)
        self._begin(node, node.parent, {})

    def _begin(self, old: Node, parent: int, change: Mapping[str, Json]) -> None:
        """Begin a step's task anew."""
        draft, task = self.draft, self.draft.plan_of(old).task
        if "output" in change:
            return self._pass_by(old, parent, change["output"])
        raw = old.input if old.raw_input is None else old.raw_input
        raw = change.get("input", raw)
        if old.kind == "extension":
            flow.enter(draft, parent, task, raw, old.scope, old.index)
        else:
            flow.enter_bare(draft, parent, task, raw, old.scope, old.index)
        return None

    def _pass_by(self, old: Node, parent: int, output: Json) -> None:
        node = Node.new(parent, old.ref, old.kind, old.index, old.scope)
        node.input, node.raw_input = old.input, old.raw_input
        self.draft.add(node)
        pass_by(self.draft, node, output, self.data)


def _rearm(draft: Draft, living: Living, id: int) -> None:
    """A timeout's clock starts anew, for as long as it ran before."""
    due, since = living.recall("due"), draft.root.was.started_at
    if isinstance(living, Node):
        since = living.started_at
    if due is None or since is None:
        return
    seconds = (datetime.fromisoformat(due) - since).total_seconds()
    again = draft.arm(id, TimerKind.TIMEOUT, max(0.0, seconds))
    living.remember(due=again.isoformat())


def pass_by(draft: Draft, node: Node, output: Json, data: Mapping[str, Json]) -> None:
    """The step has this output without having done anything; there is nothing to undo."""
    node.output = output
    node.undo = None
    draft.fact("task.passed", node.id, reason(data) or None)
    flow.mark_completed(draft, node)
    flow.done(draft, node, draft.plan_of(node).then)
