"""The guide's tables of expressions and functions are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator import dsl
from orchestrator.dsl.expression import Expression, jq

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "workflows_in_code.md"
TEXT = PAGE.read_text()
ROWS = re.findall(r"^\| `(.+?)` \| `(.+?)` \|$", TEXT.partition("| Python | jq")[2], re.MULTILINE)


def test_the_table_of_expressions_was_found():
    assert len(ROWS) >= 10


@pytest.mark.parametrize(("code", "program"), ROWS)
def test_a_row_of_the_table_is_true(code: str, program: str):
    made = eval(code.replace(r"\|", "|"), vars(dsl).copy())
    assert jq(made) == program.replace(r"\|", "|")


def test_every_name_and_method_is_on_the_page():
    words = set(re.findall(r"\w+", TEXT))
    named = {name for name in dsl.__all__ if name not in words}
    methods = {name for name in vars(Expression) if not name.startswith("_") and name not in words}
    tasks = {name for name in vars(dsl.Task) if not name.startswith("_") and name not in words}
    assert (named, methods, tasks) == (set(), set(), set())
