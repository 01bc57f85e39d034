"""``call``: request work from a worker (dsl-reference.md, Call).

A name means, in this order: a built-in kind of call, a function of ``use.functions``, a function of
a catalog, a Celery task. A function's task runs as the step's child with the value of ``with`` as
its input. Every other call leaves the process as an attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core import control_flow, dsl_errors
from orchestrator.core.attempts import create_attempt
from orchestrator.core.data_flow import NOTHING, render
from orchestrator.core.document_arguments import in_authored_structure
from orchestrator.core.draft_nodes import Node
from orchestrator.core.expression_template import Template
from orchestrator.core.expression_variables import SECRETS, collect
from orchestrator.core.model import ROOT, Json
from orchestrator.core.task_kinds import TaskKind, register
from orchestrator.core.task_plan import Plan
from orchestrator.core.tasks import run
from orchestrator.core.transition_draft import Draft
from orchestrator.core.worker_request import CALL_TASK, ON_TIMER, idempotency_key, queue_of
from orchestrator.document.allowed_tasks import inner_tasks, is_reserved, refusal_reason
from orchestrator.document.model import escape

#: Kinds of calls that a worker can carry out.
BUILT_KINDS = frozenset({"celery", "http", "openapi"})

#: Kinds that the DSL names.
DSL_KINDS = frozenset({"asyncapi", "grpc", "http", "openapi", "a2a", "mcp"})

#: Most calls of functions inside one another.
MAX_FUNCTIONS = 100


class Call:
    """What a call task requests, read once. `kind` is "function", "celery" or one of the DSL's;
    `target` is the name of the function or the Celery task. `task` and `queue` may be expressions,
    evaluated before the claim. `arguments` are the rest of its `with`, `template` the same parsed.
    """

    __slots__ = (
        "arguments",
        "deferred",
        "kind",
        "names",
        "priority",
        "queue",
        "target",
        "task",
        "template",
    )

    def __init__(self, plan: Plan) -> None:
        body, metadata = plan.task.body, plan.task.metadata
        name: str = body["call"]
        arguments = body.get("with") or {}
        queue: Json = metadata.get("queue")
        place = "metadata.queue"
        self.priority: int | None = metadata.get("priority")
        self.target: str | None = None
        self.task: Template | None = None
        if name in DSL_KINDS or name == "celery":
            self.kind = name
        elif name in (plan.task.workflow.use.get("functions") or {}):
            self.kind, self.target = "function", f"/use/functions/{escape(name)}"
        elif "@" in name or "://" in name:
            self.kind = "catalog"
        else:
            self.kind, self.target = "celery", name
        if self.kind == "celery" and self.target is None:
            place = "with.queue" if "queue" in arguments else place
            queue = arguments.get("queue", queue)
            self.priority = arguments.get("priority", self.priority)
            self.task = Template(arguments.get("task"), "with.task")
            arguments = {key: arguments[key] for key in ("args", "kwargs") if key in arguments}
        self.queue = None if queue is None else Template(queue, place)
        self.arguments = arguments
        self.template = Template(arguments, "with", loose=plan.loose)
        self.names = tuple(self.template.names())
        #: Arguments with secrets in them are evaluated by the worker, after its claim.
        self.deferred = any(name in self.names for name in SECRETS)


def call_of(plan: Plan) -> Call:
    """Return what the task requests, read once."""
    call: Call | None = plan.kind_plan
    if call is None:
        call = plan.kind_plan = Call(plan)
    return call


def enter(draft: Draft, node: Node, plan: Plan) -> None:
    """Begin the function, or create an attempt of the call."""
    call = call_of(plan)
    if call.kind == "function":
        return _enter_function(draft, node, call)
    if call.kind not in BUILT_KINDS:
        raise dsl_errors.configuration(
            f"calls of the kind {plan.task.body['call']!r} are not built"
        )
    node.call, task = _call_request(draft, node, call)
    return create_attempt(draft, node, task, queue_of(draft, node, call.queue), call.priority)


def _call_request(draft: Draft, node: Node, call: Call) -> tuple[dict[str, Json], str]:
    """Return `Step.call`, and the name of the Celery task that carries it out."""
    call_json: dict[str, Any] = {"kind": call.kind}
    key = idempotency_key(draft, node)
    if key is not None:
        call_json["key"] = key
    if call.deferred:
        call_json.update(_unevaluated(draft, node, call))
    elif call.kind == "celery":
        call_json.update(celery_call(render(draft, node, call.template, node.input), call.target))
    else:
        stored = draft.plan_of(node).task.body.get("with") or {}
        call_json["with"] = in_authored_structure(
            stored, render(draft, node, call.template, node.input)
        )
    if call.kind != "celery":
        return call_json, CALL_TASK
    task = call.target if call.task is None else render(draft, node, call.task, node.input)
    if not isinstance(task, str) or not task:
        raise dsl_errors.configuration("the call names no Celery task")
    _refuse_reserved(draft, node, call, task, call_json)
    return {**call_json, "task": task}, task


def _refuse_reserved(
    draft: Draft, node: Node, call: Call, task: str, call_json: dict[str, Json]
) -> None:
    """Raise an `authorization` fault for a task that no document may call, however its name was
    made. The inner task of a map must be the one in the document."""
    if not is_reserved(task):
        return
    stored = draft.plan_of(node).task.body.get("with") or {}
    args, kwargs = (None, stored) if call.target else (stored.get("args"), stored.get("kwargs"))
    reason = refusal_reason(task, args, kwargs)
    if reason is None and not call.deferred:
        evaluated = inner_tasks(call_json["args"], call_json["kwargs"])
        if list(evaluated) != list(inner_tasks(args, kwargs)):
            reason = f"the inner task of '{task}' is not the one that the document names"
    if reason is not None:
        raise dsl_errors.authorization(reason)


def celery_call(arguments: Json, target: str | None) -> dict[str, Json]:
    """Return the args and kwargs of a Celery call, from its evaluated ``with``. A task called by
    its own name gets all of it as keyword arguments."""
    if not isinstance(arguments, dict):
        raise dsl_errors.validation("the arguments of a call are no object")
    if target is not None:
        return {"args": [], "kwargs": arguments}
    args, kwargs = arguments.get("args") or [], arguments.get("kwargs") or {}
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise dsl_errors.validation("`args` is a list and `kwargs` an object")
    return {"args": args, "kwargs": kwargs}


def _unevaluated(draft: Draft, node: Node, call: Call) -> dict[str, Json]:
    """Return what the worker needs to evaluate the arguments itself, without the secrets."""
    names = [name for name in call.names if name not in SECRETS]
    return {
        "deferred": True,
        "explicit": call.target is None,
        "with": call.arguments,
        "variables": collect(draft, node, names, NOTHING),
        "input": node.input,
    }


def _enter_function(draft: Draft, node: Node, call: Call) -> None:
    _check_depth(draft, node)
    arguments = render(draft, node, call.template, node.input)
    node.open_children = 1
    task = draft.workflow.task(call.target or "")
    if not control_flow.enter(draft, node.id, task, arguments):
        node.open_children = 0
        control_flow.complete(draft, node, arguments)


def _check_depth(draft: Draft, node: Node) -> None:
    """Raise a `runtime` fault if functions call one another too deep: each level is part of every
    slice below it."""
    depth, at = 0, node
    while at.parent != ROOT:
        at = draft.node(at.parent)
        depth += at.kind == "call"
    if depth >= MAX_FUNCTIONS:
        raise dsl_errors.runtime(
            f"functions call one another more than {MAX_FUNCTIONS} levels deep"
        )


def on_child_completed(draft: Draft, node: Node, child: Node, _: str | None) -> None:
    """Complete the call with the function's output."""
    node.open_children = 0
    control_flow.complete(draft, node, child.output)


def on_replaced(draft: Draft, node: Node, replacement: Mapping[str, Json]) -> None:
    """Await the sub-workflow by which the task has replaced itself."""
    workflow, namespace = replacement["workflow_id"], replacement["namespace"]
    run.start_awaited(draft, node, namespace, workflow, replacement["input"])
    draft.root.set_state(task_replaced=True)
    if node.compensated_by is None and control_flow.in_compensation(draft, node) is None:
        node.compensated_by = "child"


register(
    "call",
    TaskKind(
        enter,
        on_child_completed=on_child_completed,
        on_timer=ON_TIMER,
        on_instance_ended=run.on_instance_ended,
        on_replaced=on_replaced,
    ),
)
