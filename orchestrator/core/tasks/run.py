"""``run``: a sub-workflow as an instance of its own (dsl-reference.md, Run).

Containers, scripts and shell commands are not built: reaching one is a fault of the
configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core import faults, settle
from orchestrator.core.data import fill
from orchestrator.core.faults import Fault, placed, standard
from orchestrator.core.flow import complete, complete_outside
from orchestrator.core.kinds import Faulted, Kind, register
from orchestrator.core.nodes import Node
from orchestrator.core.plans import Plan
from orchestrator.core.templates import Template
from orchestrator.core.values import AttemptState, Json, NewInstance, Status
from orchestrator.core.work import Draft

#: What can be run.
BUILT_KINDS = frozenset({"workflow"})


class Process:
    """What a run task says, read once."""

    __slots__ = ("awaits", "input", "kind", "returns", "target")

    def __init__(self, plan: Plan) -> None:
        body: dict[str, Any] = plan.task.body["run"]
        kinds = ("workflow", "container", "script", "shell")
        self.kind = next((kind for kind in kinds if kind in body), "nothing")
        self.awaits: bool = body.get("await", True) is not False
        self.returns: str | None = body.get("return")
        about = body.get(self.kind) or {}
        self.target = Template({name: about.get(name) for name in ("namespace", "name", "version")})
        given = about.get("input")
        self.input = None if given is None else Template(given, loose=plan.loose)


def enter(draft: Draft, node: Node, plan: Plan) -> None:
    """Start the sub-workflow; await it unless the task says not to."""
    if plan.own is None:
        plan.own = Process(plan)
    process: Process = plan.own
    if process.kind not in BUILT_KINDS:
        raise faults.configuration(f"running a {process.kind} is not built")
    namespace, workflow = _target(draft, node, process)
    given = node.input if process.input is None else fill(draft, node, process.input, node.input)
    id, parent = draft.id(), node.id if process.awaits else None
    state: dict[str, Json] = {}
    if process.awaits:
        state["depth"] = _depth(draft)
    if trace := draft.root.recall("trace"):
        state["trace"] = trace
    draft.children.append(NewInstance(id, workflow, namespace, given, parent, state or None))
    if process.awaits:
        node.remember(child=id)
    else:
        complete(draft, node, node.input)


def _depth(draft: Draft) -> int:
    """How many instances wait for the sub-workflow. One that nobody awaits begins at none: a
    workflow may start its successor for ever. Raises `Fault` beyond the limit."""
    depth: int = draft.root.recall("depth", 0) + 1
    most = draft.limits.depth
    if depth > most:
        raise faults.runtime(
            f"sub-workflows that are awaited nest deeper than {most}; one that need not be"
            " awaited may be started with `await: false`"
        )
    return depth


def _target(draft: Draft, node: Node, process: Process) -> tuple[str, str]:
    """The namespace and the id of the workflow version. Whose documents a namespace takes, and
    whose secrets and outputs it may see, its keys say: a document grants it nothing more."""
    target = fill(draft, node, process.target, node.input)
    namespace, name = target["namespace"], target["name"]
    version = target["version"] or "latest"
    if not all(isinstance(part, str) for part in (namespace, name, version)):
        raise faults.validation("a sub-workflow's namespace, name and version are texts")
    if namespace != draft.root.was.namespace and not draft.limits.across:
        raise _missing(f"{namespace}/{name} {version}", ", whose namespace is another one")
    found = draft.need("workflow", namespace, name, version)
    if found is None:
        raise _missing(f"{namespace}/{name} {version}")
    return namespace, found


def _missing(wanted: str, why: str = "") -> Fault:
    detail = f"there is no workflow {wanted} for this one to run{why}"
    return Fault(standard("configuration", detail, 404))


def child(draft: Draft, node: Node, data: Mapping[str, Json]) -> None:
    """The sub-workflow has ended."""
    completed = data.get("status") == Status.COMPLETED
    error = _error(node, data)
    if node.recall("flying") is not None:
        state = AttemptState.SUCCEEDED if completed else AttemptState.FAILED
        return settle.land(draft, node, state, data.get("output"), error)
    if not completed:
        raise Faulted(node, error)
    process: Process = draft.plan_of(node).own or Process(draft.plan_of(node))
    return complete_outside(draft, node, None if process.returns == "none" else data.get("output"))


def _error(node: Node, data: Mapping[str, Json]) -> dict[str, Json]:
    """The sub-workflow's error, as one of this step: a pointer into its document means
    nothing here."""
    status = data.get("status")
    error = data.get("error") or standard("runtime", f"the sub-workflow was {status}")
    return placed({**error, "instance": None}, node.ref)


register("run", Kind(enter, child=child))
