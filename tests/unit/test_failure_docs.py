"""The examples of the pages on errors and compensation: every workflow that they run with
`orchestrator run` ends as they say, its tasks being the page's own, in the core alone."""

from __future__ import annotations

import json
import shlex
from functools import cache
from types import ModuleType
from typing import Any

import pytest

from orchestrator.document import load
from orchestrator.error_handler.task_errors import error_of
from orchestrator.testing.world import Failure, World
from tests.support.terminal_sessions import Command, Page, page, same

PAGES = [page(f"implementation/{name}.md") for name in ("compensation", "error_handling")]
RUNS = [
    (each, command)
    for each in PAGES
    for command in each.commands
    if command.line.startswith("orchestrator run ")
]


@pytest.mark.parametrize(("told", "command"), RUNS, ids=lambda one: getattr(one, "line", ""))
def test_a_run_ends_as_the_page_says(told: Page, command: Command) -> None:
    line, _, echo = command.line.partition(";")
    _, _, file, _, input = shlex.split(line)
    loaded = load(told.files[file])
    assert loaded.warnings == []
    tasks = tasks_of(told.name)
    world = World(loaded.document)
    id = world.start(input=json.loads(input))
    world.run_out(lambda call: answer(tasks, call))
    instance = world.instance(id)
    prints = [] if instance.output is None else [json.dumps(instance.output)]
    if echo:
        undone = instance.compensation == "completed"
        status = {"completed": 0, "faulted": 8 if undone else 1}[instance.status]
        prints.append(str(status))
    assert same("\n".join(prints), command.prints)


@cache
def tasks_of(name: str) -> dict[str, Any]:
    """The Celery tasks of a page's modules, by their names. Shared tasks are made once."""
    tasks: dict[str, Any] = {}
    for file, text in page(name).files.items():
        if file.endswith(".py"):
            module = ModuleType(file.removesuffix(".py"))
            exec(compile(text, file, "exec"), module.__dict__)
            found = [one for one in vars(module).values() if hasattr(one, "apply_async")]
            tasks |= {f"{module.__name__}.{one.run.__name__}": one for one in found}
    assert tasks
    return tasks


def answer(tasks: dict[str, Any], call: Any) -> Any:
    """What a worker makes of a call."""
    try:
        return tasks[call["task"]].run(**call["kwargs"])
    except Exception as exc:
        raise Failure(error_of(exc)[0]) from exc
