"""``run`` of a shell command or a script: a worker runs it, as an attempt (dsl-reference.md, Run).

The command and the script are the document's own text and are never evaluated: an input could
choose what is run. Data reaches a process as arguments, environment and standard input. The output
of the step is what ``return`` selects; with ``await: false`` it is the step's input.
"""

from __future__ import annotations

from typing import Any

from orchestrator.core import dsl_errors
from orchestrator.core.attempts import create_attempt
from orchestrator.core.data_flow import NOTHING, render
from orchestrator.core.document_arguments import in_authored_structure
from orchestrator.core.draft_nodes import Node
from orchestrator.core.expression_template import Template
from orchestrator.core.expression_variables import SECRETS, collect
from orchestrator.core.model import Json
from orchestrator.core.task_plan import Plan
from orchestrator.core.transition_draft import Draft
from orchestrator.core.worker_request import CALL_TASK, idempotency_key, queue_of
from orchestrator.document.processes import (
    LITERAL_ARGUMENTS,
    is_constant_address,
    source_address,
)
from orchestrator.expressions import is_expression


class WorkerProcess:
    """A process of a worker, read once. `constant` are the parts of it that no expression may
    decide; `arguments` the others, `template` the same parsed."""

    __slots__ = (
        "arguments",
        "constant",
        "deferred",
        "kind",
        "names",
        "priority",
        "queue",
        "template",
    )

    def __init__(self, plan: Plan, kind: str) -> None:
        body: dict[str, Any] = plan.task.body["run"]
        metadata = plan.task.metadata
        self.kind = kind
        literal = LITERAL_ARGUMENTS[kind]
        self.constant = {key: value for key, value in body[kind].items() if key in literal}
        self.arguments = {key: value for key, value in body[kind].items() if key not in literal}
        self.constant |= {key: body[key] for key in ("return", "await") if key in body}
        self.template = Template(self.arguments, f"run.{kind}", loose=plan.loose)
        self.names = tuple(self.template.names())
        self.deferred = any(name in self.names for name in SECRETS)
        queue = metadata.get("queue")
        self.queue = None if queue is None else Template(queue, "metadata.queue")
        self.priority: int | None = metadata.get("priority")


def enter(draft: Draft, node: Node, plan: Plan, kind: str) -> None:
    """Create an attempt of the process."""
    if not isinstance(plan.kind_plan, WorkerProcess):
        plan.kind_plan = WorkerProcess(plan, kind)
    process: WorkerProcess = plan.kind_plan
    for key, value in process.constant.items():
        if is_expression(value):
            raise dsl_errors.configuration(
                f"run.{kind}.{key} is an expression; it must be the document's own text, and data"
                " are its arguments"
            )
    address = source_address(process.arguments)
    if address is not None and not is_constant_address(address):
        raise dsl_errors.configuration(
            f"run.{kind}.source depends on data; its address must be the document's own text"
        )
    node.call = _request(draft, node, process)
    create_attempt(draft, node, CALL_TASK, queue_of(draft, node, process.queue), process.priority)


def _request(draft: Draft, node: Node, process: WorkerProcess) -> dict[str, Json]:
    """Return `Step.call`."""
    request: dict[str, Json] = {"kind": process.kind}
    key = idempotency_key(draft, node)
    if key is not None:
        request["key"] = key
    if process.deferred:
        names = [name for name in process.names if name not in SECRETS]
        return {
            **request,
            "deferred": True,
            "with": process.arguments,
            "constant": process.constant,
            "variables": collect(draft, node, names, NOTHING),
            "input": node.input,
        }
    filled = render(draft, node, process.template, node.input)
    request["with"] = in_authored_structure(process.arguments, filled)
    request["constant"] = process.constant
    return request
