"""Whatever stands in an expression: a value, or our own error, and the child lives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.expressions import Evaluator, ExpressionError, fast_path, program_rules
from orchestrator.expressions.lexer import TokenKind
from tests.support.examples import examples

pytestmark = pytest.mark.examples

JQ = r"""
. .a ..b .[0] [ ] { } ( ) , : ; | // ? ?// = |= += == < > - + * / % $a $ENV $__loc__ @json
1 1.5e3 1e999 "x" "\(1)" " \( # \ def f: if then else elif end reduce foreach as and or not null
true try catch label break import include env input halt now length keys error empty range(3)
tojson fromjson limit(1;.) getpath(.) f '
"""
PIECES = [*JQ.split(), "\n", "\t", "# x\n", "\0", "é", "\ud800"]
programs = st.one_of(
    st.text(max_size=30),
    st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
)


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    evaluator = Evaluator()
    yield evaluator
    evaluator.close()


@settings(max_examples=examples(1000), deadline=None)
@given(programs)
def test_reading_raises_our_error_only(program: str) -> None:
    try:
        found = program_rules.read(program)
    except ExpressionError:
        return
    fast_path.compiled(found)


@settings(max_examples=examples(400), deadline=None)
@given(programs, st.sampled_from([None, 1, "a", [1, [2]], {"a": {"b": 1}}]))
def test_evaluating_raises_our_error_only(evaluator: Evaluator, program: str, value: Any) -> None:
    try:
        evaluator.evaluate(program, value, {"a": 1})
    except ExpressionError:
        return


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=10).map(" ".join))
def test_what_is_read_cannot_leave_its_parentheses(evaluator: Evaluator, program: str) -> None:
    """Brackets and strings are closed, so that what stands around a program stays around it."""
    try:
        found = program_rules.read(program)
    except ExpressionError:
        return
    depth = 0
    for token in found.tokens:
        if token.kind is TokenKind.SIGN:
            depth += (token.text in "([{") - (token.text in ")]}")
        assert depth >= 0
    assert depth == 0
