"""Finds every expression of a document, with its variables and the use of its result. Also finds
each text that contains an expression without being one.

A field is *bare* where the language expects an expression (`if`, `when`, `in` ...): the whole text
is one, with or without `${ }`. Elsewhere only a whole text `${ ... }` is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.document.field_scope import NO_VARIABLES, Field, Purpose, Scope
from orchestrator.document.model import escape
from orchestrator.document.processes import LITERAL_ARGUMENTS
from orchestrator.document.task_sites import TaskSite, error_variable, loop_variables

Json = Any


#: The arguments of every expression (dsl.md, Runtime expression arguments). This set does not say
#: which of them have a value where; `secret` is the name that some runtimes use for `secrets`.
ARGUMENTS = frozenset(
    {
        "authorization", "context", "input", "output", "runtime", "secret", "secrets", "task",
        "workflow",
    }
)  # fmt: skip


def fields(document: dict[str, Json], sites: list[TaskSite]) -> Iterator[Field]:
    """Yield every expression of a schema-valid document."""
    yield from _workflow(document)
    yield from _used(document.get("use") or {})
    for site in sites:
        yield from task_fields(site)


def task_fields(site: TaskSite) -> Iterator[Field]:
    """Yield the expressions of one task, without those of the tasks inside it."""
    body, pointer, scope = site.body, site.pointer, Scope(site.variables, site)
    if "if" in body:
        yield from scope.bare_fields(body["if"], f"{pointer}/if", Purpose.CONTROL)
    if "input" in body or "output" in body or "export" in body:
        yield from scope.data_flow_fields(body, pointer)
    if isinstance(body.get("timeout"), dict):
        yield from scope.nested_fields(body["timeout"], f"{pointer}/timeout", Purpose.CONTROL)
    if "metadata" in body:
        for name in ("queue", "timeLimit", "expires"):
            value, place = site.metadata.get(name), f"{pointer}/metadata/{name}"
            yield from scope.nested_fields(value, place, Purpose.CONTROL)
        yield from scope.retry_policy_fields(
            site.metadata.get("retry"), f"{pointer}/metadata/retry"
        )
    fields_of = _FIELDS_BY_KIND.get(site.kind)
    if fields_of is not None:
        yield from fields_of(site, scope)


def _workflow(document: dict[str, Json]) -> Iterator[Field]:
    scope = Scope(NO_VARIABLES)
    yield from scope.data_flow_fields(document, "")
    if isinstance(document.get("timeout"), dict):
        yield from scope.nested_fields(document["timeout"], "/timeout", Purpose.CONTROL)
    schedule = document.get("schedule") or {}
    for key in ("every", "after"):
        yield from scope.nested_fields(schedule.get(key), f"/schedule/{key}", Purpose.CONTROL)
    if "on" in schedule:
        yield from scope.consumption_fields(schedule["on"], "/schedule/on")


def _used(use: dict[str, Json]) -> Iterator[Field]:
    scope = Scope(None)
    purposes = {
        "authentications": Purpose.CALL,
        "catalogs": Purpose.CALL,
        "errors": Purpose.DATA,
        "timeouts": Purpose.CONTROL,
    }
    for section, purpose in purposes.items():
        yield from scope.nested_fields(use.get(section), f"/use/{section}", purpose)
    for name, policy in (use.get("retries") or {}).items():
        yield from scope.retry_policy_fields(policy, f"/use/retries/{escape(name)}")
    for index, item in enumerate(use.get("extensions") or ()):
        for name, extension in item.items():
            place = f"/use/extensions/{index}/{escape(name)}/when"
            yield from scope.bare_fields(extension.get("when"), place, Purpose.CONTROL)


def _call(site: TaskSite, scope: Scope) -> Iterator[Field]:
    arguments = site.body.get("with") or {}
    pointer = f"{site.pointer}/with"
    for key, value in arguments.items():
        place = f"{pointer}/{escape(key)}"
        if key == "subscription" and site.body["call"] == "asyncapi":
            yield from _subscription(value, place, scope)
        elif key in ("task", "queue") and site.body["call"] == "celery":
            # Treat `task` and `queue` as control data, in which a secret is refused. Both are
            # evaluated before a worker claims the attempt, where no secret is available.
            yield from scope.nested_fields(value, place, Purpose.CONTROL)
        else:
            yield from scope.nested_fields(value, place, Purpose.CALL)


def _subscription(subscription: dict[str, Json], pointer: str, scope: Scope) -> Iterator[Field]:
    for key in ("filter", "consume"):
        yield from scope.nested_fields(subscription.get(key), f"{pointer}/{key}", Purpose.CONTROL)
    yield from _iterator(subscription.get("foreach"), f"{pointer}/foreach", scope)


def _iterator(iterator: Json, pointer: str, scope: Scope) -> Iterator[Field]:
    if iterator:
        site = scope.site
        names = loop_variables(iterator, "item")
        inside = Scope(site.also(*names) if site is not None else None, site)
        yield from inside.data_flow_fields(iterator, pointer)


def _emit(site: TaskSite, scope: Scope) -> Iterator[Field]:
    yield from scope.nested_fields(site.body["emit"], f"{site.pointer}/emit", Purpose.DATA)


def _for(site: TaskSite, scope: Scope) -> Iterator[Field]:
    loop = site.body["for"]
    yield from scope.bare_fields(loop["in"], f"{site.pointer}/for/in", Purpose.DATA)
    inside = Scope(site.also(*loop_variables(loop, "each")), site)
    yield from inside.bare_fields(site.body.get("while"), f"{site.pointer}/while", Purpose.CONTROL)


def _listen(site: TaskSite, scope: Scope) -> Iterator[Field]:
    yield from scope.consumption_fields(site.body["listen"]["to"], f"{site.pointer}/listen/to")
    yield from _iterator(site.body.get("foreach"), f"{site.pointer}/foreach", scope)


def _raise(site: TaskSite, scope: Scope) -> Iterator[Field]:
    error = site.body["raise"]["error"]
    if isinstance(error, dict):
        yield from scope.nested_fields(error, f"{site.pointer}/raise/error", Purpose.DATA)


def _run(site: TaskSite, scope: Scope) -> Iterator[Field]:
    for key, value in site.body["run"].items():
        purpose = Purpose.DATA if key == "workflow" else Purpose.CALL
        yield from scope.nested_fields(_evaluated(key, value), f"{site.pointer}/run/{key}", purpose)


def _evaluated(kind: str, process: Json) -> Json:
    """Return a process without the members that are never evaluated."""
    literal = LITERAL_ARGUMENTS.get(kind)
    if not literal:
        return process
    return {name: value for name, value in process.items() if name not in literal}


def _set(site: TaskSite, scope: Scope) -> Iterator[Field]:
    yield from scope.nested_fields(site.body["set"], f"{site.pointer}/set", Purpose.DATA)


def _switch(site: TaskSite, scope: Scope) -> Iterator[Field]:
    for index, item in enumerate(site.body["switch"]):
        for name, case in item.items():
            place = f"{site.pointer}/switch/{index}/{escape(name)}/when"
            yield from scope.bare_fields(case.get("when"), place, Purpose.CONTROL)


def _try(site: TaskSite, _: Scope) -> Iterator[Field]:
    catch, pointer = site.body["catch"], f"{site.pointer}/catch"
    inside = Scope(site.also(error_variable(catch)), site)
    for key in ("when", "exceptWhen"):
        yield from inside.bare_fields(catch.get(key), f"{pointer}/{key}", Purpose.CONTROL)
    yield from inside.retry_policy_fields(catch.get("retry"), f"{pointer}/retry")


def _wait(site: TaskSite, scope: Scope) -> Iterator[Field]:
    yield from scope.nested_fields(site.body["wait"], f"{site.pointer}/wait", Purpose.CONTROL)


_FIELDS_BY_KIND = {
    "call": _call,
    "emit": _emit,
    "for": _for,
    "listen": _listen,
    "raise": _raise,
    "run": _run,
    "set": _set,
    "switch": _switch,
    "try": _try,
    "wait": _wait,
}
