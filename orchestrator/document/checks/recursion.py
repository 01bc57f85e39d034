"""Refuse workflows and functions that always run themselves again and so never end.

Recursion with an exit is allowed and bounded at run time: it is how a document loops over pages or
walks a tree. The check refuses recursion without a condition, a choice, an event or an error
handler before it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from orchestrator.document.checks.check_context import Context
from orchestrator.document.message_text import quoted
from orchestrator.document.model import escape, kind_of

Json = Any
Place = tuple[str, dict[str, Json]]
Walk = Generator[Place, None, bool]
"""Yields the tasks that always run; returns whether the task after them always runs, too."""

#: Kinds that choose the next task or may leave the sequence.
_CHOICES = frozenset({"switch", "try", "for", "listen", "raise"})

#: Kinds after which the next task runs, whatever their data is.
_SIMPLE = frozenset({"set", "wait", "emit", "call", "run"})

_WAY_OUT = "and would never end; put an 'if' or a 'switch' before it"


def check(context: Context) -> None:
    """Report each recursion without an exit."""
    functions = context.used("functions")
    certain = _CertainTasks(functions)
    called = {name: [*certain.function(name)] for name in functions}
    seen: set[str] = set()
    waiting = [*certain.walk_list(context.document["do"], "/do")]
    while waiting:
        pointer, body = waiting.pop()
        if _runs_itself(context, body):
            message = f"the workflow runs itself, {_WAY_OUT}"
            context.error(f"{pointer}/run/workflow", message, at_key=True)
        name = body.get("call", "")
        if name in called and name not in seen:
            seen.add(name)
            waiting += called[name]
    _report_cycles(context, called)


def _runs_itself(context: Context, body: dict[str, Json]) -> bool:
    """Whether the task awaits another instance of its own workflow. Without `await` there is no
    nesting: the workflow continues as a new instance."""
    run = body.get("run") or {}
    target = run.get("workflow")
    if target is None or run.get("await") is False:
        return False
    about = context.document["document"]
    same = all(target[key] == about[key] for key in ("namespace", "name"))
    return same and target["version"] in ("latest", about["version"])


def _report_cycles(context: Context, called: dict[str, list[Place]]) -> None:
    """Report each recursive function once, at the call that closes the cycle."""
    done: set[str] = set()
    for first, tasks in called.items():
        path = [] if first in done else [(first, iter(tasks))]
        on_path = {name for name, _ in path}
        while path:
            name, calls = path[-1]
            pointer, body = next(calls, ("", {}))
            target = body.get("call")
            if not pointer:
                done.add(name)
                on_path.remove(name)
                path.pop()
            elif target in on_path:
                message = f"the function {quoted(target)} calls itself, {_WAY_OUT}"
                context.error(f"{pointer}/call", message)
            elif target in called and target not in done:
                on_path.add(target)
                path.append((target, iter(called[target])))


class _CertainTasks:
    """Follows a document from its beginning while only one path is possible."""

    def __init__(self, functions: dict[str, Json]) -> None:
        self.functions = functions

    def function(self, name: str) -> Walk:
        """Yield the tasks of a function."""
        return self.walk_task(self.functions[name], f"/use/functions/{escape(name)}")

    def walk_list(self, tasks: list[Json], pointer: str) -> Walk:
        """Yield the tasks of a list, in the order in which `then` leads through them."""
        places = {name: index for index, item in reversed([*enumerate(tasks)]) for name in item}
        index, seen = 0, set[int]()
        while index < len(tasks):
            if index in seen:
                return False
            seen.add(index)
            ((name, body),) = tasks[index].items()
            goes_on = yield from self.walk_task(body, f"{pointer}/{index}/{escape(name)}")
            then = body.get("then", "continue")
            if then == "exit" and goes_on:
                return True
            if not goes_on or (then != "continue" and then not in places):
                return False
            index = index + 1 if then == "continue" else places[then]
        return True

    def walk_task(self, body: dict[str, Json], pointer: str) -> Walk:
        """Yield a task and the tasks in it. After a task with a condition only the next one is
        certain."""
        kind = kind_of(body)
        if "if" in body:
            return kind in _SIMPLE and "then" not in body
        yield pointer, body
        if kind == "do":
            return (yield from self.walk_list(body["do"], f"{pointer}/do"))
        if kind == "fork":
            return (yield from self.walk_branches(body["fork"], f"{pointer}/fork/branches"))
        if kind == "call" and body["call"] in self.functions:
            function = self.functions[body["call"]]
            return kind_of(function) in _SIMPLE and "then" not in function
        return kind not in _CHOICES

    def walk_branches(self, fork: dict[str, Json], pointer: str) -> Walk:
        """Yield the tasks of the branches. No branch of a `fork` with `compete` is certain to
        end."""
        if fork.get("compete"):
            return False
        goes_on = True
        for index, item in enumerate(fork["branches"]):
            for name, body in item.items():
                own = yield from self.walk_task(body, f"{pointer}/{index}/{escape(name)}")
                goes_on = goes_on and own
        return goes_on
