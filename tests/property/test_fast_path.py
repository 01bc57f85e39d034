"""The fast path yields what jq yields, or leaves the decision to jq."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from orchestrator import json_codec
from orchestrator.expressions import ExpressionError, fast_path, program_rules
from orchestrator.expressions.evaluator import Evaluator, _variables_to_send, _wrap
from orchestrator.expressions.fast_path_values import NotOnFastPath
from tests.support.examples import examples

pytestmark = pytest.mark.examples

LEFT = object()

keys = st.sampled_from(["a", "b", "b c", "é", "length", "and", "x1"])
numbers = st.one_of(
    st.integers(-5, 5),
    st.integers(-(2**70), 2**70),
    st.integers(2**53 - 3, 2**53 + 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.1, 0.2, -0.0, 1.0, 1e16, 1e-7, 1e22, 5e-324, 1.7976931348623157e308]),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
data = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.one_of(keys, texts), inner, max_size=5)
    ),
    max_leaves=12,
)

space = st.sampled_from(["", "", " ", "\n", " # note\n"])
plain_text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters='"\\\0'), max_size=4
)
steps = st.one_of(
    keys.filter(lambda key: key.isascii() and " " not in key).map(".".__add__),
    plain_text.map(lambda key: f'["{key}"]'),
    plain_text.map(lambda key: f'."{key}"'),
    st.integers(-4, 4).map(lambda index: f"[{index}]"),
    st.sampled_from(["[$i]", '.["a"]', "[.b]", "?", "[]", "[1:]", "[1.5]", "[true]", "[null]"]),
)
literals = st.one_of(
    st.integers(-(10**16), 10**16).map(str),
    st.decimals(-1000, 1000, places=3).map(str),
    plain_text.map(lambda text: f'"{text}"'),
    st.sampled_from(["true", "false", "null", "-0", "-0.0", "1.0", "01", "1e3", ".5", "1.", "$i"]),
)
starts = st.one_of(st.sampled_from([".", "$input", "$i", ".a", ".b", '."b c"']), literals)
paths = st.builds(lambda start, rest: start + "".join(rest), starts, st.lists(steps, max_size=4))


def _compose(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(
        [
            "+",
            "-",
            "*",
            "/",
            "==",
            "!=",
            "<",
            ">",
            "<=",
            ">=",
            "and",
            "or",
            "//",
            "|",
            ",",
            "%",
        ]
    )
    pair = st.tuples(inner, space, operators, space, inner).map(
        lambda part: f"{part[0]}{part[1]} {part[2]} {part[3]}{part[4]}"
    )
    member = st.one_of(
        st.tuples(keys, inner).map(lambda part: f'"{part[0]}": {part[1]}'),
        st.tuples(st.sampled_from(["a", "b", "and"]), inner).map(": ".join),
        st.sampled_from(["a", "b", '"b c"', "$input", "if"]),
    )
    return st.one_of(
        pair,
        inner.map(lambda part: f"({part})"),
        inner.map(lambda part: f"{part} | length"),
        inner.map(lambda part: f"{part} | not"),
        st.lists(inner, max_size=3).map(lambda parts: "[" + ", ".join(parts) + "]"),
        st.lists(member, max_size=3).map(lambda parts: "{" + ", ".join(parts) + "}"),
        st.tuples(plain_text, inner, plain_text).map(lambda p: f'"{p[0]}\\({p[1]}){p[2]}"'),
    )


programs = st.recursive(paths, _compose, max_leaves=6)
soup = st.lists(
    st.sampled_from(
        [
            ".",
            ".a",
            "$i",
            "[",
            "]",
            "{",
            "}",
            "(",
            ")",
            "1",
            '"x"',
            ",",
            ":",
            "|",
            "+",
            "-",
            "//",
            "?",
            "==",
            "and",
            "or",
            "not",
            "length",
            "true",
            "null",
            "a",
        ]
    ),
    min_size=1,
    max_size=7,
).map(" ".join)


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    evaluator = Evaluator()
    yield evaluator
    evaluator.close()


def agree(evaluator: Evaluator, text: str, value: Any, variables: dict[str, Any]) -> None:
    """Assert that the fast path and jq agree. Nothing is compared where the path left."""
    try:
        program = program_rules.read(text)
    except ExpressionError:
        return
    code = fast_path.compiled(program)
    assume(code is not None)
    assert code is not None
    try:
        found = code(value, variables)
    except NotOnFastPath:
        found = LEFT
    if found is LEFT:
        names = _variables_to_send(program, variables)
        evaluator.sandbox.evaluate(_wrap(text, names), b"")  # what the path takes is at least jq
        return
    expected = evaluator._evaluate(program, value, variables, evaluator.sandbox.evaluate)
    assert json_codec.encode(_plainly(found)) == json_codec.encode(_plainly(expected))


def _plainly(value: Any) -> Any:
    """Beyond 2^53, jq may write the digits of a float as those of an integer: the same number."""
    if isinstance(value, dict):
        return {key: _plainly(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plainly(item) for item in value]
    if isinstance(value, int | float) and abs(value) > 2**53:
        return str(float(value))
    return value


@settings(max_examples=examples(400), deadline=None)
@given(programs, data, data, st.one_of(st.integers(-3, 3), keys))
@example("-0.0", None, None, 0)
@example(".a - .b", {"a": 0.3, "b": 0.3}, None, 0)
@example(".a == .b", {"a": 2**53 + 1, "b": 2**53}, None, 0)
@example(".a + 1", {"a": 2**53}, None, 0)
@example(".a < 0.30000000000000004", {"a": 0.3}, None, 0)
def test_plain_programs(
    evaluator: Evaluator, program: str, value: Any, input: Any, i: int | str
) -> None:
    agree(evaluator, program, value, {"input": input, "i": i})


@settings(max_examples=examples(300), deadline=None)
@given(paths, data, data, st.one_of(st.integers(-3, 3), keys))
def test_paths(evaluator: Evaluator, program: str, value: Any, input: Any, i: int | str) -> None:
    agree(evaluator, program, value, {"input": input, "i": i})


@settings(max_examples=examples(400), deadline=None)
@given(soup, data)
def test_what_the_path_takes_is_jq(evaluator: Evaluator, program: str, value: Any) -> None:
    agree(evaluator, program, value, {"i": 0})


@pytest.mark.parametrize(
    "program",
    [
        ".",
        ".a.b[0]",
        '.a["b c"]',
        "$input.x",
        "$context",
        "12",
        "-1",
        '"text"',
        "true",
        ".items[$i].price",
        ".count + 1",
        '.kind == "book" and .total > 10',
        '.colors + ["red"]',
        "{id: .id, total}",
        '"Hello \\(.name)!"',
        ".a // 0",
        ".items | length",
    ],
)
def test_the_usual_stays_on_the_path(program: str) -> None:
    assert fast_path.compiled(program_rules.read(program)) is not None
