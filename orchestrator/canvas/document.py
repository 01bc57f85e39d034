"""Shapes as a document of the Serverless Workflow DSL, and the input that it is started with.

Tasks, the number of their arguments, queues and what follows what are the document. Values, delays
and the number of like members are its input, by the readable names of the steps. So the same code
makes the same document whatever its data: its name is a hash of its content, and it is deployed
once.

    chain(add.s(1, 1), mul.s(10))    - add: {call: celery, with: {task: shop.add, args: [...]}}
                                     - mul: {call: celery, with: {task: shop.mul, args: [...]}}
                                     input {"add": {"args": [1, 1]}, "mul": {"args": [10]}}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.canvas.names import Scope, title_of
from orchestrator.canvas.shapes import (
    PREVIOUS,
    Call,
    Expr,
    Guarded,
    Linked,
    Moment,
    Parallel,
    Row,
    Shape,
)

Json = Any
Task = dict[str, Json]
"""One entry of a `do`: ``{name: body}``."""

DSL = "1.0.3"
VERSION = "1.0.0"
PREFIX = "canvas-"

#: Number of like calls in a row from which they become a loop.
LONG_ROW = 8
#: Largest number of members of a group that run at the same time.
CONCURRENCY = 1000

_RESULT = "${ . }"
_FIRST = {"as": "${ .[0] }"}


@dataclass(frozen=True, slots=True)
class Converted:
    """A deployable document and the input of this run, whose values are Python's own."""

    document: dict[str, Json]
    input: dict[str, Any]

    @property
    def name(self) -> str:
        """The document's name."""
        name: str = self.document["document"]["name"]
        return name


def convert(
    shape: Shape,
    *,
    namespace: str = "default",
    fail_fast: bool = False,
    closing: Shape | None = None,
    values: str = "celery",
) -> Converted:
    """Return the document of a shape and its input.

    `fail_fast`: a failed member withdraws the others of its group. `closing` runs at the end,
    whether the shape has failed or not.
    """
    writer = _Writer("withdraw" if fail_fast else "finish")
    scope = Scope("$workflow.input")
    tasks = writer.tasks(shape, scope)
    if closing is not None:
        tasks = writer.closed(tasks, closing, scope)
    metadata = {"values": values, "generated": True}
    about: Task = {"dsl": DSL, "namespace": namespace, "version": VERSION}
    about |= {"title": title_of(shape), "metadata": metadata}
    about["name"] = PREFIX + _digest({"document": about, "do": tasks})
    return Converted({"document": about, "do": tasks}, scope.values)


def _digest(document: Mapping[str, Json]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class _Writer:
    """Writes shapes as lists of tasks. `on_member_fault` is that of all groups."""

    def __init__(self, on_member_fault: str) -> None:
        self._members = {"onMemberFault": on_member_fault}

    def tasks(self, shape: Shape, scope: Scope) -> list[Task]:
        """Return the tasks that run a shape. Their values go to the scope."""
        match shape:
            case Call():
                return self._call(shape, scope)
            case Row(shapes):
                return self._row(_guards_joined(shapes), scope)
            case Parallel(members):
                return [self._parallel(members, scope)]
            case Guarded(inner, errbacks):
                return [self._guarded(inner, errbacks, scope)]
            case Linked(rest, links):
                return [self._linked(rest, links, scope)]

    def closed(self, tasks: list[Task], closing: Shape, scope: Scope) -> list[Task]:
        """Return the tasks followed by a closing shape, which also runs after a failure."""
        main = scope.name("main")
        branch = _single(tasks, scope, "work")
        # Put the tasks into the only branch of a fork. If a task ends its chain early, only that
        # branch ends, and the closing shape still runs.
        fork = {scope.name("all"): {"fork": {"branches": [branch]}, "output": _FIRST}}
        failed = self.tasks(closing, scope)
        last = self._beside(self.tasks(closing, scope), scope, "closing")
        handler = {"do": failed}
        body = {"try": [fork], "catch": handler, "metadata": {"rethrow": True}}
        return [{main: body}, last]

    # -- one call ----------------------------------------------------------

    def _call(self, call: Call, scope: Scope, first: Json = None) -> list[Task]:
        """Return a call, after its delay. `first` replaces the callback's first argument."""
        name = scope.name(call.task)
        values: dict[str, Any] = {}
        at = f"{scope.path}.{name}"
        arguments = {"task": call.task, **_arguments(call, values, at, first)}
        if call.queue is not None:
            arguments["queue"] = call.queue
        if call.priority is not None:
            arguments["priority"] = call.priority
        body: Task = {"call": "celery", "with": arguments}
        metadata = self._metadata(call, values, at)
        if metadata:
            body["metadata"] = metadata
        tasks = [{name: body}]
        if call.delay is not None:
            wait = _duration(call.delay, values, "delay", at)
            tasks.insert(0, {scope.name(f"{name}_delay"): {"wait": wait}})
        if values:
            scope.values[name] = values
        return tasks

    def _metadata(self, call: Call, values: dict[str, Any], at: str) -> dict[str, Json]:
        metadata: dict[str, Json] = {}
        if call.time_limit is not None:
            metadata["timeLimit"] = {"milliseconds": max(1, round(call.time_limit * 1000))}
        if call.expires is not None:
            metadata["expires"] = _duration(call.expires, values, "expires", at)
        if call.errback == "error":
            metadata["errback"] = True
        undo = call.compensation
        if undo is not None:
            undo_values: dict[str, Any] = {}
            arguments = _arguments(undo, undo_values, f"{at}.compensate", None)
            more = {"queue": undo.queue, "priority": undo.priority}
            arguments.update({key: value for key, value in more.items() if value is not None})
            metadata["compensate"] = {"call": "celery", "with": {"task": undo.task, **arguments}}
            if undo_values:
                values["compensate"] = undo_values
        return metadata

    # -- sequences: one task after the other -------------------------------

    def _row(self, shapes: tuple[Shape, ...], scope: Scope) -> list[Task]:
        tasks: list[Task] = []
        at = 0
        while at < len(shapes):
            run = _like_calls(shapes, at)
            if run >= LONG_ROW:
                tasks.append(self._loop(shapes[at : at + run], scope))
                at += run
            else:
                tasks += self.tasks(shapes[at], scope)
                at += 1
        return tasks

    def _loop(self, calls: Iterable[Shape], scope: Scope) -> Task:
        name, inner, values = scope.name("steps"), scope.inner(), []
        body: list[Task] = []
        for call in calls:
            item = inner.fresh()
            body = self.tasks(call, item)
            values.append(item.values)
        scope.values[name] = values
        return {name: {"for": {"each": inner.variable, "in": scope.at(name)}, "do": body}}

    # -- groups: tasks at the same time ------------------------------------

    def _parallel(self, members: tuple[Shape, ...], scope: Scope) -> Task:
        if not members:
            return {scope.name("empty"): {"set": "${ [] }"}}
        return self._alike(members, scope) or self._fork(members, scope)

    def _alike(self, members: tuple[Shape, ...], scope: Scope) -> Task | None:
        """Return the loop over like members; None if one is different."""
        inner, values = scope.inner(), []
        body: list[Task] = []
        for index, member in enumerate(members):
            item = inner.fresh()
            tasks = self.tasks(member, item)
            if index and tasks != body:
                return None
            body = tasks
            values.append(item.values)
        name = scope.name("group")
        scope.values[name] = values
        metadata = {"concurrency": CONCURRENCY, **self._members}
        loop = {"each": inner.variable, "in": scope.at(name)}
        return {name: {"for": loop, "do": body, "metadata": metadata}}

    def _fork(self, members: tuple[Shape, ...], scope: Scope) -> Task:
        name = scope.name("group")
        branches = [_single(self.tasks(member, scope), scope, "member") for member in members]
        return {name: {"fork": {"branches": branches}, "metadata": dict(self._members)}}

    # -- success and error callbacks ---------------------------------------

    def _guarded(self, shape: Shape, errbacks: tuple[Call, ...], scope: Scope) -> Task:
        name = scope.name("guarded")
        tasks = self.tasks(shape, scope)
        handlers = [self._errback(errback, scope) for errback in errbacks]
        body = {"try": tasks, "catch": {"do": handlers}, "metadata": {"rethrow": True}}
        return {name: body}

    def _errback(self, errback: Call, scope: Scope) -> Task:
        """Return an error callback, whose own failure changes nothing."""
        first = {"id": "${ $workflow.id }", "error": "${ $error }", None: None}[errback.errback]
        return {scope.name("errback"): {"try": self._call(errback, scope, first), "catch": {}}}

    def _linked(self, rest: Shape | None, links: tuple[Shape, ...], scope: Scope) -> Task:
        beside = [self._link(link, scope) for link in links]
        name = scope.name("callbacks")
        if rest is None:
            first = {scope.name("result"): {"set": _RESULT}}
        else:
            first = _single(self.tasks(rest, scope), scope, "rest")
        branches = {"branches": [first, *beside]}
        return {name: {"fork": branches, "output": _FIRST, "metadata": {"onMemberFault": "finish"}}}

    def _link(self, link: Shape, scope: Scope) -> Task:
        return {scope.name("callback"): {"try": self.tasks(link, scope), "catch": {}}}

    def _beside(self, tasks: list[Task], scope: Scope, word: str) -> Task:
        """Return the tasks as one whose output is its input."""
        kept = {"as": "${ $input }"}
        return {scope.name(word): {"do": tasks, "output": kept}}


# -- values of arguments and delays ------------------------------------------


def _arguments(call: Call, values: dict[str, Any], at: str, first: Json) -> dict[str, Json]:
    """Return the arguments of a call as expressions; put their values into `values`."""
    args: list[Json] = [] if first is None else [first]
    given: list[Any] = []
    for value in call.args:
        if value is PREVIOUS:
            args.append(_RESULT)
        elif isinstance(value, Expr):
            args.append(_program(value))
        else:
            args.append(f"${{ {at}.args[{len(given)}] }}")
            given.append(value)
    kwargs: dict[str, Json] = dict(call.literals)
    named: dict[str, Any] = {}
    for key, value in call.kwargs.items():
        if isinstance(value, Expr):
            kwargs[key] = _program(value)
        else:
            kwargs[key] = f"${{ {at}.kwargs{_member(key)} }}"
            named[key] = value
    if given:
        values["args"] = given
    if named:
        values["kwargs"] = named
    chosen = {"args": args, "kwargs": kwargs}
    return {name: value for name, value in chosen.items() if value}


def _program(expression: Expr) -> str:
    return f"${{ {expression.text} }}"


def _member(key: str) -> str:
    return f".{key}" if key.isascii() and key.isidentifier() else f"[{json.dumps(key)}]"


def _duration(moment: Moment, values: dict[str, Any], key: str, at: str) -> str:
    """Return the expression of a duration. The rest until an absolute time is computed by jq."""
    if moment.epoch is not None:
        values[key] = moment.epoch
        rest = f"[0, (({at}.{key} - now) * 1000 | floor)] | max"
        return f"${{ {{milliseconds: ({rest})}} }}"
    values[key] = {"milliseconds": round((moment.seconds or 0) * 1000)}
    return f"${{ {at}.{key} }}"


# -- recognition of like calls -----------------------------------------------


def _single(tasks: list[Task], scope: Scope, word: str) -> Task:
    """Return the tasks as one."""
    return tasks[0] if len(tasks) == 1 else {scope.name(word): {"do": tasks}}


def _like_calls(shapes: tuple[Shape, ...], at: int) -> int:
    """Return how many calls from here on differ in their values only."""
    first = shapes[at]
    if not isinstance(first, Call) or PREVIOUS not in first.args[:1]:
        return 1
    count = 1
    while at + count < len(shapes) and _form(shapes[at + count]) == _form(first):
        count += 1
    return count


def _form(shape: Shape) -> Json:
    """Return the tasks of a call without its values."""
    if not isinstance(shape, Call):
        return None
    return _Writer("finish").tasks(shape, Scope("$item"))


def _guards_joined(shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """Return the row with one guard around neighbours that have the same error callbacks."""
    joined: list[Shape] = []
    for shape in shapes:
        last = joined[-1] if joined else None
        if (
            isinstance(shape, Guarded)
            and isinstance(last, Guarded)
            and shape.errbacks == last.errbacks
        ):
            inner = last.shape.shapes if isinstance(last.shape, Row) else (last.shape,)
            joined[-1] = Guarded(Row((*inner, shape.shape)), last.errbacks)
        else:
            joined.append(shape)
    return tuple(joined)
