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


ANY: Schema = {}
STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
ANY_MAPPING: Schema = {"type": "object"}
STRINGS: Schema = {"type": "array", "items": STRING}
MAPPING_OF_STRINGS: Schema = {"type": "object", "additionalProperties": STRING}
STRING_OR_MAPPING: Schema = {"type": ["string", "object"]}

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


def ref(name: str, **also: Any) -> Schema:
    """What `$defs` has under `name`."""
    return {"$ref": f"#/$defs/{name}", **also}


def one_of(*words: str) -> Schema:
    """One of these words."""
    return {"type": "string", "enum": list(words)}


def matching(pattern: str, says: str) -> Schema:
    """A text of a certain form."""
    return {"type": "string", "pattern": pattern, "says": says}


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
