"""Schemas of data: what is validated here, what in the sandbox, and that nothing takes long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from orchestrator.expressions import Evaluator, ExpressionError
from orchestrator.schemas import DataSchema, SchemaError, SchemaUnusable, compilation
from orchestrator.schemas.pattern_states import states
from orchestrator.schemas.schema_work import UNBOUNDED, SchemaWork

Json = Any


def doubling(levels: int) -> Json:
    """A schema of a few bytes a level, whose validation takes 2^levels steps."""
    both = [{"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)]
    named = {f"d{n}": schema for n, schema in enumerate([*both, {"type": "object"}])}
    return {"$defs": named, "$ref": "#/$defs/d0"}


TREE = {"type": "object", "properties": {"sub": {"items": {"$ref": "#"}}}}
ORDER = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"pattern": "^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"},
        "lines": {"items": {"$ref": "#/$defs/line"}},
    },
    "$defs": {"line": {"anyOf": [{"required": ["sku"]}, {"required": ["name"]}]}},
}
LONG = list(range(100_000))

#: A schema and a value, whose validation takes minutes or gigabytes without a bound.
BOMBS = [
    pytest.param(doubling(44), {}, id="references that double"),
    pytest.param({"pattern": "(?:a{1,100}){1,100}b"}, "a" * 200_000, id="counted repetitions"),
    pytest.param({"pattern": r"(a+)(\1)+(\1)+b"}, "a" * 200_000, id="back-references"),
    pytest.param({"anyOf": [{"maxItems": 1}] * 3000}, LONG, id="an error for each keyword"),
    pytest.param(
        {"$defs": {"x": {"unevaluatedProperties": {"$ref": "#/$defs/x"}}}, **doubling(40)},
        {"a": {"a": {}}},
        id="unevaluated",
    ),
]


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    made = Evaluator()
    yield made
    made.close()


def never(program: str, value: Json, variables: Mapping[str, Json]) -> Json:
    """For what must be validated in this process."""
    raise AssertionError(f"{program} was validated in the sandbox")


class InSandbox(Exception):
    """What must be validated in the sandbox was given to it."""


def asked(program: str, value: Json, variables: Mapping[str, Json]) -> Json:
    raise InSandbox


def outcome(schema: DataSchema, value: Json, evaluator: Evaluator) -> str:
    """The message of the value's error, or of the sandbox's bound."""
    try:
        error = schema.error(value, evaluator.evaluate)
    except ExpressionError as bounded:
        return str(bounded)
    return error.message if error else ""


@pytest.mark.parametrize(("schema", "value"), BOMBS)
def test_what_takes_long_is_validated_in_the_sandbox_and_ends_there(
    evaluator: Evaluator, schema: Json, value: Json
) -> None:
    made = DataSchema(schema)
    with pytest.raises(InSandbox):
        made.error(value, asked)
    with pytest.raises(InSandbox):
        made.errors(value, asked)
    assert len(outcome(made, value, evaluator)) <= 2000
    assert evaluator.evaluate("[.] | first", 1, {}) == 1


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (ORDER, {"id": "x", "lines": [{"sku": 1}] * 100}),
        ({"type": "string", "maxLength": 3}, "x" * 100_000),
        ({"oneOf": [{"const": n} for n in range(1000)]}, 2000),
    ],
)
def test_what_is_cheap_is_validated_here(schema: Json, value: Json) -> None:
    assert DataSchema(schema).error(value, never) is not None


def test_both_ways_find_the_same(evaluator: Evaluator) -> None:
    made = DataSchema(TREE)
    assert made.error({"sub": [{"sub": []}]}, evaluator.evaluate) is None
    wrong = made.error({"sub": [{}, {"sub": [1]}]}, evaluator.evaluate)
    assert wrong == SchemaError(("sub", 1, "sub", 0), '1 is not of type "object"')
    here = DataSchema({"properties": {"a": {"items": {"type": "object"}}}})
    assert here.error({"a": [1]}, never) == SchemaError(("a", 0), '1 is not of type "object"')
    assert [error.path for error in here.errors({"a": [1, 2]}, never)] == [("a", 0), ("a", 1)]


@pytest.mark.parametrize("integer", [2**70, -(2**80)])
def test_long_integers_are_validated(evaluator: Evaluator, integer: int) -> None:
    made = DataSchema({"type": "integer", "minimum": 0})
    error = made.error(integer, evaluator.evaluate)
    assert (error is None) == (integer > 0)


def test_a_schema_that_cannot_be_used(evaluator: Evaluator) -> None:
    for schema in ({"type": "nothing"}, {"$ref": "https://example.com/a"}, {"$ref": "#/$defs/no"}):
        with pytest.raises(SchemaUnusable):
            DataSchema(schema).error(1, evaluator.evaluate)


def test_a_schema_that_takes_long_to_compile_is_compiled_in_the_sandbox(
    evaluator: Evaluator,
) -> None:
    assert compilation(ORDER) is None
    large = {"properties": {f"p{n}": {"pattern": f"x{n}[a-z]{{1,900}}"} for n in range(200)}}
    program = compilation(large)
    assert program is not None
    evaluator.check(program, ())
    wrong = compilation(large | {"type": "nothing"})
    assert wrong is not None
    with pytest.raises(ExpressionError):
        evaluator.check(wrong, ())
    deep = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(5000)}
    assert compilation({"$defs": {**deep, "d5000": {}}, "$ref": "#/$defs/d0"}) is not None


@pytest.mark.parametrize(
    ("schema", "least"),
    [
        (doubling(20), 2**20),
        (TREE, UNBOUNDED),
        ({"$ref": "#x"}, UNBOUNDED),
        ({"$dynamicRef": "#"}, UNBOUNDED),
        ({"format": "regex"}, UNBOUNDED),
        ({"properties": {"a": {"$id": "x", "$ref": "#/b"}}}, UNBOUNDED),
        ({"enum": [1] * 500}, 500),
        ({"required": ["x"] * 500}, 500),
        ({"dependentRequired": {"a": ["b"] * 500}}, 500),
        ({"patternProperties": {"a{500}": True}}, 500),
        ({"not": {"not": {"not": {"enum": [1] * 100}}}}, 800),
    ],
)
def test_the_bound_of_the_work_is_no_less_than_the_work(schema: Json, least: int) -> None:
    assert SchemaWork(schema).factor >= least


def test_the_bound_of_a_usual_schema_is_small() -> None:
    assert SchemaWork(ORDER).factor < 100


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("(?:a{1,100}){1,100}b", 10_001),
        ("(a{2}|b{3,}){4}c", 21),
        ("[a-z{5}]{3}", 3),
        (r"\({3}", 3),
        ("(?P<x>a){3}(?i:b){2}(?=c)", 6),
        (r"\p{L}{3}", 1500),
        ("((((", 0),
        ("))))", 4),
    ],
)
def test_the_states_of_a_pattern(pattern: str, expected: int) -> None:
    assert states(pattern) == expected
