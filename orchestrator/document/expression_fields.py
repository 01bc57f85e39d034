"""Every expression of a document: where it stands, what it can see, what its result is for;
and every text that has one in it without being one.

A field is *bare* where the language expects an expression (`if`, `when`, `in` ...): the string
is one, with or without `${ }`. Anywhere else only a whole string `${ ... }` is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from orchestrator.document.model import escape
from orchestrator.document.task_sites import TaskSite, error_variable, loop_variables
from orchestrator.expressions import is_expression

Json = Any
Variables = frozenset[str] | None

NO_VARIABLES: frozenset[str] = frozenset()

#: The arguments of every expression (dsl.md, Runtime expression arguments). Which of them
#: mean something where is left open; `secret` is what some runtimes call `secrets`.
ARGUMENTS = frozenset(
    {
        "authorization", "context", "input", "output", "runtime", "secret", "secrets", "task",
        "workflow",
    }
)  # fmt: skip


class Purpose(StrEnum):
    """What becomes of an expression's result."""

    DATA = "data"  # kept in the workflow's data or history
    CALL = "call"  # handed to the worker that makes the call
    CONTROL = "control"  # decides what happens next


@dataclass(frozen=True, slots=True)
class Field:
    """An expression, or a text with `${` in it where one may stand. `text` is as the author
    wrote it; `variables` are those in scope besides the language's own (None: unknown);
    `lenient`: in loose mode it may be mere text; `bare`: it is a program as it stands."""

    pointer: str
    text: str
    variables: Variables
    purpose: Purpose
    lenient: bool = True
    site: TaskSite | None = None
    bare: bool = False

    @property
    def is_program(self) -> bool:
        """Is it evaluated, and not taken as text?"""
        return self.bare or is_expression(self.text)


class _Scope(NamedTuple):
    """Where fields are being looked for."""

    variables: Variables
    site: TaskSite | None = None

    def field(
        self, pointer: str, text: str, purpose: Purpose, lenient: bool, bare: bool = True
    ) -> Field:
        return Field(pointer, text, self.variables, purpose, lenient, self.site, bare)

    def bare(self, value: Json, pointer: str, purpose: Purpose) -> Iterator[Field]:
        """A field that is an expression as it stands; a mapping or list has some inside."""
        if isinstance(value, str):
            yield self.field(pointer, value, purpose, lenient=False)
        else:
            yield from self.deep(value, pointer, purpose)

    def shaped(self, value: Json, pointer: str) -> Iterator[Field]:
        """`input.from`, `output.as`, `export.as`: bare, but tried as text in loose mode."""
        if isinstance(value, str):
            yield self.field(pointer, value, Purpose.DATA, lenient=True)
        else:
            yield from self.deep(value, pointer, Purpose.DATA)

    def deep(self, value: Json, pointer: str, purpose: Purpose) -> Iterator[Field]:
        """The expressions in a value, however deep, and the texts that have one in them."""
        waiting = [(value, pointer)]
        while waiting:
            value, pointer = waiting.pop()
            if isinstance(value, str):
                if "${" in value:
                    yield self.field(pointer, value, purpose, lenient=True, bare=False)
            elif isinstance(value, dict):
                waiting += [(each, f"{pointer}/{escape(key)}") for key, each in value.items()]
            elif isinstance(value, list):
                waiting += [(each, f"{pointer}/{index}") for index, each in enumerate(value)]

    def policy(self, policy: Json, pointer: str) -> Iterator[Field]:
        """A retry policy."""
        if not isinstance(policy, dict):
            return
        for key, value in policy.items():
            place = f"{pointer}/{key}"
            if key in ("when", "exceptWhen"):
                yield from self.bare(value, place, Purpose.CONTROL)
            elif key == "backoff" and isinstance(value, dict):
                yield from self.deep(value.get("linear"), f"{place}/linear", Purpose.CONTROL)
            else:
                yield from self.deep(value, place, Purpose.CONTROL)

    def consumption(self, strategy: dict[str, Json], pointer: str) -> Iterator[Field]:
        """Which events are consumed, and until when."""
        for key in ("all", "any"):
            for index, each in enumerate(strategy.get(key) or ()):
                yield from self._filter(each, f"{pointer}/{key}/{index}")
        if "one" in strategy:
            yield from self._filter(strategy["one"], f"{pointer}/one")
        until = strategy.get("until")
        if isinstance(until, dict):
            yield from self.consumption(until, f"{pointer}/until")
        else:
            yield from self.bare(until, f"{pointer}/until", Purpose.CONTROL)

    def _filter(self, one: dict[str, Json], pointer: str) -> Iterator[Field]:
        yield from self.deep(one["with"], f"{pointer}/with", Purpose.CONTROL)
        for name, correlation in (one.get("correlate") or {}).items():
            place = f"{pointer}/correlate/{escape(name)}"
            yield from self.bare(correlation["from"], f"{place}/from", Purpose.CONTROL)
            yield from self._expected(correlation.get("expect"), f"{place}/expect")

    def _expected(self, value: Json, pointer: str) -> Iterator[Field]:
        """`expect` is a constant or an expression; bare, it begins as paths do."""
        if isinstance(value, str) and value.lstrip().startswith((".", "$")):
            yield self.field(pointer, value, Purpose.CONTROL, True, bare=value.lstrip()[:2] != "${")
        else:
            yield from self.deep(value, pointer, Purpose.CONTROL)

    def flow(self, body: dict[str, Json], pointer: str) -> Iterator[Field]:
        """How data comes in and goes out."""
        for part, key in (("input", "from"), ("output", "as"), ("export", "as")):
            value = body.get(part) or {}
            yield from self.shaped(value.get(key), f"{pointer}/{part}/{key}")
            resource = (value.get("schema") or {}).get("resource")
            yield from self.deep(resource, f"{pointer}/{part}/schema/resource", Purpose.CALL)


def fields(document: dict[str, Json], sites: list[TaskSite]) -> Iterator[Field]:
    """Every expression of a valid document."""
    yield from _workflow(document)
    yield from _used(document.get("use") or {})
    for site in sites:
        yield from task_fields(site)


def task_fields(site: TaskSite) -> Iterator[Field]:
    """The expressions of one task, those of tasks inside it left out."""
    body, pointer, scope = site.body, site.pointer, _Scope(site.variables, site)
    if "if" in body:
        yield from scope.bare(body["if"], f"{pointer}/if", Purpose.CONTROL)
    if "input" in body or "output" in body or "export" in body:
        yield from scope.flow(body, pointer)
    if isinstance(body.get("timeout"), dict):
        yield from scope.deep(body["timeout"], f"{pointer}/timeout", Purpose.CONTROL)
    if "metadata" in body:
        yield from scope.deep(
            site.metadata.get("queue"), f"{pointer}/metadata/queue", Purpose.CONTROL
        )
        yield from scope.policy(site.metadata.get("retry"), f"{pointer}/metadata/retry")
    own = _FIELDS_BY_KIND.get(site.kind)
    if own is not None:
        yield from own(site, scope)


def _workflow(document: dict[str, Json]) -> Iterator[Field]:
    scope = _Scope(NO_VARIABLES)
    yield from scope.flow(document, "")
    if isinstance(document.get("timeout"), dict):
        yield from scope.deep(document["timeout"], "/timeout", Purpose.CONTROL)
    schedule = document.get("schedule") or {}
    for key in ("every", "after"):
        yield from scope.deep(schedule.get(key), f"/schedule/{key}", Purpose.CONTROL)
    if "on" in schedule:
        yield from scope.consumption(schedule["on"], "/schedule/on")


def _used(use: dict[str, Json]) -> Iterator[Field]:
    scope = _Scope(None)
    purposes = {
        "authentications": Purpose.CALL,
        "catalogs": Purpose.CALL,
        "errors": Purpose.DATA,
        "timeouts": Purpose.CONTROL,
    }
    for section, purpose in purposes.items():
        yield from scope.deep(use.get(section), f"/use/{section}", purpose)
    for name, policy in (use.get("retries") or {}).items():
        yield from scope.policy(policy, f"/use/retries/{escape(name)}")
    for index, item in enumerate(use.get("extensions") or ()):
        for name, extension in item.items():
            place = f"/use/extensions/{index}/{escape(name)}/when"
            yield from scope.bare(extension.get("when"), place, Purpose.CONTROL)


def _call(site: TaskSite, scope: _Scope) -> Iterator[Field]:
    arguments = site.body.get("with") or {}
    pointer = f"{site.pointer}/with"
    for key, value in arguments.items():
        place = f"{pointer}/{escape(key)}"
        if key == "subscription" and site.body["call"] == "asyncapi":
            yield from _subscription(value, place, scope)
        elif key in ("task", "queue") and site.body["call"] == "celery":
            # Both are known before the claim: no place for a secret.
            yield from scope.deep(value, place, Purpose.CONTROL)
        else:
            yield from scope.deep(value, place, Purpose.CALL)


def _subscription(subscription: dict[str, Json], pointer: str, scope: _Scope) -> Iterator[Field]:
    for key in ("filter", "consume"):
        yield from scope.deep(subscription.get(key), f"{pointer}/{key}", Purpose.CONTROL)
    yield from _iterator(subscription.get("foreach"), f"{pointer}/foreach", scope)


def _iterator(iterator: Json, pointer: str, scope: _Scope) -> Iterator[Field]:
    if iterator:
        site = scope.site
        names = loop_variables(iterator, "item")
        inside = _Scope(site.also(*names) if site is not None else None, site)
        yield from inside.flow(iterator, pointer)


def _emit(site: TaskSite, scope: _Scope) -> Iterator[Field]:
    yield from scope.deep(site.body["emit"], f"{site.pointer}/emit", Purpose.DATA)


def _for(site: TaskSite, scope: _Scope) -> Iterator[Field]:
    loop = site.body["for"]
    yield from scope.bare(loop["in"], f"{site.pointer}/for/in", Purpose.DATA)
    inside = _Scope(site.also(*loop_variables(loop, "each")), site)
    yield from inside.bare(site.body.get("while"), f"{site.pointer}/while", Purpose.CONTROL)


def _listen(site: TaskSite, scope: _Scope) -> Iterator[Field]:
    yield from scope.consumption(site.body["listen"]["to"], f"{site.pointer}/listen/to")
    yield from _iterator(site.body.get("foreach"), f"{site.pointer}/foreach", scope)


def _raise(site: TaskSite, scope: _Scope) -> Iterator[Field]:
    error = site.body["raise"]["error"]
    if isinstance(error, dict):
        yield from scope.deep(error, f"{site.pointer}/raise/error", Purpose.DATA)


def _run(site: TaskSite, scope: _Scope) -> Iterator[Field]:
    for key, value in site.body["run"].items():
        purpose = Purpose.DATA if key == "workflow" else Purpose.CALL
        yield from scope.deep(value, f"{site.pointer}/run/{key}", purpose)


def _set(site: TaskSite, scope: _Scope) -> Iterator[Field]:
    yield from scope.deep(site.body["set"], f"{site.pointer}/set", Purpose.DATA)


def _switch(site: TaskSite, scope: _Scope) -> Iterator[Field]:
    for index, item in enumerate(site.body["switch"]):
        for name, case in item.items():
            place = f"{site.pointer}/switch/{index}/{escape(name)}/when"
            yield from scope.bare(case.get("when"), place, Purpose.CONTROL)


def _try(site: TaskSite, _: _Scope) -> Iterator[Field]:
    catch, pointer = site.body["catch"], f"{site.pointer}/catch"
    inside = _Scope(site.also(error_variable(catch)), site)
    for key in ("when", "exceptWhen"):
        yield from inside.bare(catch.get(key), f"{pointer}/{key}", Purpose.CONTROL)
    yield from inside.policy(catch.get("retry"), f"{pointer}/retry")


def _wait(site: TaskSite, scope: _Scope) -> Iterator[Field]:
    yield from scope.deep(site.body["wait"], f"{site.pointer}/wait", Purpose.CONTROL)


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
