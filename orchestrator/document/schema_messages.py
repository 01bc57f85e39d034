"""Translates errors of the schema into messages for the author of a document.

The kind of the error selects a rule. The rule yields messages: a pointer, whether it means the key
there or the value, and a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jsonschema_rs

from orchestrator.document.dsl_schema import Table
from orchestrator.document.dsl_schema.tasks import COMMON
from orchestrator.document.message_text import nearest_word, quoted, quoted_list, suggestion
from orchestrator.document.misplaced_keys import where_it_belongs
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
    """An error or warning whose position is not known yet. `at_key`: it concerns the key, not the
    value.

    `subject` is the pointer of the wrong part, if it differs from `pointer`: a missing key.
    `explains` is a pointer; other messages at or below it follow from this one.
    """

    pointer: str
    message: str
    at_key: bool = False
    subject: str | None = None
    explains: str | None = None


class SchemaError(NamedTuple):
    """A schema error with its value and the violated part of the schema, which is at `path`."""

    pointer: str
    value: Json
    kind: Any
    schema: Mapping[str, Any]
    path: tuple[str | int, ...]
    keyword: str

    @property
    def expectation(self) -> str | None:
        """The expected value in words, if the schema has the annotation."""
        return self.schema.get("expectation")

    @property
    def in_task(self) -> bool:
        """Whether a task itself is wrong, not a part of it."""
        return len(self.path) > 1 and str(self.path[1]).startswith(("task", "call-"))

    def below(self, key: str) -> str:
        """Return the pointer of a key of the value."""
        return f"{self.pointer}/{escape(key)}"


def messages_for(
    value: Json, error: jsonschema_rs.ValidationError, table: Table
) -> Iterator[SchemaMessage]:
    """Yield the messages of a schema error. Pointers begin at `value`."""
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
            message = f"a task is of one kind: {quoted_list([kind, key], 'and')} exclude each other"
            yield SchemaMessage(case.below(key), message, at_key=True)
            continue
        belongs = where_it_belongs(key, case.pointer, case.value if case.in_task else None)
        meant = None if belongs else nearest_word(key, known)
        yield SchemaMessage(
            case.below(key),
            f"unknown key {quoted(key)}{belongs or suggestion(meant)}",
            at_key=True,
            explains=None if meant is None else case.below(meant),
        )


def _required(case: SchemaError) -> Iterator[SchemaMessage]:
    key = case.kind.property
    if case.keyword == "dependentRequired":
        needy = [each for each, needs in case.schema[case.keyword].items() if key in needs]
        message = f"{quoted_list(needy)} needs {quoted(key)} beside it"
        yield SchemaMessage(case.below(needy[0]), message, at_key=True)
    else:
        message = f"missing key {quoted(key)}"
        yield SchemaMessage(case.pointer, message, at_key=True, subject=case.below(key))


def _no_kind(case: SchemaError) -> Iterator[SchemaMessage]:
    """Report a task without a key that determines its kind."""
    for key in case.value:
        meant = None if key in COMMON else nearest_word(key, KINDS)
        if meant is not None:
            message = f"unknown key {quoted(key)}{suggestion(meant)}"
            yield SchemaMessage(case.below(key), message, at_key=True)
            return
    message = f"a task needs one of the keys {quoted_list(sorted(KINDS))}"
    yield SchemaMessage(case.pointer, message, at_key=True)


def _type(case: SchemaError) -> Iterator[SchemaMessage]:
    types = list(case.kind.types)
    expected = case.expectation or " or ".join(_TYPES.get(name, name) for name in types)
    if case.value is None:
        yield SchemaMessage(case.pointer, f"has no value; it should be {expected}", at_key=True)
        return
    actual = _type_of(case.value)
    quotes = types == ["string"] and type(case.value) in (bool, int, float)
    advice = "; put it in quotes" if quotes else ""
    yield SchemaMessage(case.pointer, f"should be {expected}, not {_TYPES[actual]}{advice}")


def _type_of(value: Json) -> str:
    types = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}
    return types.get(type(value), "number")


def _enum(case: SchemaError) -> Iterator[SchemaMessage]:
    options = [str(option) for option in case.kind.options]
    if isinstance(case.value, str):
        meant = suggestion(nearest_word(case.value, options))
        message = f"should be {quoted_list(options)}, not {quoted(case.value)}{meant}"
        yield SchemaMessage(case.pointer, message)


def _text(case: SchemaError) -> Iterator[SchemaMessage]:
    expected = case.expectation or "a text of a different form"
    yield SchemaMessage(case.pointer, f"should be {expected}, not {quoted(str(case.value))}")


def _one_of(case: SchemaError) -> Iterator[SchemaMessage]:
    """Report that not exactly one of several keys is present."""
    if not isinstance(case.value, dict):
        return  # another message reports the type
    cases = case.schema.get(case.keyword, [])
    keys = [key for each in cases for key in each.get("required", [])]
    present = [key for key in keys if key in case.value]
    if not present:
        yield SchemaMessage(
            case.pointer, f"one of the keys {quoted_list(keys)} is missing", at_key=True
        )
    elif len(present) == 1:
        yield SchemaMessage(case.below(present[0]), "is not valid here")
    else:
        message = f"only one of {quoted_list(present, 'and')} is allowed here"
        yield SchemaMessage(case.below(present[1]), message, at_key=True)


def _too_many(case: SchemaError) -> Iterator[SchemaMessage]:
    keys = list(case.value)
    message = (
        f"an item has one key, its name; here are {quoted_list(keys[:5], 'and')}."
        " Indent what belongs to the name below it"
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
