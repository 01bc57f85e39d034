"""``run``: a sub-workflow as an instance of its own (dsl-reference.md, Run).

A shell command or a script is an attempt of a worker (`run_process`). Containers are not supported:
running one raises a `configuration` fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core import dsl_errors, withdrawal
from orchestrator.core.control_flow import (
    complete,
    complete_outside,
    enter_bare,
    in_compensation,
    remove_timers,
)
from orchestrator.core.data_flow import render
from orchestrator.core.draft_nodes import Node
from orchestrator.core.dsl_errors import Fault, standard_error, with_instance
from orchestrator.core.expression_template import Template
from orchestrator.core.model import (
    AttemptState,
    Compensation,
    Json,
    NewInstance,
    Status,
    StimulusKind,
)
from orchestrator.core.task_kinds import StepFaulted, StimulusIgnored, TaskKind, register
from orchestrator.core.task_plan import Plan
from orchestrator.core.tasks import run_process
from orchestrator.core.transition_draft import Draft
from orchestrator.core.worker_request import ON_TIMER
from orchestrator.document.processes import LITERAL_ARGUMENTS

KINDS = ("workflow", "container", "script", "shell")
"""The kinds of processes (dsl-reference.md, Run)."""

#: The supported ones.
BUILT_KINDS = frozenset({"workflow", *LITERAL_ARGUMENTS})


class RunTask:
    """A run of a sub-workflow, read once."""

    __slots__ = ("awaits", "input", "returns", "target")

    def __init__(self, plan: Plan) -> None:
        body: dict[str, Any] = plan.task.body["run"]
        self.awaits: bool = body.get("await", True) is not False
        self.returns: str | None = body.get("return")
        about = body["workflow"]
        named = {name: about.get(name) for name in ("namespace", "name", "version")}
        self.target = Template(named, "run.workflow")
        raw = about.get("input")
        self.input = None if raw is None else Template(raw, "run.workflow.input", loose=plan.loose)


def enter(draft: Draft, node: Node, plan: Plan) -> None:
    """Start the process; await it unless the task says not to."""
    kind = next((name for name in KINDS if name in plan.task.body["run"]), "nothing")
    if kind in LITERAL_ARGUMENTS:
        return run_process.enter(draft, node, plan, kind)
    if kind not in BUILT_KINDS:
        raise dsl_errors.configuration(f"running a {kind} is not built")
    if plan.kind_plan is None:
        plan.kind_plan = RunTask(plan)
    process: RunTask = plan.kind_plan
    namespace, workflow = _target(draft, node, process)
    raw = node.input if process.input is None else render(draft, node, process.input, node.input)
    if process.awaits:
        return start_awaited(draft, node, namespace, workflow, raw)
    _start(draft, namespace, workflow, raw, None, {})
    return complete(draft, node, node.input)


def start_awaited(draft: Draft, node: Node, namespace: str, workflow: str, raw: Json) -> None:
    """Start a sub-workflow that the step waits for. Raises `Fault` if they nest too deeply."""
    node.set_state(
        child=_start(draft, namespace, workflow, raw, node.id, {"depth": _nesting_depth(draft)})
    )


def _start(
    draft: Draft,
    namespace: str,
    workflow: str,
    raw: Json,
    parent: int | None,
    state: dict[str, Json],
) -> str:
    id = draft.id()
    state["tree"] = _tree(draft)
    if trace := draft.root.get_state("trace"):
        state["trace"] = trace
    draft.children.append(NewInstance(id, workflow, namespace, raw, parent, state))
    return id


def _tree(draft: Draft) -> dict[str, Json]:
    """Return the place of a new instance in the tree of all that one instance has started. Raises
    `Fault` if the tree has started too many within an hour: it would start itself for ever."""
    own = draft.root.get_state("tree") or {"root": draft.slice.instance.id, "generation": 0}
    if own["generation"] and not draft.need("tree", own["root"]):
        raise dsl_errors.runtime(
            f"the instances that {own['root']} has started have started too many others within an"
            " hour"
        )
    return {**own, "generation": own["generation"] + 1}


def _nesting_depth(draft: Draft) -> int:
    """Return how many instances wait for the sub-workflow. One that is not awaited begins at zero:
    a workflow may start its successor endlessly, if not too fast (`_tree`). Raises `Fault` beyond
    the bound."""
    depth: int = draft.root.get_state("depth", 0) + 1
    max_depth = draft.limits.depth
    if depth > max_depth:
        raise dsl_errors.runtime(
            f"sub-workflows that are awaited nest deeper than {max_depth}; one that need not be"
            " awaited may be started with `await: false`"
        )
    return depth


def _target(draft: Draft, node: Node, process: RunTask) -> tuple[str, str]:
    """Return the namespace and the id of the workflow version. The namespace's keys decide which
    documents it accepts and which secrets and outputs it may read; a document grants nothing more.
    """
    target = render(draft, node, process.target, node.input)
    namespace, name = target["namespace"], target["name"]
    version = target["version"] or "latest"
    if not all(isinstance(part, str) for part in (namespace, name, version)):
        raise dsl_errors.validation("a sub-workflow's namespace, name and version are texts")
    if namespace != draft.root.original.namespace and not draft.limits.other_namespaces:
        raise _missing(f"{namespace}/{name} {version}", ", whose namespace is another one")
    workflow_id = draft.need("workflow", namespace, name, version)
    if workflow_id is None:
        raise _missing(f"{namespace}/{name} {version}")
    return namespace, workflow_id


def _missing(workflow: str, reason: str = "") -> Fault:
    detail = f"there is no workflow {workflow} for this one to run{reason}"
    return Fault(standard_error("configuration", detail, 404))


def on_instance_ended(draft: Draft, node: Node, data: Mapping[str, Json]) -> None:
    """Handle the sub-workflow's end, or its answer to a retry (see `parent_report`). Raises
    `StimulusIgnored` for an earlier retry or run, and `StepFaulted`."""
    _check(node, data)
    if not node.is_open:
        return _on_late_success(draft, node, data)
    answer = data.get("answer")
    if answer == "open":
        return node.set_state(child_run=data["run"])
    if node.get_state("draining") is not None:
        return _finish_draining(draft, node, data)
    if answer == "gone":
        return _replace_step(draft, node)
    if not _has_completed(data):
        _mark_compensable(draft, node, data)
        raise StepFaulted(node, _error(node, data))
    return complete_outside(draft, node, _output(draft, node, data))


def _check(node: Node, data: Mapping[str, Json]) -> None:
    if node.get_state("retry_run") != data.get("retry_run"):
        raise StimulusIgnored("the sub-workflow has since been asked for another run")
    if data.get("run", 1) < node.get_state("child_run", 1):
        raise StimulusIgnored("the sub-workflow has since begun another run")


def _has_completed(data: Mapping[str, Json]) -> bool:
    return data.get("status") == Status.COMPLETED and data.get("answer") is None


def _output(draft: Draft, node: Node, data: Mapping[str, Json]) -> Json:
    if node.kind != "run":  # a call whose task has replaced itself
        return data.get("output")
    process: RunTask = draft.plan_of(node).kind_plan or RunTask(draft.plan_of(node))
    return None if process.returns == "none" else data.get("output")


def _finish_draining(draft: Draft, node: Node, data: Mapping[str, Json]) -> None:
    """End a withdrawn step whose sub-workflow has ended."""
    if _has_completed(data):
        return withdrawal.finish_draining(
            draft, node, AttemptState.SUCCEEDED, _output(draft, node, data), None
        )
    withdrawal.finish_draining(draft, node, AttemptState.FAILED, None, _error(node, data))
    return _mark_compensable(draft, node, data)


def _mark_compensable(draft: Draft, node: Node, data: Mapping[str, Json]) -> None:
    """Mark a sub-workflow that ended otherwise and was not compensated: it is undone with its
    parent, at the place of its end."""
    if data.get("held") and node.compensated_by is not None:
        node.compensated_by, node.completion_number = "child", draft.number()


def _on_late_success(draft: Draft, node: Node, data: Mapping[str, Json]) -> None:
    """Record the success of a sub-workflow that was retried after its step had ended. It can be
    undone, but no task follows (DESIGN, I13)."""
    if node.status is Status.COMPLETED or not _has_completed(data):
        raise StimulusIgnored(f"the step is {node.status} already")
    if in_compensation(draft, node) is not None:
        raise StimulusIgnored("a failed compensation stays failed")
    node.compensated_by = draft.plan_of(node).compensated_by
    withdrawal.record_late_success(draft, node, _output(draft, node, data))
    root = draft.root
    process = root.get_state("undo")
    if root.compensation is Compensation.NONE or (process and process["before"] is None):
        return
    command = {"command": "compensate", "reason": "the parent was undone"}
    draft.send_stimulus(StimulusKind.COMMAND, node.get_state("child"), None, command)
    node.compensated_by = None


def retry_child(draft: Draft, node: Node, reason: Mapping[str, Json]) -> None:
    """Reopen the step in the parent's new run, and ask its sub-workflow to continue. What the
    sub-workflow has completed stays."""
    run = draft.root.run
    draft.set_status(node, Status.RUNNING)
    node.error = node.output = node.completion_number = None
    node.outcome_unknown = False
    if in_compensation(draft, node) is None:
        node.compensated_by = draft.plan_of(node).compensated_by
    node.set_state(stopped=None, retry_run=run, child_run=None)
    draft.add_fact("task.retried", node.id, {"run": run})
    command = {"command": "retry", "retry_run": run, "step": node.id, **reason}
    draft.send_stimulus(StimulusKind.COMMAND, node.get_state("child"), None, command)


def can_retry_child(node: Node) -> bool:
    """Whether a stopped step has a sub-workflow that may continue. False for a step that is to be
    restarted (another input, an earlier step)."""
    return withdrawal.awaits_child(node) and not node.get_state("redo")


def _replace_step(draft: Draft, node: Node) -> None:
    """Begin another step with a new sub-workflow: the old one was compensated meanwhile."""
    remove_timers(draft, node)
    draft.set_status(node, Status.CANCELLED)
    node.compensated_by = None
    draft.add_fact("task.cancelled", node.id, {"child": node.get_state("child"), "undone": True})
    raw = node.input if node.raw_input is None else node.raw_input
    enter_bare(draft, node.parent, draft.plan_of(node).task, raw, node.scope, node.index)


def _error(node: Node, data: Mapping[str, Json]) -> dict[str, Json]:
    """Return the sub-workflow's error as this step's: a pointer into the other document would mean
    nothing here."""
    status = data.get("status")
    error = data.get("error") or standard_error("runtime", f"the sub-workflow was {status}")
    if data.get("answer") is not None:
        reason = data.get("detail") or "it was undone"
        error = standard_error("runtime", f"the sub-workflow cannot continue: {reason}")
    return with_instance({**error, "instance": None}, node.reference)


register("run", TaskKind(enter, on_timer=ON_TIMER, on_instance_ended=on_instance_ended))
