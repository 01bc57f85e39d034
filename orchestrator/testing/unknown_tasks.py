"""What a test is told when a document calls a task that nothing here can run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.core.model import Attempt
from orchestrator.document.model import Workflow
from orchestrator.testing.errors import UnknownStub, UnknownTask, did_you_mean
from orchestrator.testing.in_memory_rows import Rows

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.state_manager.claimed_attempt import ClaimedAttempt


#: Steps that run a process, by the names under which they are stubbed.
PROCESSES = ("run.shell", "run.script", "run.container")


def unknown_process(name: str, claimed: ClaimedAttempt) -> UnknownTask:
    """Return the error for a step that runs a process and is not stubbed."""
    where = f"{claimed.workflow.namespace}/{claimed.workflow.name} {claimed.step.reference}"
    return UnknownTask(
        f"{where} is a {name}: tests run no processes. Stub it: tasks={{{name!r}: ...}}, a value or"
        " a function of the command's arguments"
    )


def unknown_task(
    name: str, rows: Rows, attempt: Attempt, app: Celery | None, stubs: Collection[str]
) -> UnknownTask:
    """Return the error for an attempt whose task is neither stubbed nor in the app."""
    known = [*stubs, *(_own_tasks(app) if app is not None else ())]
    where = f"{rows.workflow.namespace}/{rows.workflow.name} {rows.steps[attempt.step].reference}"
    lacks = f"the app {app.main or 'of this test'!r} has no such task" if app else "no app is given"
    return UnknownTask(
        f"{where} calls the task {name!r}{did_you_mean(name, known)}"
        f"{'' if did_you_mean(name, known) else ':'} {lacks}, and it is not stubbed."
        f" Stub it: tasks={{{name!r}: ...}}"
        + ("" if app else ", or give the app that has it: Workflows(app=...)")
    )


def check_stubs(
    stubs: Mapping[str, Any], workflows: Iterable[Workflow], app: Celery | None
) -> None:
    """Raise `UnknownStub` for a stub that nothing can call. A document that makes the name of a
    task at run time may call any."""
    called: set[str] = set()
    for workflow in workflows:
        names = list(_called(workflow))
        if None in names:
            return
        called.update(name for name in names if name is not None)
    own = set(_own_tasks(app)) if app is not None else set()
    for name in stubs:
        if name not in called and name not in own:
            guess = did_you_mean(name, called)
            raise UnknownStub(
                f"the stub {name!r} stands for no task that is called{guess or '.'}"
                f" Called are: {', '.join(sorted(called)) or 'none'}"
            )


def _called(workflow: Workflow) -> Iterator[str | None]:
    """Yield the Celery tasks that a document calls; None for one whose name is an expression."""
    for task in workflow.every_task():
        if task.kind == "run":
            yield from (name for name in PROCESSES if name[4:] in task.body["run"])
        if task.kind != "call":
            continue
        call = task.body["call"]
        if call != "celery":
            yield call
            continue
        name = (task.body.get("with") or {}).get("task")
        yield name if isinstance(name, str) and not name.startswith("${") else None


def _own_tasks(app: Celery) -> list[str]:
    return [name for name in app.tasks if not name.startswith("celery.")]
