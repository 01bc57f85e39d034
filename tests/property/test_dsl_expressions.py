"""Expressions of workflows in code mean what they mean in Python.

A thousand random ones: each is made twice with the same operators, of expressions and of Python's
own values; the product's evaluator must answer what Python computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from orchestrator.dsl import (
    Expression,
    all_of,
    any_of,
    each,
    floor,
    if_,
    input,
    join,
    largest,
    length,
    ordered,
    result,
    smallest,
    text,
    total,
    where,
)
from orchestrator.dsl.expression import jq
from orchestrator.expressions import Evaluator

COUNT = 1000

Pair = tuple[Any, Any]
"""An expression (or a plain value), and its value in Python."""


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    evaluator = Evaluator()
    yield evaluator
    evaluator.close()


class Maker:
    """Makes pairs of one type each, from an input and a latest result."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.input, self.result = self._values(), self._values()

    def _values(self) -> dict[str, Any]:
        random = self.random
        words = ["", "a", "order", "a-b-c", " spaced ", "Tab\tEnd", "xyz", "größe", 'quo"te', "1"]
        return {
            "n": random.randint(-50, 50),
            "m": random.choice([1, 2, 3, 7, -4]),
            "x": random.randint(-64, 64) / 8,
            "s": random.choice(words),
            "t": random.choice(words),
            "yes": random.random() < 0.5,
            "numbers": [random.randint(-9, 9) for _ in range(random.randint(0, 5))],
            "words": [random.choice(words) for _ in range(random.randint(0, 4))],
            "lines": [{"price": random.randint(1, 9), "n": random.randint(0, 3)} for _ in "ab"],
            "a b": {"deep": [random.randint(0, 9)]},
        }

    def leaf(self, *names: str) -> Pair:
        name = self.random.choice(names)
        root, values = self.random.choice([(input, self.input), (result, self.result)])
        expression = root[name] if self.random.random() < 0.5 else getattr(root, name)
        return expression, values[name]

    def number(self, depth: int) -> Pair:
        if depth == 0:
            if self.random.random() < 0.3:
                value = self.random.choice([0, 1, -3, 2.5, 10])
                return value, value
            return self.leaf("n", "m", "x")
        return self.random.choice(self._numbers())(depth - 1)

    def _numbers(self) -> list[Callable[[int], Pair]]:
        return [
            lambda d: both(lambda a, b: a + b, self.number(d), self.number(d)),
            lambda d: both(lambda a, b: a - b, self.number(d), self.number(d)),
            lambda d: both(lambda a, b: a * b, self.number(d), self.number(0)),
            lambda d: both(lambda a, b: a / b, self.number(d), self.divisor()),
            lambda d: both(lambda a, b: a // b, self.number(d), self.divisor()),
            lambda d: both(lambda a, b: a % b, self.whole(d), self.divisor()),
            lambda d: one(lambda a: -a, self.number(d)),
            lambda d: one(abs, self.number(d)),
            lambda d: one(either(floor, math.floor), self.number(d)),
            lambda d: both(lambda a, b: a**b, self.leaf("n", "m"), (2, 2)),
            lambda d: one(either(length, len), self.text(d)),
            lambda d: one(either(length, len), self.items(d)),
            lambda d: one(either(total, sum), self.items(d)),
            lambda d: one(either(largest, max), self.filled(d)),
            lambda d: one(either(smallest, min), self.filled(d)),
            lambda d: both(
                lambda a, b: a[b], self.filled(d), self.random.choice([(0, 0), (-1, -1)])
            ),
            lambda d: self.choice(self.bool(d), self.number(d), self.number(d)),
            lambda d: self.leaf("n") if d else self.deep(),
        ]

    def deep(self) -> Pair:
        return input["a b"].deep[0], self.input["a b"]["deep"][0]

    def divisor(self) -> Pair:
        return self.leaf("m") if self.random.random() < 0.7 else (3, 3)

    def whole(self, depth: int) -> Pair:
        return both(lambda a, b: a * b + a, self.leaf("n", "m"), self.leaf("n", "m"))

    def text(self, depth: int) -> Pair:
        if depth == 0:
            return ("lit", "lit") if self.random.random() < 0.2 else self.leaf("s", "t")
        return self.random.choice(self._texts())(depth - 1)

    def _texts(self) -> list[Callable[[int], Pair]]:
        return [
            lambda d: both(lambda a, b: a + b, self.text(d), self.text(d)),
            lambda d: one(lambda a: ascii_case(a, "lower"), self.text(d)),
            lambda d: one(lambda a: ascii_case(a, "upper"), self.text(d)),
            lambda d: one(lambda a: a.strip(), self.expression_text(d)),
            lambda d: one(lambda a: a.lstrip(), self.expression_text(d)),
            lambda d: one(lambda a: a.rstrip(), self.expression_text(d)),
            lambda d: both(lambda a, b: a.removeprefix(b), self.expression_text(d), self.text(0)),
            lambda d: both(lambda a, b: a.removesuffix(b), self.expression_text(d), self.text(0)),
            lambda d: both(lambda a, b: a.replace(b, "+"), self.expression_text(d), ("a", "a")),
            lambda d: one(lambda a: a[1:3], self.expression_text(d)),
            lambda d: one(lambda a: a[:-1], self.expression_text(d)),
            lambda d: one(
                lambda a: join("/", a.split("-")) if is_expression(a) else "/".join(a.split("-")),
                self.expression_text(d),
            ),
            lambda d: both(
                lambda a, b: (
                    text("<", a, ",", b, ">")
                    if is_expression(a) or is_expression(b)
                    else f"<{a},{b}>"
                ),
                self.text(d),
                self.leaf("n"),
            ),
            lambda d: self.choice(self.bool(d), self.text(d), self.text(d)),
        ]

    def expression_text(self, depth: int) -> Pair:
        """A text whose first member has the methods of expressions."""
        made, value = self.text(depth)
        return (made, value) if is_expression(made) else (result.s, self.result["s"])

    def bool(self, depth: int) -> Pair:
        if depth == 0:
            return self.leaf("yes")
        return self.random.choice(self._bools())(depth - 1)

    def _bools(self) -> list[Callable[[int], Pair]]:
        compare: list[Callable[[Any, Any], Any]] = [
            lambda a, b: a < b, lambda a, b: a <= b, lambda a, b: a == b,
            lambda a, b: a != b, lambda a, b: a > b, lambda a, b: a >= b,
        ]  # fmt: skip
        return [
            lambda d: both(self.random.choice(compare), self.number(d), self.number(d)),
            lambda d: both(self.random.choice(compare), self.text(d), self.text(d)),
            lambda d: both(lambda a, b: a & b, self.bool(d), self.bool(d)),
            lambda d: both(lambda a, b: a | b, self.bool(d), self.bool(d)),
            lambda d: one(lambda a: ~a if is_expression(a) else not a, self.bool(d)),
            lambda d: both(contains, self.expression_text(d), self.text(0)),
            lambda d: both(contains, self.items(d), self.leaf("n")),
            lambda d: both(contains, self.leaf("words"), self.leaf("s")),
            lambda d: both(contains, (input["a b"], self.input["a b"]), self.leaf("s")),
            lambda d: one(
                lambda a: a.is_in(["a", "order"]) if is_expression(a) else a in ["a", "order"],
                self.text(d),
            ),
            lambda d: both(lambda a, b: a.startswith(b), self.expression_text(d), self.text(0)),
            lambda d: both(lambda a, b: a.endswith(b), self.expression_text(d), self.text(0)),
            lambda d: self.over_numbers(any_of, any, d),
            lambda d: self.over_numbers(all_of, all, d),
            lambda d: both(lambda a, b: a == b, self.items(d), self.items(d)),
        ]

    def items(self, depth: int) -> Pair:
        if depth == 0:
            return self.leaf("numbers")
        return self.random.choice(self._lists())(depth - 1)

    def _lists(self) -> list[Callable[[int], Pair]]:
        return [
            lambda d: both(lambda a, b: a + b, self.items(d), self.items(d)),
            lambda d: one(lambda a: a[1:], self.items(d)),
            lambda d: one(either(ordered, sorted), self.items(d)),
            self.mapped,
            self.filtered,
            lambda d: (
                each(input.lines, lambda line: line.price * line.n),
                [line["price"] * line["n"] for line in self.input["lines"]],
            ),
            lambda d: one(either(lambda a: each([a, 1], same), lambda a: [a, 1]), self.leaf("n")),
        ]

    def filled(self, depth: int) -> Pair:
        return both(lambda a, b: a + b, self.items(depth), ([5], [5]))

    def mapped(self, depth: int) -> Pair:
        (items, values), (n, value) = self.items(depth), self.number(0)
        return each(items, lambda item: item * n + result.n), [
            item * value + self.result["n"] for item in values
        ]

    def filtered(self, depth: int) -> Pair:
        (items, values), (n, value) = self.items(depth), self.number(0)
        return where(items, lambda item: item > n), [item for item in values if item > value]

    def over_numbers(self, made: Any, python: Any, depth: int) -> Pair:
        (items, values), (n, value) = self.items(depth), self.number(0)
        return made(items, lambda item: item >= n), python(item >= value for item in values)

    def choice(self, condition: Pair, then: Pair, otherwise: Pair) -> Pair:
        value = then[1] if condition[1] else otherwise[1]
        return if_(condition[0], then[0], otherwise[0]), value


def same(value: Any) -> Any:
    return value


def is_expression(value: Any) -> bool:
    return isinstance(value, Expression)


def either(made: Callable[[Any], Any], python: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: made(value) if is_expression(value) else python(value)


def one(operation: Callable[[Any], Any], pair: Pair) -> Pair:
    return operation(pair[0]), operation(pair[1])


def both(operation: Callable[[Any, Any], Any], left: Pair, right: Pair) -> Pair:
    return operation(left[0], right[0]), operation(left[1], right[1])


def contains(whole: Any, part: Any) -> Any:
    return whole.contains(part) if is_expression(whole) else part in whole


def ascii_case(value: Any, method: str) -> Any:
    if is_expression(value) or value.isascii():
        return getattr(value, method)()
    return "".join(getattr(letter, method)() if letter.isascii() else letter for letter in value)


def close(found: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(found, int | float):
        return math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12)
    return (type(found) is type(expected) and bool(found == expected)) or (
        isinstance(found, int | float)
        and isinstance(expected, int | float)
        and not isinstance(found, bool)
        and found == expected
    )


@pytest.mark.parametrize("kind", ["number", "text", "bool", "items"])
def test_random_expressions_are_what_python_computes(kind: str, evaluator: Evaluator):
    random = Random(f"dsl {kind}")
    done = 0
    while done < COUNT // 4:
        maker = Maker(random)
        made, expected = getattr(maker, kind)(random.randint(1, 4))
        if not is_expression(made):
            continue
        program = jq(made)
        variables = {"workflow": {"input": maker.input}}
        found = evaluator.evaluate(program, maker.result, variables)
        assert close(found, expected), (program, maker.input, maker.result, found, expected)
        done += 1
