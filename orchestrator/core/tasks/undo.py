"""The undoing of an awaited sub-workflow, through its own instance. Not a task of the DSL: a
step that waits until that instance says how its compensation went."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.faults import placed, standard
from orchestrator.core.flow import done, mark_completed
from orchestrator.core.kinds import Faulted, Ignored, Kind, register
from orchestrator.core.nodes import Node
from orchestrator.core.plans import Plan
from orchestrator.core.values import Compensation, Json
from orchestrator.core.work import Draft


def enter(_: Draft, node: Node, __: Plan) -> None:
    """Never: `compensation` makes these steps itself."""
    raise LookupError(f"{node.ref} cannot be entered")


def child(draft: Draft, node: Node, data: Mapping[str, Json]) -> None:
    """The sub-workflow has undone what it could. Raises `Ignored` where that is known."""
    if not node.is_open or "compensated" not in data:
        raise Ignored(f"the step is {node.status}")
    if data.get("compensated") == Compensation.FAILED:
        error = standard("runtime", "the compensation of the sub-workflow failed")
        raise Faulted(node, placed(error, node.ref))
    if data.get("compensated") == Compensation.NONE:
        node.remember(nothing=True)
    mark_completed(draft, node)
    done(draft, node, None)


register("undo", Kind(enter, child=child))
