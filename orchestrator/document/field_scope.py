"""Expressions and the scopes in which they are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from orchestrator.document.model import escape
from orchestrator.document.task_sites import TaskSite
from orchestrator.expressions import is_expression

Json = Any

Variables = frozenset[str] | None

NO_VARIABLES: frozenset[str] = frozenset()


class Purpose(StrEnum):
    """The use of an expression's result."""

    DATA = "data"  # stored in the workflow's data or history
    CALL = "call"  # sent to the worker that makes the call
    CONTROL = "control"  # decides what happens next


@dataclass(frozen=True, slots=True)
class Field:
    """An expression, or a text with `${` in it where an expression is possible. `text` is the
    author's; `variables` are those in scope besides the language's own (None: unknown). `lenient`:
    in loose mode the text may be literal; `bare`: the whole text is a program."""

    pointer: str
    text: str
    variables: Variables
    purpose: Purpose
    lenient: bool = True
    site: TaskSite | None = None
    bare: bool = False

    @property
    def is_program(self) -> bool:
        """Whether the text is evaluated, not used literally."""
        return self.bare or is_expression(self.text)


class Scope(NamedTuple):
    """The variables and the task of the fields below a pointer."""

    variables: Variables
    site: TaskSite | None = None

    def field(
        self, pointer: str, text: str, purpose: Purpose, lenient: bool, bare: bool = True
    ) -> Field:
        """Return a field in this scope."""
        return Field(pointer, text, self.variables, purpose, lenient, self.site, bare)

    def bare_fields(self, value: Json, pointer: str, purpose: Purpose) -> Iterator[Field]:
        """Yield a bare field, or the expressions in a mapping or list."""
        if isinstance(value, str):
            yield self.field(pointer, value, purpose, lenient=False)
        else:
            yield from self.nested_fields(value, pointer, purpose)

    def transformation_fields(self, value: Json, pointer: str) -> Iterator[Field]:
        """Yield `input.from`, `output.as`, `export.as`: bare, but possibly literal in loose
        mode."""
        if isinstance(value, str):
            yield self.field(pointer, value, Purpose.DATA, lenient=True)
        else:
            yield from self.nested_fields(value, pointer, Purpose.DATA)

    def nested_fields(self, value: Json, pointer: str, purpose: Purpose) -> Iterator[Field]:
        """Yield the expressions in a value at any depth, and the texts that contain one."""
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

    def retry_policy_fields(self, policy: Json, pointer: str) -> Iterator[Field]:
        """Yield the expressions of a retry policy."""
        if not isinstance(policy, dict):
            return
        for key, value in policy.items():
            place = f"{pointer}/{key}"
            if key in ("when", "exceptWhen"):
                yield from self.bare_fields(value, place, Purpose.CONTROL)
            elif key == "backoff" and isinstance(value, dict):
                yield from self.nested_fields(
                    value.get("linear"), f"{place}/linear", Purpose.CONTROL
                )
            else:
                yield from self.nested_fields(value, place, Purpose.CONTROL)

    def consumption_fields(self, strategy: dict[str, Json], pointer: str) -> Iterator[Field]:
        """Yield the expressions of event filters and of `until`."""
        for key in ("all", "any"):
            for index, each in enumerate(strategy.get(key) or ()):
                yield from self._filter_fields(each, f"{pointer}/{key}/{index}")
        if "one" in strategy:
            yield from self._filter_fields(strategy["one"], f"{pointer}/one")
        until = strategy.get("until")
        if isinstance(until, dict):
            yield from self.consumption_fields(until, f"{pointer}/until")
        else:
            yield from self.bare_fields(until, f"{pointer}/until", Purpose.CONTROL)

    def _filter_fields(self, one: dict[str, Json], pointer: str) -> Iterator[Field]:
        yield from self.nested_fields(one["with"], f"{pointer}/with", Purpose.CONTROL)
        for name, correlation in (one.get("correlate") or {}).items():
            place = f"{pointer}/correlate/{escape(name)}"
            yield from self.bare_fields(correlation["from"], f"{place}/from", Purpose.CONTROL)
            yield from self._expected_fields(correlation.get("expect"), f"{place}/expect")

    def _expected_fields(self, value: Json, pointer: str) -> Iterator[Field]:
        """Yield the expressions of `expect`, a constant or an expression. A bare expression begins
        like a path."""
        if isinstance(value, str) and value.lstrip().startswith((".", "$")):
            yield self.field(pointer, value, Purpose.CONTROL, True, bare=value.lstrip()[:2] != "${")
        else:
            yield from self.nested_fields(value, pointer, Purpose.CONTROL)

    def data_flow_fields(self, body: dict[str, Json], pointer: str) -> Iterator[Field]:
        """Yield the expressions of `input`, `output` and `export`."""
        for part, key in (("input", "from"), ("output", "as"), ("export", "as")):
            value = body.get(part) or {}
            yield from self.transformation_fields(value.get(key), f"{pointer}/{part}/{key}")
            resource = (value.get("schema") or {}).get("resource")
            yield from self.nested_fields(
                resource, f"{pointer}/{part}/schema/resource", Purpose.CALL
            )
