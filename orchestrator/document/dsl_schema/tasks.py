"""The twelve kinds of task (dsl-reference.md, Task)."""

from __future__ import annotations

from orchestrator.document.dsl_schema import calls
from orchestrator.document.dsl_schema.events import READ
from orchestrator.document.dsl_schema.run_processes import run
from orchestrator.document.dsl_schema.schema_builders import (
    BOOLEAN,
    LITERAL,
    OWN,
    PROGRAM,
    TEMPLATE,
    TEMPLATES,
    Revision,
    Schema,
    by_key,
    by_type,
    by_value,
    list_of,
    mapping,
    named,
    one_of,
    open_mapping,
    ref,
)
from orchestrator.document.model import KINDS

#: Keys that a task of any kind can have.
COMMON: dict[str, Schema] = {
    "if": PROGRAM,
    "input": ref("input"),
    "output": ref("output"),
    "export": ref("export"),
    "timeout": ref("timeout-or-name"),
    "then": LITERAL,
    "metadata": OWN,
}


def definitions(revision: Revision) -> dict[str, Schema]:
    """Return a list of tasks, a task, and each kind of task, as `$defs`."""
    kinds: dict[str, Schema] = {kind: ref(f"task-{kind}") for kind in KINDS}
    return {
        "tasks": list_of(named(ref("task"))),
        "task": by_type(object=_object(by_key(kinds))),
        **{f"task-{kind}": schema for kind, schema in _kinds(revision).items()},
        **{f"call-{kind}": schema for kind, schema in _calls(revision).items()},
        **calls.definitions(),
    }


def _object(schema: Schema | bool) -> Schema:
    return schema if isinstance(schema, dict) else {}


def _task(keys: dict[str, Schema], *optional: str) -> Schema:
    required = [key for key in keys if key not in optional]
    return mapping({**keys, **COMMON}, required)


def _kinds(revision: Revision) -> dict[str, Schema]:
    fork = mapping({"branches": ref("tasks"), "compete": BOOLEAN}, ["branches"])
    emit = mapping({"event": open_mapping({"with": ref("event-out")})}, ["event"])
    listen = mapping({"to": ref("consumption"), "read": one_of(*READ)}, ["to"])
    case = mapping({"when": PROGRAM, "then": LITERAL}, ["then"])
    named_calls = {kind: ref(f"call-{kind}") for kind in calls.arguments(revision)}
    return {
        "call": by_value("call", named_calls, ref("call-function")),
        "do": _task({"do": ref("tasks")}),
        "fork": _task({"fork": fork}),
        "emit": _task({"emit": emit}),
        "for": _task({"for": _each(revision), "while": PROGRAM, "do": ref("tasks")}, "while"),
        "listen": _task({"listen": listen, "foreach": ref("iterator")}, "foreach"),
        "raise": _task({"raise": mapping({"error": ref("error-or-name")}, ["error"])}),
        "run": _task({"run": run()}),
        "set": _task({"set": by_type(string=TEMPLATE, object={**TEMPLATES, "minProperties": 1})}),
        "switch": _task({"switch": list_of(named(case), least=1)}),
        "try": _task({"try": ref("tasks"), "catch": ref("catch")}),
        "wait": _task({"wait": ref("duration")}),
    }


def _each(revision: Revision) -> Schema:
    inline = list_of(TEMPLATES)
    several = by_type(string=PROGRAM, array=inline) if revision is Revision.JULY else PROGRAM
    return mapping({"each": LITERAL, "in": several, "at": LITERAL}, ["in"])


def _calls(revision: Revision) -> dict[str, Schema]:
    kinds = {
        kind: _task({"call": LITERAL, "with": arguments})
        for kind, arguments in calls.arguments(revision).items()
    }
    return {**kinds, "function": _task({"call": LITERAL, "with": TEMPLATES}, "with")}
