"""Functions that build the schema of the language: JSON Schema (2020-12), shaped so that an error
points at its exact position.

A key or a type decides between alternatives (never `oneOf`), so that the author gets the errors of
the alternative that was meant. The annotation `expectation` describes the expected value for
messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

Schema = dict[str, Any]


class Revision(StrEnum):
    """The revisions of the official schema of DSL 1.0.3. A document follows one of them."""

    JANUARY = "2026-01"
    JULY = "2026-07"


#: The annotation `text` says how a text is used. A *literal* is used as it is written, so it is
#: refused if it looks like an expression. A *template* is evaluated if it is `${ ... }` as a whole.
#: A *program* is an expression, with or without `${ }`. An author's *own* text is never examined.
#: The *placeholders* of a schedule's input are filled in. On a mapping or an open value the
#: annotation applies to every text inside.
LITERAL: Schema = {"type": "string", "text": "literal"}
TEMPLATE: Schema = {"type": "string", "text": "template"}
PROGRAM: Schema = {"type": "string", "text": "program"}
LITERALS: Schema = {"type": "object", "text": "literal"}
TEMPLATES: Schema = {"type": "object", "text": "template"}
ANY_TEMPLATE: Schema = {"text": "template"}
OWN: Schema = {"type": "object", "text": "own"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
LIST_OF_TEMPLATES: Schema = {"type": "array", "items": TEMPLATE}
MAPPING_OF_TEMPLATES: Schema = {"type": "object", "additionalProperties": TEMPLATE}
PROGRAM_OR_TEMPLATES: Schema = {"type": ["string", "object"], "text": "program"}

#: A name like a host name of RFC 1123.
NAME = r"^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$"

_NUMBER = r"(?:0|[1-9]\d*)"
_PRE = r"(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD = r"[0-9a-zA-Z-]+"

#: A semantic version (semver.org).
VERSION = (
    rf"^{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    rf"(?:-{_PRE}(?:\.{_PRE})*)?(?:\+{_BUILD}(?:\.{_BUILD})*)?$"
)


#: The beginning of a text that its author meant as an expression.
BEGINS_AS_EXPRESSION = r"^\s*\$\{"

#: Accepts a value in which no text begins like an expression.
NO_EXPRESSION: Schema = {
    "not": {"type": "string", "pattern": BEGINS_AS_EXPRESSION},
    "additionalProperties": {"$ref": "#/$defs/no-expression"},
    "items": {"$ref": "#/$defs/no-expression"},
}


def refusing_expression_literals(schema: Any) -> Any:
    """Return the schema with literals that look like expressions refused. Texts that are
    expressions by the schema, and the author's own, stay allowed."""
    if isinstance(schema, list):
        return [refusing_expression_literals(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    refused = {key: refusing_expression_literals(each) for key, each in schema.items()}
    if schema.get("text") == "literal":
        refused |= NO_EXPRESSION if schema["type"] == "object" else {"not": NO_EXPRESSION["not"]}
    return refused


def ref(name: str, **also: Any) -> Schema:
    """Return a reference to `name` in `$defs`."""
    return {"$ref": f"#/$defs/{name}", **also}


def one_of(*words: str) -> Schema:
    """Return the schema of one of these words."""
    return {"type": "string", "enum": list(words)}


def matching(pattern: str, expectation: str) -> Schema:
    """Return the schema of a literal text that matches a pattern."""
    return {**LITERAL, "pattern": pattern, "expectation": expectation}


def template(pattern: str, expectation: str) -> Schema:
    """Return the schema of a text that matches a pattern, or of an expression."""
    return {**TEMPLATE, "pattern": pattern, "expectation": expectation}


def mapping(
    properties: Mapping[str, Schema | bool], required: Iterable[str] = (), **also: Any
) -> Schema:
    """Return the schema of a mapping with these keys and no others."""
    schema: Schema = {"type": "object", "properties": dict(properties), **also}
    if required := list(required):
        schema["required"] = required
    schema["additionalProperties"] = False
    return schema


def open_mapping(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    """Return the schema of a mapping with these keys and any others."""
    return {"type": "object", "properties": dict(properties), "required": list(required)}


def mapping_of(values: Schema) -> Schema:
    """Return the schema of a mapping from any name to values of one schema."""
    return {"type": "object", "additionalProperties": values}


def list_of(items: Schema, least: int = 0) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items, "minItems": least}


def named(values: Schema) -> Schema:
    """Return the schema of a mapping with a single key, the name of its value."""
    return {**mapping_of(values), "minProperties": 1, "maxProperties": 1}


def exactly_one(*keys: str) -> Schema:
    """Return the condition that exactly one of these keys is present."""
    return {"oneOf": [{"required": [key]} for key in keys]}


def by_type(**alternatives: Schema) -> Schema:
    """Choose a schema by the JSON type: `by_type(string=..., object=...)`."""
    cases = [
        {"if": {"type": name}, "then": schema} for name, schema in alternatives.items() if schema
    ]
    return {"type": list(alternatives), "allOf": cases}


def when(condition: Schema, then: Schema, otherwise: Schema | bool) -> Schema:
    """Choose a schema by a condition."""
    return {"if": condition, "then": then, "else": otherwise}


def by_key(cases: Mapping[str, Schema]) -> Schema | bool:
    """Choose a schema by the first of these keys that is present; refuse a value without any."""
    schema: Schema | bool = False
    for key, case in reversed(list(cases.items())):
        schema = when({"required": [key]}, case, schema)
    return schema


def by_value(key: str, cases: Mapping[str, Schema], otherwise: Schema) -> Schema:
    """Choose a schema by the value of a key."""
    schema = otherwise
    for value, case in reversed(list(cases.items())):
        schema = when({"required": [key], "properties": {key: {"const": value}}}, case, schema)
    return schema
