"""The words in which the language's schema is written: JSON Schema (2020-12), shaped so that
what is wrong is found at its exact place.

A choice between alternatives is never tried out (`oneOf`), but decided by the key or the type
that tells them apart; the errors of the chosen one are then the author's errors. `says` is an
annotation of ours: what should stand there, in words, for the message.
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


#: What becomes of a text is said by `text`, an annotation of ours. A *literal* is taken as it
#: stands, so it is refused where it looks like an expression; a *template* is evaluated where it
#: is `${ ... }` as a whole; a *program* is an expression as it stands, with or without `${ }`;
#: what is the author's *own* is never looked at; in a schedule's input, *placeholders* are
#: filled in. A mapping or an open value says it of every
#: text in it.
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

#: A name as the host names of RFC 1123 have it.
NAME = r"^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$"

_NUMBER = r"(?:0|[1-9]\d*)"
_PRE = r"(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD = r"[0-9a-zA-Z-]+"

#: A semantic version (semver.org).
VERSION = (
    rf"^{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    rf"(?:-{_PRE}(?:\.{_PRE})*)?(?:\+{_BUILD}(?:\.{_BUILD})*)?$"
)


#: How a text begins that its author means as an expression.
BEGINS_AS_EXPRESSION = r"^\s*\$\{"

#: Where it does not, wherever in a value.
NO_EXPRESSION: Schema = {
    "not": {"type": "string", "pattern": BEGINS_AS_EXPRESSION},
    "additionalProperties": {"$ref": "#/$defs/no-expression"},
    "items": {"$ref": "#/$defs/no-expression"},
}


def refusing(schema: Any) -> Any:
    """The same schema, but a literal that looks like an expression is refused. A text that is
    an expression by its schema, or is the author's own, stays allowed."""
    if isinstance(schema, list):
        return [refusing(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: refusing(each) for key, each in schema.items()}
    if schema.get("text") == "literal":
        found |= NO_EXPRESSION if schema["type"] == "object" else {"not": NO_EXPRESSION["not"]}
    return found


def ref(name: str, **also: Any) -> Schema:
    """What `$defs` has under `name`."""
    return {"$ref": f"#/$defs/{name}", **also}


def one_of(*words: str) -> Schema:
    """One of these words."""
    return {"type": "string", "enum": list(words)}


def matching(pattern: str, says: str) -> Schema:
    """A literal text of a certain form."""
    return {**LITERAL, "pattern": pattern, "says": says}


def template(pattern: str, says: str) -> Schema:
    """A text of a certain form, or an expression."""
    return {**TEMPLATE, "pattern": pattern, "says": says}


def mapping(
    properties: Mapping[str, Schema | bool], required: Iterable[str] = (), **also: Any
) -> Schema:
    """A mapping with these keys and no others."""
    schema: Schema = {"type": "object", "properties": dict(properties), **also}
    if required := list(required):
        schema["required"] = required
    schema["additionalProperties"] = False
    return schema


def open_mapping(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    """A mapping with these keys, and any others."""
    return {"type": "object", "properties": dict(properties), "required": list(required)}


def mapping_of(values: Schema) -> Schema:
    """A mapping from any name to values of one kind."""
    return {"type": "object", "additionalProperties": values}


def list_of(items: Schema, least: int = 0) -> Schema:
    """A list."""
    return {"type": "array", "items": items, "minItems": least}


def named(values: Schema) -> Schema:
    """A mapping with a single key, the name of its value."""
    return {**mapping_of(values), "minProperties": 1, "maxProperties": 1}


def exactly_one(*keys: str) -> Schema:
    """A condition: one of these keys stands there, and only one."""
    return {"oneOf": [{"required": [key]} for key in keys]}


def by_type(**alternatives: Schema) -> Schema:
    """Decided by the JSON type: `by_type(string=..., object=...)`."""
    cases = [
        {"if": {"type": name}, "then": schema} for name, schema in alternatives.items() if schema
    ]
    return {"type": list(alternatives), "allOf": cases}


def when(condition: Schema, then: Schema, otherwise: Schema | bool) -> Schema:
    """Decided by a condition."""
    return {"if": condition, "then": then, "else": otherwise}


def by_key(cases: Mapping[str, Schema]) -> Schema | bool:
    """Decided by the first of these keys that stands there; without any it is refused."""
    schema: Schema | bool = False
    for key, case in reversed(list(cases.items())):
        schema = when({"required": [key]}, case, schema)
    return schema


def by_value(key: str, cases: Mapping[str, Schema], otherwise: Schema) -> Schema:
    """Decided by the value of a key."""
    schema = otherwise
    for value, case in reversed(list(cases.items())):
        schema = when({"required": [key], "properties": {key: {"const": value}}}, case, schema)
    return schema
