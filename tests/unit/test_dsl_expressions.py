"""Expressions of workflows in code: the jq that they become, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest

from orchestrator.dsl import (
    Workflow,
    call_by_name,
    context,
    each,
    error,
    expr,
    if_,
    input,
    join,
    length,
    now,
    result,
    secrets,
    set_,
    text,
    this,
    variable,
    where,
    workflow,
)
from orchestrator.dsl.expression import jq

#: mypy knows that an expression is no condition.
value: Any = input

EXAMPLES = [
    (input.total, "$workflow.input.total"),
    (result, "."),
    (result.id, ".id"),
    (result["a b"].c, '.["a b"].c'),
    (result[0][-1], ".[0][-1]"),
    (result.lines[1:3], ".lines[1:3]"),
    (input.rates[result.country], "$workflow.input.rates[.country]"),
    (this.data, ".data"),
    (context.total + 1, "$context.total + 1"),
    (secrets.card.password, "$secrets.card.password"),
    (workflow.id, "$workflow.id"),
    (error.status, "$error.status"),
    (variable.line.price, "$line.price"),
    ((input.a + 1) * 2, "($workflow.input.a + 1) * 2"),
    (input.a + input.b * 2, "$workflow.input.a + $workflow.input.b * 2"),
    (1 - (input.a - 2), "1 - ($workflow.input.a - 2)"),
    ((result.a > 1) & (result.b | result.c), ".a > 1 and (.b or .c)"),
    (~(input.a == None), "$workflow.input.a == null | not"),  # noqa: E711
    (input.kind.is_in(["a", "b"]), '$workflow.input.kind == "a" or $workflow.input.kind == "b"'),
    (result.name.or_else("-"), '.name // "-"'),
    (result.name.lower(), ".name | ascii_downcase"),
    (text("n ", result.n, ' "x"'), r'"n \(.n) \"x\""'),
    (if_(result.a, {"b": result.c}, [1]), "if .a then {b: .c} else [1] end"),
    (each(result.lines, lambda line: line.price * 2), "[.lines[] as $_1 | ($_1.price * 2)]"),
    (length(result), ". | length"),
    (now() - 60, "(now) - 60"),
    (expr("${ .a | tostring }") + "x", '(.a | tostring) + "x"'),
]  # fmt: skip


@pytest.mark.parametrize(("made", "program"), EXAMPLES, ids=lambda value: None)
def test_an_expression_becomes_jq(made: Any, program: str):
    assert jq(made) == program
    assert repr(made) == f"<Expression {program}>"


def test_names_of_nested_loops_do_not_clash():
    made = where(result.a, lambda a: length(each(a.b, lambda b: b + a.n + result.m)) > 0)
    assert jq(made) == (
        "[.a[] as $_1 | if (([$_1.b[] as $_2 | ($_2 + $_1.n + .m)] | length) > 0) then $_1"
        " else empty end]"
    )


def test_text_that_looks_like_an_expression_stays_text():
    made = Workflow("shop/order").do(set_(a="${ .secret }", b=["${x}"], c="in ${ x }"))
    shown = {"a": '${ "${ .secret }" }', "b": ['${ "${x}" }'], "c": "in ${ x }"}
    assert made.document()["do"] == [{"set": {"set": shown}}]


REFUSED: list[tuple[Any, str]] = [
    (lambda: bool(input.a > 5), "use & | ~"),
    (lambda: value.a and value.b, r"switch\(...\) or .when"),
    (lambda: not input.a, "use & | ~"),
    (lambda: 1 < input.a < 5, "use & | ~"),
    (lambda: [*input.lines], "for_each"),
    (lambda: "a" in input.lines, r"\.contains"),
    (lambda: input.a in ["a", "b"], "use & | ~"),
    (lambda: len(input.lines), r"use length"),
    (lambda: f"{input.a}", r"use text"),
    (lambda: "{}".format(input.a), r"use text"),  # noqa: UP032
    (lambda: "%s" % input.a, r"use text"),  # noqa: UP031
    (lambda: str(input.a), r"use text"),
    (lambda: ", ".join(input.words), "for_each|can only join"),
    (lambda: int(input.a), r"use number"),
    (lambda: float(input.a), r"use number"),
    (lambda: round(input.a), r"use floor"),
    (lambda: range(input.a), "index or range"),
    (lambda: [1, 2][input.a], "index"),
    (lambda: {input.a: 1}, "unhashable"),
    (lambda: input.a[::2], "no step"),
    (lambda: input.a[1.5], "index"),
    (lambda: setattr(input, "a", 1), "can't be changed"),
    (lambda: input.a + input.lower, r"write \['lower'\]"),
    (lambda: variable["a b"], "letters"),
    (lambda: expr(""), "one line"),
    (lambda: expr(".a\n.b"), "one line"),
    (lambda: input.a.replace("", "x"), "empty"),
    (lambda: math.sqrt(input.a), "use number"),
]


@pytest.mark.parametrize(("use", "message"), REFUSED)
def test_what_needs_a_value_is_refused_with_what_to_use(use: Any, message: str):
    with pytest.raises(TypeError, match=message):
        use()


def test_members_that_are_named_like_methods_are_in_brackets():
    assert jq(input["lower"]) == "$workflow.input.lower"
    with pytest.raises(TypeError, match=r"\.lower is a method: call it, or write \['lower'\]"):
        call_by_name("shop.f", name=input.lower)
    with pytest.raises(AttributeError, match="begins with an underscore"):
        _ = input._private


def test_numbers_that_json_lacks_are_refused():
    with pytest.raises(Exception, match=r"(?i)nan"):
        Workflow("a/b").do(set_(a=input.x + float("nan"))).document()


def test_join_takes_the_separator_first():
    assert jq(join(", ", result.words)) == '.words as $_1 | $_1 | join(", ")'
