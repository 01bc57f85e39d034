"""What a schema's error means to the author of a document.

A rule is looked up by the kind of the error; it yields complaints: a pointer, whether it
means the key there or its value, and a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jsonschema_rs

from orchestrator.document.dsl_schema import Table
from orchestrator.document.dsl_schema.metadata_extensions import DOCUMENT, SCHEDULE, TASK
from orchestrator.document.dsl_schema.tasks import COMMON
from orchestrator.document.message_text import listed, nearest, quoted, suggestion
from orchestrator.document.model import KINDS, escape, look_up
from orchestrator.errors import NotFound

Json = Any
Kind = jsonschema_rs.ValidationErrorKind

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


class SchemaMessage(NamedTuple):
    """A problem before its position is known. `at_key`: the key is meant, not its value.

    `subject` is the pointer of what is wrong, where that is not what is pointed at: a key that
    is missing. `explains` is a pointer; complaints about it or anything in it follow from
    this one.
    """

    pointer: str
    message: str
    at_key: bool = False
    subject: str | None = None
    explains: str | None = None


class SchemaError(NamedTuple):
    """An error of the schema with what belongs to it: the value, and the part of the schema
    that it broke, which stands at `path`."""

    pointer: str
    value: Json
    kind: Any
    schema: Mapping[str, Any]
    path: tuple[str | int, ...]
    keyword: str

    @property
    def expectation(self) -> str | None:
        """What should stand there, if the schema says so in words."""
        return self.schema.get("says")

    @property
    def in_task(self) -> bool:
        """Is a task itself wrong, not a part of it?"""
        return len(self.path) > 1 and str(self.path[1]).startswith(("task", "call-"))

    def below(self, key: str) -> str:
        """The pointer of a key of the value."""
        return f"{self.pointer}/{escape(key)}"


def messages_for(
    value: Json, error: jsonschema_rs.ValidationError, table: Table
) -> Iterator[SchemaMessage]:
    """What an error of a schema means; pointers begin at the value."""
    pointer = "".join(f"/{escape(str(token))}" for token in error.instance_path)
    path = tuple(error.schema_path)
    schema = table.part(path[:-1])
    case = SchemaError(
        pointer=pointer,
        value=_value(value, pointer),
        kind=error.kind,
        schema=schema if isinstance(schema, dict) else {},
        path=path,
        keyword=str(path[-1]) if path else "",
    )
    yield from _RULES.get(type(error.kind), _expected)(case)


def _value(document: Json, pointer: str) -> Json:
    try:
        return look_up(document, pointer)
    except NotFound:
        return None


def _expected(case: SchemaError) -> Iterator[SchemaMessage]:
    yield SchemaMessage(case.pointer, f"should be {case.expectation or 'something else'}")


def _unknown(case: SchemaError) -> Iterator[SchemaMessage]:
    known = [key for key in case.schema.get("properties", {}) if key not in case.value]
    kind = next((kind for kind in KINDS if kind in case.value), None)
    for key in case.kind.unexpected:
        if case.in_task and key in KINDS and kind is not None:
            message = f"a task is of one kind: {listed([kind, key], 'and')} exclude each other"
            yield SchemaMessage(case.below(key), message, at_key=True)
            continue
        belongs = _where_it_belongs(case, key)
        meant = None if belongs else nearest(key, known)
        yield SchemaMessage(
            case.below(key),
            f"unknown key {quoted(key)}{belongs or suggestion(meant)}",
            at_key=True,
            explains=None if meant is None else case.below(meant),
        )


def _where_it_belongs(case: SchemaError, key: str) -> str | None:
    """Where a known word belongs that stands in a wrong place; None where it is none."""
    if case.pointer == "/document" and key in DOCUMENT:
        return ": it belongs under 'metadata' of the 'document'"
    if case.pointer == "/schedule" and key in SCHEDULE:
        return ": it belongs under 'schedule' in the 'metadata' of the 'document'"
    if not case.in_task:
        return None
    if key in TASK and key != "concurrency":
        return ": it belongs under 'metadata' of the task"
    if key == "concurrency":
        return ": it belongs under 'metadata' of a 'for'"
    if key in _ARGUMENTS and "call" in case.value:
        return ": it belongs under 'with'"
    return _ELSEWHERE.get(key)


#: Words of a task that other languages have, and where ours has them.
_ELSEWHERE: Mapping[str, str] = {
    "retry": ": it belongs into a 'try', whose 'catch' has a 'retry'",
    "retries": ": a 'try' tries again, whose 'catch' has a 'retry'",
    "catch": ": it goes with 'try', which holds the tasks that may fail",
    "onError": ": a 'try' with a 'catch' handles errors",
    "errors": ": it belongs under 'catch' of a 'try'",
    "when": ": the condition of a task is its 'if'",
    "condition": ": the condition of a task is its 'if'",
    "next": ": where it goes on is said by 'then'",
    "foreach": ": it goes with 'listen'; a loop is a 'for'",
    "until": ": it belongs under 'to' of a 'listen'",
    "to": ": it belongs under 'listen'",
    "in": ": it belongs under 'for'",
    "branches": ": it belongs under 'fork'",
}

#: What calls are given, as people also write it beside them.
_ARGUMENTS = frozenset(
    {
        "args", "arguments", "body", "endpoint", "headers", "kwargs", "method", "operationId",
        "parameters", "params", "query", "task", "url",
    }
)  # fmt: skip


def _required(case: SchemaError) -> Iterator[SchemaMessage]:
    key = case.kind.property
    if case.keyword == "dependentRequired":
        needy = [each for each, needs in case.schema[case.keyword].items() if key in needs]
        message = f"{listed(needy)} needs {quoted(key)} beside it"
        yield SchemaMessage(case.below(needy[0]), message, at_key=True)
    else:
        message = f"missing key {quoted(key)}"
        yield SchemaMessage(case.pointer, message, at_key=True, subject=case.below(key))


def _no_kind(case: SchemaError) -> Iterator[SchemaMessage]:
    """A task without any key that makes it one."""
    for key in case.value:
        meant = None if key in COMMON else nearest(key, KINDS)
        if meant is not None:
            message = f"unknown key {quoted(key)}{suggestion(meant)}"
            yield SchemaMessage(case.below(key), message, at_key=True)
            return
    message = f"a task needs one of the keys {listed(sorted(KINDS))}"
    yield SchemaMessage(case.pointer, message, at_key=True)


def _type(case: SchemaError) -> Iterator[SchemaMessage]:
    types = list(case.kind.types)
    wanted = case.expectation or " or ".join(_TYPES.get(name, name) for name in types)
    if case.value is None:
        yield SchemaMessage(case.pointer, f"has no value; it should be {wanted}", at_key=True)
        return
    found = _type_of(case.value)
    quotes = types == ["string"] and type(case.value) in (bool, int, float)
    advice = "; put it in quotes" if quotes else ""
    yield SchemaMessage(case.pointer, f"should be {wanted}, not {_TYPES[found]}{advice}")


def _type_of(value: Json) -> str:
    types = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}
    return types.get(type(value), "number")


def _enum(case: SchemaError) -> Iterator[SchemaMessage]:
    options = [str(option) for option in case.kind.options]
    if isinstance(case.value, str):
        meant = suggestion(nearest(case.value, options))
        message = f"should be {listed(options)}, not {quoted(case.value)}{meant}"
        yield SchemaMessage(case.pointer, message)


def _text(case: SchemaError) -> Iterator[SchemaMessage]:
    wanted = case.expectation or "a text of another form"
    yield SchemaMessage(case.pointer, f"should be {wanted}, not {quoted(str(case.value))}")


def _one_of(case: SchemaError) -> Iterator[SchemaMessage]:
    """Of several keys exactly one must be there."""
    if not isinstance(case.value, dict):
        return  # that alone is wrong, and is said elsewhere
    cases = case.schema.get(case.keyword, [])
    keys = [key for each in cases for key in each.get("required", [])]
    present = [key for key in keys if key in case.value]
    if not present:
        yield SchemaMessage(case.pointer, f"one of the keys {listed(keys)} is missing", at_key=True)
    elif len(present) == 1:
        yield SchemaMessage(case.below(present[0]), "is not what it should be")
    else:
        message = f"only one of {listed(present, 'and')} can be right here"
        yield SchemaMessage(case.below(present[1]), message, at_key=True)


def _too_many(case: SchemaError) -> Iterator[SchemaMessage]:
    keys = list(case.value)
    message = (
        f"an item has one key, its name; here are {listed(keys[:5], 'and')}."
        " Is what belongs to the name indented below it?"
    )
    yield SchemaMessage(case.below(keys[1]), message, True, case.pointer, case.pointer)


def _empty(case: SchemaError) -> Iterator[SchemaMessage]:
    yield SchemaMessage(case.pointer, "must not be empty", at_key=True)


def _bound(case: SchemaError) -> Iterator[SchemaMessage]:
    least, most = case.schema.get("minimum"), case.schema.get("maximum")
    yield SchemaMessage(case.pointer, f"should be from {least} to {most}")


_RULES: Mapping[type, Callable[[SchemaError], Iterator[SchemaMessage]]] = {
    Kind.AdditionalProperties: _unknown,
    Kind.Required: _required,
    Kind.FalseSchema: _no_kind,
    Kind.Type: _type,
    Kind.Enum: _enum,
    Kind.Pattern: _text,
    Kind.Not: _expected,
    Kind.OneOfNotValid: _one_of,
    Kind.OneOfMultipleValid: _one_of,
    Kind.MaxProperties: _too_many,
    Kind.MinProperties: _empty,
    Kind.MinItems: _empty,
    Kind.MinLength: _empty,
    Kind.Minimum: _bound,
    Kind.Maximum: _bound,
}
