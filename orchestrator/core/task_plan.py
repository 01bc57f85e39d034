"""What the core derives once from a task or a workflow: data flow, limits, extensions.

A plan is stored on its `Task` (or `Workflow`), which never changes. So the hot path reads
attributes and parses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from orchestrator.core.data_schema import Schema, schema_of
from orchestrator.core.expression_template import Expression, Template, transformation
from orchestrator.document.model import COMPENSATE, Task, Workflow, escape
from orchestrator.document.processes import LITERAL_ARGUMENTS

#: Names that `extend` in an extension has for kinds of tasks, where they differ.
_EXTENDABLE = {"do": "composite", "fork": "composite"}


class Plan:
    """What the core needs to run one task, apart from what its kind derives."""

    __slots__ = (
        "compensated_by",
        "condition",
        "expires",
        "export",
        "export_schema",
        "extensions",
        "input",
        "input_schema",
        "kind",
        "kind_plan",
        "loose",
        "on_lost",
        "output",
        "output_schema",
        "plain_input",
        "plain_output",
        "task",
        "then",
        "time_limit",
        "timeout",
    )

    def __init__(self, task: Task) -> None:
        body, use = task.body, task.workflow.use
        self.task = task
        self.kind = task.kind
        self.loose = is_loose(task.workflow)
        self.condition = Expression(body["if"], "if") if "if" in body else None
        input_part, output_part, export_part = (
            _part(body, name) for name in ("input", "output", "export")
        )
        self.input = transformation(input_part.get("from"), "input.from", loose=self.loose)
        self.input_schema: Schema | None = schema_of(input_part)
        self.output = transformation(output_part.get("as"), "output.as", loose=self.loose)
        self.output_schema: Schema | None = schema_of(output_part)
        self.export = transformation(export_part.get("as"), "export.as", loose=self.loose)
        self.export_schema: Schema | None = schema_of(export_part)
        self.plain_input = self.input is None and self.input_schema is None
        self.plain_output = (
            self.output is None
            and self.output_schema is None
            and self.export is None
            and self.export_schema is None
        )
        self.then: str | None = body.get("then")
        self.timeout = timeout_of(body.get("timeout"), use)
        self.time_limit = _duration_of(task.metadata, "timeLimit")
        self.expires = _duration_of(task.metadata, "expires")
        self.compensated_by = compensation_of(task)
        self.on_lost = LostAttemptPolicy(task.metadata, retries=not _is_worker_process(task))
        self.extensions: tuple[Extension, ...] | None = None
        #: The part of the plan that only the code of the task's kind reads and writes.
        self.kind_plan: Any = None


class LostAttemptPolicy:
    """What follows after a worker was lost with a claimed attempt. `retries`: whether the step is
    started again where the document does not say."""

    __slots__ = ("max_starts", "retry")

    def __init__(self, metadata: dict[str, Any], *, retries: bool = True) -> None:
        self.retry = metadata.get("onLost", "retry" if retries else "fault") != "fault"
        starts = metadata.get("maxStarts", 3)
        self.max_starts: int = starts if isinstance(starts, int) and starts > 0 else 3


class Extension:
    """One entry of ``use.extensions`` (dsl-reference.md, Extension)."""

    __slots__ = ("after", "before", "extend", "reference", "when")

    def __init__(self, workflow: Workflow, ref: str, body: dict[str, Any]) -> None:
        self.reference = ref
        self.extend: str = body["extend"]
        self.when = Expression(body["when"], "when") if "when" in body else None
        self.before = workflow.tasks(ref + "/before")
        self.after = workflow.tasks(ref + "/after")


class WorkflowPlan:
    """What the core needs to run a workflow besides its tasks."""

    __slots__ = (
        "compensates",
        "extensions",
        "input",
        "input_schema",
        "on_fault",
        "output",
        "output_schema",
        "parallel",
        "runs",
        "secrets_in_data",
        "timeout",
    )

    def __init__(self, workflow: Workflow) -> None:
        document, loose = workflow.document, is_loose(workflow)
        input_part, output_part = (_part(document, name) for name in ("input", "output"))
        self.input = transformation(input_part.get("from"), "input.from", loose=loose)
        self.input_schema = schema_of(input_part)
        self.output = transformation(output_part.get("as"), "output.as", loose=loose)
        self.output_schema = schema_of(output_part)
        self.timeout = timeout_of(document.get("timeout"), workflow.use)
        self.extensions = _extensions(workflow)
        tasks = list(workflow.every_task())
        self.compensates = any(compensation_of(task) is not None for task in tasks)
        self.parallel = any(is_parallel(task) for task in tasks)
        #: Whether the document lets a secret into data anywhere.
        self.secrets_in_data = bool(workflow.use.get("secrets")) and any(
            item.get("secretsInData") is True
            for item in (workflow.metadata, *(task.metadata for task in tasks))
        )
        self.runs = any(task.kind == "run" for task in tasks)
        default = "compensate" if self.compensates else "hold"
        self.on_fault: str = workflow.metadata.get("onFault", default)


def plan_of(task: Task) -> Plan:
    """Return the plan of a task, made at the first call."""
    plan: Plan | None = task.plan
    if plan is None:
        plan = task.plan = Plan(task)
        plan.extensions = _extending(task)
    return plan


def workflow_plan(workflow: Workflow) -> WorkflowPlan:
    """Return the plan of a workflow, made at the first call."""
    plan: WorkflowPlan | None = workflow.plan
    if plan is None:
        plan = workflow.plan = WorkflowPlan(workflow)
    return plan


def is_loose(workflow: Workflow) -> bool:
    """Whether expressions need no ``${ }`` (dsl-reference.md, Evaluate)."""
    return _part(workflow.document, "evaluate").get("mode") == "loose"


def timeout_of(value: Any, use: dict[str, Any]) -> Template | None:
    """Return the duration of a timeout, inline or from ``use.timeouts``; None without one."""
    if isinstance(value, str):
        value = (use.get("timeouts") or {}).get(value)
    if not isinstance(value, dict) or "after" not in value:
        return None
    return Template(value["after"], "timeout.after")


def _duration_of(metadata: dict[str, Any], key: str) -> Template | None:
    value = metadata.get(key)
    return None if value is None else Template(value, f"metadata.{key}")


def _is_worker_process(task: Task) -> bool:
    """Whether the task runs a shell command or a script: nobody knows whether it is idempotent."""
    return task.kind == "run" and any(kind in task.body["run"] for kind in LITERAL_ARGUMENTS)


def compensation_of(task: Task) -> str | None:
    """Return the `compensated_by` of the task's steps: "task" if its ``metadata.compensate`` undoes
    them, "child" if the sub-workflow that they await does, else None."""
    if "compensate" in task.metadata:
        return "task"
    if task.kind == "run" and "workflow" in task.body["run"]:
        return "child" if task.body["run"].get("await", True) else None
    return None


def is_parallel(task: Task) -> bool:
    """Whether the task's children may run in parallel, or continue after it has ended."""
    return task.kind == "fork" or (task.kind == "for" and "concurrency" in task.metadata)


def any_reachable(tasks: Iterable[Task], test: Callable[[Task], bool]) -> bool:
    """Whether one of these tasks, or a task that they may run, passes the test: those inside, the
    functions that they call, and the tasks of extensions."""
    visited: set[str] = set()
    waiting = list(tasks)
    while waiting:
        task = waiting.pop()
        if task.reference in visited:
            continue
        visited.add(task.reference)
        if test(task):
            return True
        waiting.extend(task.children())
        waiting.extend(_called(task))
    return False


def _called(task: Task) -> Iterator[Task]:
    workflow = task.workflow
    if task.kind == "call" and task.body["call"] in (workflow.use.get("functions") or {}):
        yield workflow.task(f"/use/functions/{escape(task.body['call'])}")
    for extension in plan_of(task).extensions or ():
        yield from extension.before
        yield from extension.after


def _part(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def _extensions(workflow: Workflow) -> tuple[Extension, ...]:
    value = []
    for index, item in enumerate(workflow.use.get("extensions") or ()):
        for name, body in item.items():
            ref = f"/use/extensions/{index}/{escape(name)}"
            value.append(Extension(workflow, ref, body))
    return tuple(value)


def _extending(task: Task) -> tuple[Extension, ...] | None:
    """Return the extensions that may apply to a task. Tasks of extensions and of compensations are
    not extended themselves."""
    if not task.reference.startswith("/do") or COMPENSATE in task.reference:
        return None
    word = _EXTENDABLE.get(task.kind, task.kind)
    extensions = workflow_plan(task.workflow).extensions
    return tuple(item for item in extensions if item.extend in ("all", word)) or None
