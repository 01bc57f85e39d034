"""An upper bound of the work of validating by a JSON Schema, from the schema alone.

Every subschema, at the end of one way through the references that lead to it, is applied to each
place of a value at most once. So the number of these ways, times the size of the value, bounds the
work. Keywords that compare with several things count as several subschemas.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from orchestrator.schemas.pattern_states import states

Json = Any

#: Keywords with a subschema, an array of them, or a mapping to them.
_ONE = (
    "additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "items",
    "not", "propertyNames", "then",
)  # fmt: skip
_ARRAY = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
_MAPPING = ("dependencies", "dependentSchemas", "patternProperties", "properties")
#: Keywords whose subschemas run twice: once for the verdict, once for the errors.
_TWICE = ("anyOf", "oneOf", "not", "if")
#: Keywords whose work this module does not bound.
_UNBOUNDED = ("$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties")
#: Keywords that compare with each of their elements.
_LISTS = ("dependentRequired", "enum", "required", "type")


#: The work of what has no bound that could be computed; also the largest number.
UNBOUNDED = 10**12


class SchemaWork:
    """Computes the bound of one schema. `factor`: the work per place of a value, or `UNBOUNDED`.
    `compilation`: the work of compiling the schema, which repeats no reference."""

    def __init__(self, schema: Json) -> None:
        self._schema = schema
        #: The work of a subschema, by its id; `UNBOUNDED` while it is computed: a recursion.
        self._known: dict[int, int] = {}
        self._has_inner_id = False
        self._has_reference = False
        self.compilation = 0
        try:
            self.factor = self._work(schema)
        except RecursionError:
            self.factor = self.compilation = UNBOUNDED
        if self._has_inner_id and self._has_reference:
            self.factor = UNBOUNDED  # references inside are relative to the id

    def _work(self, schema: Json) -> int:
        if not isinstance(schema, dict):
            self.compilation += 1
            return 1
        key = id(schema)
        if key not in self._known:
            self._known[key] = UNBOUNDED
            self._known[key] = min(UNBOUNDED, self._work_of_keywords(schema))
        return self._known[key]

    def _work_of_keywords(self, schema: dict[str, Json]) -> int:
        if schema is not self._schema and ("$id" in schema or "id" in schema):
            self._has_inner_id = True
        work = 1 + len(schema)
        for keyword in _LISTS:
            work += _length(schema.get(keyword))
        patterns = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
        if isinstance(schema.get("patternProperties"), dict):
            patterns += schema["patternProperties"]
        work += sum(map(states, patterns))
        self.compilation += work
        for keyword, subschema in _subschemas(schema):
            work += self._work(subschema) * (2 if keyword in _TWICE else 1)
        if isinstance(schema.get("$ref"), str):
            self._has_reference = True
            work += self._work_of_reference(schema["$ref"])
        if any(keyword in schema for keyword in _UNBOUNDED) or schema.get("format") == "regex":
            return UNBOUNDED
        return work

    def _work_of_reference(self, reference: str) -> int:
        if reference != "#" and not reference.startswith("#/"):
            return UNBOUNDED  # an anchor, or a schema with an id
        found = self._schema
        for part in unquote(reference[1:]).split("/")[1:]:
            token = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and token in found:
                found = found[token]
            elif isinstance(found, list) and token.isdigit() and int(token) < len(found):
                found = found[int(token)]
            else:
                return UNBOUNDED
        return self._work(found)


def _subschemas(schema: dict[str, Json]) -> Iterator[tuple[str, Json]]:
    for keyword in _ONE:
        if isinstance(schema.get(keyword), dict):
            yield keyword, schema[keyword]
    for keyword in _ARRAY:
        if isinstance(schema.get(keyword), list):
            yield from ((keyword, each) for each in schema[keyword])
    for keyword in _MAPPING:
        if isinstance(schema.get(keyword), dict):
            yield from ((keyword, each) for each in schema[keyword].values())


def _length(value: Json) -> int:
    if isinstance(value, dict):
        return sum(map(_length, value.values())) + len(value)
    return len(value) if isinstance(value, list) else 0
