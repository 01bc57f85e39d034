"""Event filters: which events pass, and the values that correlate them
(dsl-reference.md, Event Filter, Event Properties, Correlation).

Each attribute of a filter's ``with`` is compared with the event's own:

- a constant text is equal, or a regular expression that matches all of it;
- an expression sees the attribute as ``.`` (for ``data``, the data): a boolean decides, null is no
  match, any other value must be equal; for ``data`` jq's truth decides;
- an object under ``data`` names required members, each compared in the same way;
- any other constant must be equal.

Scalars are equal if their texts are, so that the constant ``"7"`` equals the number 7. An
expression that fails on an event does not match it, because events may have any shape.
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

#: Prefix of the types of lifecycle events. They match only filters that name such a type: a
#: workflow that takes every event would otherwise take the events that it causes itself.
LIFECYCLE = "io.serverlessworkflow."

#: A filter that every event passes: the meaning of an empty list of filters with `any`.
MATCH_ALL: dict[str, Json] = {"with": {}}

_PATTERN = re.compile(r"[\\^$*+?\[\]{}()|]")


class EventFilter:
    """A compiled filter. `type` is set if only events of one type pass. `lifecycle`: it requests
    lifecycle events. `names` are the arguments that its expressions use. `correlations` are the
    expressions that extract the correlation values, by name."""

    __slots__ = ("_with", "correlations", "lifecycle", "names", "type")

    def __init__(self, definition: Mapping[str, Json]) -> None:
        attributes = definition.get("with") or {}
        read = {name: _read(value) for name, value in attributes.items()}
        # Compare those attributes of the event first whose expected value is a constant text: that
        # is cheaper than evaluating an expression.
        self._with = dict(sorted(read.items(), key=lambda item: not isinstance(item[1], str)))
        type = read.get("type")
        constant = type if isinstance(type, str) else ""
        self.type = constant if constant and not _PATTERN.search(constant) else None
        self.lifecycle = constant.replace("\\.", ".").startswith(LIFECYCLE)
        self.names = frozenset(
            name
            for expression in _expressions(self._with)
            for name in expression.names
            if name != NOW
        )
        self.correlations = {
            name: Expression(body["from"])
            for name, body in sorted((definition.get("correlate") or {}).items())
        }

    def accepts_type(self, type: str) -> bool:
        """Whether events of a type may pass, without evaluating expressions."""
        if type.startswith(LIFECYCLE) and not self.lifecycle:
            return False
        return self.type is None or self.type == type

    def passes(
        self, event: Mapping[str, Json], variables: Mapping[str, Json], evaluate: Evaluate
    ) -> bool:
        """Whether an event passes ``with``.

        Raises `EvaluatorUnavailable`.
        """
        return self.accepts_type(event["type"]) and all(
            _compared(expected, event.get(name), name == "data", variables, evaluate)
            for name, expected in self._with.items()
        )

    def correlation_values(
        self, event: Mapping[str, Json], variables: Mapping[str, Json], evaluate: Evaluate
    ) -> dict[str, Json] | None:
        """Return the correlation values of an event; None if a value is missing.

        Raises `EvaluatorUnavailable`.
        """
        values = {}
        for name, expression in self.correlations.items():
            value = _evaluate(expression, event, variables, evaluate)
            if value is None:
                return None
            values[name] = value
        return values


@lru_cache(maxsize=4096)
def compiled(definition: str) -> EventFilter:
    """Return the filter of a definition in JSON text."""
    return EventFilter(json_codec.loads(definition))


def canonical(definition: Mapping[str, Json]) -> str:
    """Return the JSON text that equal filters share. It omits the values that correlations expect:
    those differ between listeners."""
    correlate = {
        name: {"from": body["from"]} for name, body in (definition.get("correlate") or {}).items()
    }
    shared = {"with": definition.get("with") or {}, "correlate": correlate}
    return json_codec.dumps(_sorted(shared))


def identity(namespace: str, canonical: str) -> str:
    """Return the id of a filter in a namespace. Equal filters have the same id."""
    digest = blake2b(f"{namespace}\n{canonical}".encode(), digest_size=16).digest()
    return str(UUID(bytes=digest))


def correlation_key(filter: EventFilter, correlation: Mapping[str, Json]) -> str:
    """Return the digest of a filter's correlation values; empty if it has no correlations or not
    all of their values are bound."""
    names = filter.correlations
    if not names or any(name not in correlation for name in names):
        return ""
    values = json_codec.encode([text(correlation[name]) for name in names])
    return blake2b(values, digest_size=12).hexdigest()


def text(value: Json) -> str:
    """Return the text by which a value is compared: a scalar's text, otherwise JSON with sorted
    keys."""
    return value if isinstance(value, str) else json_codec.dumps(_sorted(value))


def equal_values(one: Json, other: Json) -> bool:
    """Whether two values of attributes or correlations are equal."""
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
    expected: Any, actual: Json, data: bool, variables: Mapping[str, Json], evaluate: Evaluate
) -> bool:
    if isinstance(expected, Expression):
        return _accepts_answer(_evaluate(expected, actual, variables, evaluate), actual, data)
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(
            name in actual and _compared(item, actual[name], False, variables, evaluate)
            for name, item in expected.items()
        )
    if actual is None:
        return expected is None
    if isinstance(expected, str) and isinstance(actual, str):
        return expected == actual or (
            _PATTERN.search(expected) is not None and _matches(expected, actual, evaluate)
        )
    return equal_values(expected, actual)


def _accepts_answer(answer: Json, actual: Json, data: bool) -> bool:
    if answer is None or isinstance(answer, bool):
        return answer is True
    return data or equal_values(answer, actual)


def _evaluate(
    expression: Expression, value: Json, variables: Mapping[str, Json], evaluate: Evaluate
) -> Json:
    try:
        return evaluate(expression.program, value, variables)
    except ExpressionError:
        return None


def _matches(pattern: str, text: str, evaluate: Evaluate) -> bool:
    """Whether a regular expression matches all of a text. jq evaluates it, in bounded time and
    memory."""
    try:
        variables = {"pattern": f"^(?:{pattern})$"}
        return evaluate("test($pattern)", text, variables) is True
    except ExpressionError:
        return False
