"""Event filters: which events one takes, and the values that correlate them
(dsl-reference.md, Event Filter, Event Properties, Correlation).

Each attribute of a filter's ``with`` is compared with the event's own:

- a constant text is equal, or a regular expression that matches all of it;
- an expression sees the attribute as ``.`` (for ``data``, the data): a boolean is the answer,
  null is no match, anything else must be equal; for ``data`` jq's truth decides;
- an object under ``data`` names members that must be there, each compared in the same way;
- any other constant is equal.

Equality of scalars is that of their text, so that the constant ``"7"`` equals the number 7.
An expression that fails on an event does not match it: events are of any shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from uuid import UUID

from orchestrator import json_codec
from orchestrator.core.expression_template import Expression
from orchestrator.core.model import Json
from orchestrator.expressions import NOW, Evaluate, ExpressionError, is_expression

#: Types of the DSL's lifecycle events begin so. They go to whoever asks for them by type, and
#: to nobody else: a workflow that takes every event must not take those of its own taking.
LIFECYCLE = "io.serverlessworkflow."

_PATTERN = re.compile(r"[\\^$*+?\[\]{}()|]")


class EventFilter:
    """A filter, read once. `type` is set where it takes events of one type only; `lifecycle`:
    it asks for lifecycle events; `names` are the arguments that its expressions mention;
    `correlations` are the expressions that extract values, by name."""

    __slots__ = ("_with", "correlations", "lifecycle", "names", "type")

    def __init__(self, definition: Mapping[str, Json]) -> None:
        given = definition.get("with") or {}
        read = {name: _read(value) for name, value in given.items()}
        # What costs nothing is compared first.
        self._with = dict(sorted(read.items(), key=lambda one: not isinstance(one[1], str)))
        type = read.get("type")
        constant = type if isinstance(type, str) else ""
        self.type = constant if constant and not _PATTERN.search(constant) else None
        self.lifecycle = constant.replace("\\.", ".").startswith(LIFECYCLE)
        self.names = frozenset(
            name for one in _expressions(self._with) for name in one.names if name != NOW
        )
        self.correlations = {
            name: Expression(body["from"])
            for name, body in sorted((definition.get("correlate") or {}).items())
        }

    def accepts_type(self, type: str) -> bool:
        """Whether events of a type may match, by a quick look."""
        if type.startswith(LIFECYCLE) and not self.lifecycle:
            return False
        return self.type is None or self.type == type

    def passes(
        self, event: Mapping[str, Json], variables: Mapping[str, Json], evaluate: Evaluate
    ) -> bool:
        """Whether an event has what ``with`` asks for.

        Raises `EvaluatorUnavailable`.
        """
        return self.accepts_type(event["type"]) and all(
            _compared(wanted, event.get(name), name == "data", variables, evaluate)
            for name, wanted in self._with.items()
        )

    def values(
        self, event: Mapping[str, Json], variables: Mapping[str, Json], evaluate: Evaluate
    ) -> dict[str, Json] | None:
        """The correlation values of an event; None where it lacks one.

        Raises `EvaluatorUnavailable`.
        """
        found = {}
        for name, expression in self.correlations.items():
            value = _asked(expression, event, variables, evaluate)
            if value is None:
                return None
            found[name] = value
        return found


@lru_cache(maxsize=4096)
def compiled(definition: str) -> EventFilter:
    """The filter of a definition in JSON text."""
    return EventFilter(json_codec.loads(definition))


def canonical(definition: Mapping[str, Json]) -> str:
    """What makes a filter the same as another, as JSON text: what correlations expect is not
    part of it, being each listener's own."""
    correlate = {
        name: {"from": body["from"]} for name, body in (definition.get("correlate") or {}).items()
    }
    whole = {"with": definition.get("with") or {}, "correlate": correlate}
    return json_codec.dumps(_sorted(whole))


def identity(namespace: str, canonical: str) -> str:
    """The id of a filter of a namespace: the same for the same filter."""
    digest = blake2b(f"{namespace}\n{canonical}".encode(), digest_size=16).digest()
    return str(UUID(bytes=digest))


def key(filter: EventFilter, correlation: Mapping[str, Json]) -> str:
    """The digest of a filter's correlation values; empty where it has none, or where not all
    are known."""
    names = filter.correlations
    if not names or any(name not in correlation for name in names):
        return ""
    values = json_codec.encode([text(correlation[name]) for name in names])
    return blake2b(values, digest_size=12).hexdigest()


def text(value: Json) -> str:
    """What a value is compared by: a scalar's text, anything else's JSON in one order."""
    return value if isinstance(value, str) else json_codec.dumps(_sorted(value))


def equal_values(one: Json, other: Json) -> bool:
    """Whether two values are equal as values of attributes and correlations."""
    return text(one) == text(other)


def _sorted(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _read(value: Json) -> Any:
    if is_expression(value):
        return Expression(value)
    if isinstance(value, dict):
        return {name: _read(item) for name, item in value.items()}
    return value


def _expressions(value: Any) -> Iterator[Expression]:
    if isinstance(value, Expression):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _expressions(item)


def _compared(
    wanted: Any, found: Json, data: bool, variables: Mapping[str, Json], evaluate: Evaluate
) -> bool:
    if isinstance(wanted, Expression):
        return _answers(_asked(wanted, found, variables, evaluate), found, data)
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            name in found and _compared(item, found[name], False, variables, evaluate)
            for name, item in wanted.items()
        )
    if found is None:
        return wanted is None
    if isinstance(wanted, str) and isinstance(found, str):
        return wanted == found or (
            _PATTERN.search(wanted) is not None and _matches(wanted, found, evaluate)
        )
    return equal_values(wanted, found)


def _answers(answer: Json, found: Json, data: bool) -> bool:
    if answer is None or isinstance(answer, bool):
        return answer is True
    return data or equal_values(answer, found)


def _asked(
    expression: Expression, value: Json, variables: Mapping[str, Json], evaluate: Evaluate
) -> Json:
    try:
        return evaluate(expression.program, value, variables)
    except ExpressionError:
        return None


def _matches(pattern: str, found: str, evaluate: Evaluate) -> bool:
    """A regular expression, tried where it can take neither time nor memory from us."""
    try:
        given = {"pattern": f"^(?:{pattern})$"}
        return evaluate("test($pattern)", found, given) is True
    except ExpressionError:
        return False
