"""Functions of expressions, besides the operators and methods.

text("order ", input.id)
each(input.lines, lambda line: line.price * line.amount)
"""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.dsl import expression_nodes as nodes
from orchestrator.dsl.expression import Expression, applied, node_of

Body = Callable[[Expression], object]


def expr(jq: str) -> Expression:
    """Return an expression written in jq, without ``${ }``: ``expr(".lines | map(.price) | add")``.

    It is the way to whatever has no operator or function here.
    """
    if not isinstance(jq, str):
        raise TypeError(f"expr() takes jq as text, not {jq!r}")
    program = jq.strip()
    if program.startswith("${") and program.endswith("}"):
        program = program[2:-1].strip()
    if not program or "\n" in program:
        raise TypeError("expr() takes jq on one line")
    return Expression(nodes.Raw(program))


def text(*pieces: object) -> Expression:
    """Return the pieces as one text; an expression that is no text is shown as JSON."""
    shown = (piece if isinstance(piece, str) else node_of(piece) for piece in pieces)
    return Expression(nodes.Text(tuple(shown)))


def if_(condition: object, then: object, otherwise: object) -> Expression:
    """Return `then` if the condition holds, else `otherwise`."""
    parts = (node_of(part) for part in (condition, then, otherwise))
    return Expression(nodes.Conditional(*parts))


def length(value: object) -> Expression:
    """Return how many characters, items or members it has; of null 0."""
    return _piped(value, "length")


def number(value: object) -> Expression:
    """Return a text as a number."""
    return _piped(value, "tonumber")


def floor(value: object) -> Expression:
    """Return the largest whole number that is not above it."""
    return _piped(value, "floor")


def ceil(value: object) -> Expression:
    """Return the smallest whole number that is not below it."""
    return _piped(value, "ceil")


def keys(value: object) -> Expression:
    """Return the keys of an object, sorted."""
    return _piped(value, "keys")


def total(items: object) -> Expression:
    """Return the sum of numbers, or the items joined, if they are texts or lists; 0 of none."""
    return _piped(items, "add // 0")


def smallest(items: object) -> Expression:
    """Return the smallest item; null of none."""
    return _piped(items, "min")


def largest(items: object) -> Expression:
    """Return the largest item; null of none."""
    return _piped(items, "max")


def ordered(items: object) -> Expression:
    """Return the items sorted."""
    return _piped(items, "sort")


def join(separator: object, items: object) -> Expression:
    """Return texts as one, with a separator between them."""
    return applied("{1} | join({0})", separator, items)


def each(items: object, value: Body) -> Expression:
    """Return a list with a value for every item: ``each(input.lines, lambda line: line.price)``."""
    return _each("[{items}[] as {name} | {body}]", items, value)


def where(items: object, condition: Body) -> Expression:
    """Return the items for which a condition holds."""
    return _each("[{items}[] as {name} | if {body} then {name} else empty end]", items, condition)


def any_of(items: object, condition: Body) -> Expression:
    """Return whether a condition holds for an item."""
    return _each("any({items}[] as {name} | {body}; .)", items, condition)


def all_of(items: object, condition: Body) -> Expression:
    """Return whether a condition holds for all items."""
    return _each("all({items}[] as {name} | {body}; .)", items, condition)


def now() -> Expression:
    """Return the time of the transition, in seconds since 1970."""
    return Expression(nodes.Raw("now"))


def _piped(value: object, program: str) -> Expression:
    return Expression(nodes.Piped(node_of(value), program))


def _each(program: str, items: object, body: Body) -> Expression:
    variable = nodes.Bound()
    made = node_of(body(Expression(variable)))
    return Expression(nodes.Each(program, node_of(items), variable, made))
