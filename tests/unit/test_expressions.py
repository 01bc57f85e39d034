"""Expressions through the evaluator: what they yield, what is refused, what hostile ones do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.expressions import (
    NOW,
    Evaluator,
    ExpressionError,
    ForbiddenExpression,
    fast_path,
    is_expression,
    program_of,
    program_rules,
    resolve,
)


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    evaluator = Evaluator()
    yield evaluator
    evaluator.close()


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (".n + $step", 5),
        ("[.list[] | . * 2]", [2, 4]),
        (".list[]", 1),  # several results: the first
        ("empty", None),  # no result
        ("select(.n > 100)", None),
        ("$input | keys", ["x"]),
        ('"\\(.n)" | test("^(a+)+$")', False),
        (".n as $m | $m", 3),
        (". # a comment", {"n": 3, "list": [1, 2]}),
        ("\n  .n\n  |\n  tostring", "3"),
        ("def double: . * 2; .n | double", 6),
        ('.["env"]', None),
        (".env", None),
        ("{env: .n}", {"env": 3}),
        ("{input, inputs: 1}", {"input": None, "inputs": 1}),
        ("{if: 1, import: 2}", {"if": 1, "import": 2}),
        ('"$ENV env \\\\(env)"', "$ENV env \\(env)"),
        ("now", 1.5e9),
        ("now | todate", "2017-07-14T02:40:00Z"),
        ("0 | localtime | mktime", 0),
        ('0 | strflocaltime("%H:%M %Z")', "00:00 UTC"),
        ("'' // 1", ExpressionError),
    ],
)
def test_results(evaluator: Evaluator, program: str, expected: Any) -> None:
    variables = {"step": 2, "input": {"x": 1}, NOW: 1.5e9}
    value = {"n": 3, "list": [1, 2]}
    if expected is ExpressionError:
        with pytest.raises(ExpressionError):
            evaluator.evaluate(program, value, variables)
    else:
        assert evaluator.evaluate(program, value, variables) == expected


@pytest.mark.parametrize(
    "value",
    [9007199254740993, 2**70, 0.1, 1e22, "\0", "😀", {"b": 1, "a": [None]}, [], {}, -(2**64)],
)
def test_values_pass_unchanged(evaluator: Evaluator, value: Any) -> None:
    assert evaluator.evaluate(". as $x | $x", value, {}) == value
    assert evaluator.evaluate("$v | [.] | first", None, {"v": value}) == value


def test_an_error_says_what_and_where(evaluator: Evaluator) -> None:
    with pytest.raises(ExpressionError, match="Cannot index number with"):
        evaluator.evaluate(".n.x", {"n": 1}, {})
    with pytest.raises(ExpressionError, match="out of stock"):
        evaluator.evaluate('error("out of stock")', None, {})
    with pytest.raises(ExpressionError, match="line 2, column 3"):
        evaluator.evaluate(".a |\n  nonsense(1)", None, {})
    with pytest.raises(ExpressionError, match=r"\$nobody is not defined"):
        evaluator.evaluate("$nobody.x", None, {"somebody": 1})


def test_now_is_never_the_clock(evaluator: Evaluator) -> None:
    with pytest.raises(ExpressionError, match="now"):
        evaluator.evaluate("now", None, {})


FORBIDDEN = [
    "$ENV",
    "$ENV.PATH",
    "$ ENV",
    "env",
    "{env}",
    "{a: 1, env}",
    "{a: env}",
    "{(env): 1}",
    "[env.HOME]",
    ".a | env",
    '"\\(env)"',
    '@json "x\\("\\($ENV)")"',
    "halt",
    "halt_error",
    '"bye" | halt_error(1)',
    "input",
    "[inputs]",
    "input_filename",
    "input_line_number",
    "get_search_list",
    'import "a" as a; .',
    'import "a" as $a; $a',
    'include "a"; .',
    "modulemeta",
    "a::b",
    "$a::b",
    "$__prog_args",
    "$__now",
    "def env: 1; env",
    ". as {env: $x} | env",
    "# note\n env",
]


@pytest.mark.parametrize("program", ["debug", 'debug("x")', "debug(.a, .b)", "stderr"])
def test_what_writes_passes_its_input_on(
    evaluator: Evaluator, program: str, capfd: pytest.CaptureFixture[str]
) -> None:
    evaluator.check(program, [])
    assert evaluator.evaluate(f"[.x | {program}]", {"x": {"a": 1}}, {}) == [{"a": 1}]
    assert capfd.readouterr() == ("", "")


def test_what_is_to_be_written_is_evaluated(evaluator: Evaluator) -> None:
    with pytest.raises(ExpressionError, match="no message"):
        evaluator.evaluate('debug(error("no message"))', 1, {})


@pytest.mark.parametrize("program", FORBIDDEN)
def test_forbidden(evaluator: Evaluator, program: str) -> None:
    with pytest.raises(ForbiddenExpression):
        evaluator.check(program, ["input"])
    with pytest.raises(ForbiddenExpression):
        evaluator.evaluate(program, {}, {"input": 1})


REFUSED = [
    "",
    "  # nothing",
    "." * 5_000_000,
    ".a" * 65_000,
    ".a" * 32_000,
    "[" * 201 + "]" * 201,
    "[" * 20_000 + "]" * 20_000,
    ".a |",
    "(",
    ".)",
    ") | . | (",
    '"open',
    '"open \\(1',
    ". # going on \\\n env",
    "nonsense",
    "$undefined",
    "''.__class__",
    ".\0",
    ". \ud800",
    '"\\(1;2)"',
    "1 == 1 == 1",
]


@pytest.mark.parametrize("program", REFUSED, ids=lambda program: repr(program[:20]))
def test_refused_at_deployment(evaluator: Evaluator, program: str) -> None:
    start = cpu_time()
    with pytest.raises(ExpressionError):
        evaluator.check(program, ["input"])
    with pytest.raises(ExpressionError):
        evaluator.evaluate(program, None, {})
    assert cpu_time() - start < 5


@pytest.mark.parametrize(
    "program",
    ["$input.a", "$input | keys", ". as $x | $x", "$__loc__", "now", "reduce .[] as [$a] (0; .)"],
)
def test_accepted_at_deployment(evaluator: Evaluator, program: str) -> None:
    evaluator.check(program, ["input"])


@pytest.mark.parametrize("program", ["$output", "$output.x | keys", "{$output}"])
def test_a_variable_that_will_not_be_there(evaluator: Evaluator, program: str) -> None:
    with pytest.raises(ExpressionError, match=r"\$output is not defined"):
        evaluator.check(program, ["input", "context"])


HOSTILE = [
    "def f: f; f",
    "def f: [f]; f",
    "def f: 1 + f; f",
    "[range(1e9)]",
    "last(range(1e9))",
    "until(false; .)",
    "[recurse(.; true)]",
    '"x" * 1e9',
    "reduce range(1e6) as $i (0; [.])",
    'reduce range(1e7) as $i (""; . + "xxxxxxxxxxxxxxxx")',
    '("a" * 40 + "b") | [range(1e4) as $i | test("^(a+)+$")]',
    "[limit(1e9; repeat(1))] | length",
    "1e1000",
]


def cpu_time() -> float:
    """Seconds of CPU that processes of ours have used, ended ones included."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


#: Those that need the whole time limit, save one.
LONG = {
    "def f: [f]; f", "def f: 1 + f; f", "last(range(1e9))", "until(false; .)",
    "[recurse(.; true)]", "[limit(1e9; repeat(1))] | length",
    "reduce range(1e6) as $i (0; [.])",
}  # fmt: skip


@pytest.mark.parametrize(
    "program",
    [pytest.param(each, marks=pytest.mark.slow if each in LONG else ()) for each in HOSTILE],
)
def test_hostile_programs_end_in_an_error(evaluator: Evaluator, program: str) -> None:
    evaluator.evaluate("[1] | first", None, {})  # the child is up
    start = cpu_time()
    with pytest.raises(ExpressionError):
        evaluator.evaluate(program, None, {})
    # CPU of all children that ended, so that a busy machine changes nothing: it was stopped.
    assert cpu_time() - start < 5
    assert evaluator.evaluate("[.n] | first", {"n": 1}, {}) == 1


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("${ .a }", True),
        ("${.a}", True),
        (" ${ .a }\n", True),
        ("${ {a: 1} }", True),
        ("${}", True),
        ("a ${ .a }", False),
        ("${ .a } b", False),
        ("{ .a }", False),
        ("$ { .a }", False),
        ("", False),
        (1, False),
        (None, False),
    ],
)
def test_what_is_an_expression(value: Any, found: bool) -> None:
    assert is_expression(value) is found


def test_program_of() -> None:
    assert program_of("${ .a }") == ".a"
    assert program_of("  .a ") == ".a"
    assert program_of("${{a: 1}}") == "{a: 1}"


def test_resolve_is_deep_and_happens_once(evaluator: Evaluator) -> None:
    value = {"a": ["${ .x }", {"b": "${ $v }"}], "${ .x }": "text ${ .x }", "n": 1}
    resolved = resolve(value, {"x": "${ env }"}, {"v": [1]}, evaluator.evaluate)
    assert resolved == {
        "a": ["${ env }", {"b": [1]}],
        "${ .x }": "text ${ .x }",
        "n": 1,
    }


@pytest.mark.parametrize(
    "program",
    [
        ".t" + " | . + ." * 20,
        ".t" + " | [., .]" * 12,
        ".t" + ' | "\\(.)\\(.)"' * 10,
        "{a: .t}" + " | {a, b: .a}" * 12,
        "(.t" + " | (. + .)" * 15 + ")",
    ],
)
def test_a_program_that_multiplies_its_input_is_left_to_the_sandbox(evaluator, program):
    """It made a process of 1.5 GB out of 1 kB: Python has no bound of memory."""
    assert fast_path.compiled(program_rules.read(program)) is None


@pytest.mark.parametrize(
    "program",
    [
        ".a.b.c + .d.e | length",
        "{" + ", ".join(f"f{n}: .f{n}" for n in range(12)) + "}",
        '"\\(.first) \\(.last)" | length',
        "{id, name, total: (.a + .b)} | .total",
    ],
)
def test_usual_programs_stay_on_the_fast_path(program):
    assert fast_path.compiled(program_rules.read(program)) is not None
