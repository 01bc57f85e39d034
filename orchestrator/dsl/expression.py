"""`Expression`: a value that a workflow will have when it runs.

    input.total > 100                 $workflow.input.total > 100
    result.lines[0].price * 2         .lines[0].price * 2

Operators make new expressions, and the document contains them as jq. Nothing has a value while the
workflow is built: what Python would need one for (`if`, `for`, `len`, f-strings) is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Never, SupportsIndex

from orchestrator import json_codec
from orchestrator.dsl import expression_nodes as nodes
from orchestrator.dsl.expression_nodes import Node
from orchestrator.dsl.jq_text import jq_text

_NODE = "_orchestrator_node"

#: Longest list whose items are compared one by one, which the evaluator does without jq.
_FEW = 8


# For mypy the base class of `Expression` is `Any`, so that mypy accepts an expression as an
# argument of any type.
_AnyValue: Any = Any if TYPE_CHECKING else object


class Expression(_AnyValue):  # type: ignore[misc]
    """An expression. `expression.name` and `expression["name"]` are its members; where a method has
    a member's name, the brackets are the member."""

    __slots__ = (_NODE,)
    __hash__ = None  # type: ignore[assignment]  # `==` makes an expression

    def __init__(self, node: Node) -> None:
        object.__setattr__(self, _NODE, node)

    def __repr__(self) -> str:
        return f"<Expression {jq(self)}>"

    def _orchestrator_compensation(self) -> str:
        """Return jq for a canvas's compensation, where the latest result is ``$output``."""
        return jq_text(node_of(self), "$output", _no_step)

    # -- members ------------------------------------------------------------

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("_"):
            raise AttributeError(f"write [{name!r}] for a member that begins with an underscore")
        return self[name]

    def __getitem__(self, key: object) -> Expression:
        if isinstance(key, slice):
            if key.step is not None:
                raise TypeError("an expression's slice has no step")
            bounds = (None if at is None else node_of(at) for at in (key.start, key.stop))
            return Expression(nodes.Slice(node_of(self), *bounds))
        if not isinstance(key, str | int | Expression) or isinstance(key, bool):
            raise TypeError(
                f"an expression's index is text, a number or an expression, not {key!r}"
            )
        return Expression(nodes.Item(node_of(self), node_of(key)))

    def __setattr__(self, name: str, _: object) -> Never:
        raise TypeError(f"an expression can't be changed, so .{name} = ... is no assignment")

    # -- arithmetic ---------------------------------------------------------

    def __add__(self, other: object) -> Expression:
        return _binary("+", self, other)

    def __radd__(self, other: object) -> Expression:
        return _binary("+", other, self)

    def __sub__(self, other: object) -> Expression:
        return _binary("-", self, other)

    def __rsub__(self, other: object) -> Expression:
        return _binary("-", other, self)

    def __mul__(self, other: object) -> Expression:
        return _binary("*", self, other)

    def __rmul__(self, other: object) -> Expression:
        return _binary("*", other, self)

    def __truediv__(self, other: object) -> Expression:
        return _binary("/", self, other)

    def __rtruediv__(self, other: object) -> Expression:
        return _binary("/", other, self)

    def __floordiv__(self, other: object) -> Expression:
        return _piped(self / other, "floor")

    def __rfloordiv__(self, other: object) -> Expression:
        return _piped(other / self, "floor")

    def __mod__(self, other: object) -> Expression:
        return _modulo(self, other)

    def __rmod__(self, other: object) -> Expression:
        if isinstance(other, str):
            raise _refusal("text % ...", "text(...) or +")
        return _modulo(other, self)

    def __pow__(self, other: object) -> Expression:
        return applied("pow({0}; {1})", self, other)

    def __rpow__(self, other: object) -> Expression:
        return applied("pow({0}; {1})", other, self)

    def __neg__(self) -> Expression:
        return _binary("*", -1, self)

    def __pos__(self) -> Expression:
        return self

    def __abs__(self) -> Expression:
        return applied("if {0} < 0 then -1 * {0} else {0} end", self)

    def __floor__(self) -> Expression:
        return _piped(self, "floor")

    def __ceil__(self) -> Expression:
        return _piped(self, "ceil")

    # -- comparison and logic -----------------------------------------------

    def __eq__(self, other: object) -> Expression:
        return _binary("==", self, other)

    def __ne__(self, other: object) -> Expression:
        return _binary("!=", self, other)

    def __lt__(self, other: object) -> Expression:
        return _binary("<", self, other)

    def __le__(self, other: object) -> Expression:
        return _binary("<=", self, other)

    def __gt__(self, other: object) -> Expression:
        return _binary(">", self, other)

    def __ge__(self, other: object) -> Expression:
        return _binary(">=", self, other)

    def __and__(self, other: object) -> Expression:
        return _binary("and", self, other)

    def __rand__(self, other: object) -> Expression:
        return _binary("and", other, self)

    def __or__(self, other: object) -> Expression:
        return _binary("or", self, other)

    def __ror__(self, other: object) -> Expression:
        return _binary("or", other, self)

    def __invert__(self) -> Expression:
        return _piped(self, "not")

    def or_else(self, default: object) -> Expression:
        """Return `default` where the value is null or false (jq's ``//``)."""
        return _binary("//", self, default)

    def contains(self, part: object) -> Expression:
        """Return whether `part` is in it: a part of a text, an item of a list, a key of an object;
        Python's ``part in it``."""
        return applied(_CONTAINS, self, part)

    def is_in(self, items: object) -> Expression:
        """Return whether it is one of a list's items, a part of a text, a key of an object."""
        if isinstance(items, list | tuple) and 0 < len(items) <= _FEW:
            found: Expression = self == items[0]
            for item in items[1:]:
                found = found | (self == item)
            return found
        return applied(_CONTAINS, items, self)

    # -- text ---------------------------------------------------------------

    def lower(self) -> Expression:
        """Return the text in lower case. Letters outside ASCII stay as they are."""
        return _piped(self, "ascii_downcase")

    def upper(self) -> Expression:
        """Return the text in upper case. Letters outside ASCII stay as they are."""
        return _piped(self, "ascii_upcase")

    def strip(self) -> Expression:
        """Return the text without spaces at its ends."""
        return _piped(self, "trim")

    def lstrip(self) -> Expression:
        """Return the text without spaces at its beginning."""
        return _piped(self, "ltrim")

    def rstrip(self) -> Expression:
        """Return the text without spaces at its end."""
        return _piped(self, "rtrim")

    def startswith(self, prefix: object) -> Expression:
        """Return whether the text begins with `prefix`."""
        return applied("{0} | startswith({1})", self, prefix)

    def endswith(self, suffix: object) -> Expression:
        """Return whether the text ends with `suffix`."""
        return applied("{0} | endswith({1})", self, suffix)

    def removeprefix(self, prefix: object) -> Expression:
        """Return the text without `prefix` at its beginning."""
        return applied("{0} | ltrimstr({1})", self, prefix)

    def removesuffix(self, suffix: object) -> Expression:
        """Return the text without `suffix` at its end."""
        return applied("{0} | rtrimstr({1})", self, suffix)

    def split(self, separator: object) -> Expression:
        """Return the parts of the text between separators, as a list."""
        return applied('if {0} == "" then [""] else {0} | split({1}) end', self, separator)

    def replace(self, old: object, new: object) -> Expression:
        """Return the text with `new` in each place of `old`, which is not empty."""
        if old == "" and isinstance(old, str):
            raise TypeError("replace: the text to be replaced is empty")
        return applied("{0} | split({1}) | join({2})", self, old, new)

    def matches(self, pattern: object) -> Expression:
        """Return whether a regular expression (Oniguruma, as in jq) matches anywhere."""
        return applied("{0} | test({1})", self, pattern)

    # -- what has no value while a workflow is built --------------------------

    def __bool__(self) -> Never:
        raise TypeError(
            "an expression has no truth value while the workflow is built: use & | ~ for and, or,"
            " not; if_(condition, a, b) for a value; switch(...) or .when(condition) for a step"
        )

    def __iter__(self) -> Never:
        raise _refusal("a loop", "each(items, ...) for values or for_each(...) for steps")

    def __contains__(self, _: object) -> Never:
        raise _refusal("`in`", ".contains(part) or .is_in(items)")

    def __len__(self) -> Never:
        raise _refusal("len()", "length(...)")

    def __reversed__(self) -> Never:
        raise _refusal("reversed()", 'expr("... | reverse")')

    def __str__(self) -> str:
        raise _refusal("str()", "text(...)")

    def __format__(self, _: str) -> str:
        raise _refusal("an f-string or format()", "text(...), with the pieces as arguments")

    def __int__(self) -> Never:
        raise _refusal("int()", "number(...)")

    def __float__(self) -> Never:
        raise _refusal("float()", "number(...)")

    def __index__(self) -> Never:
        raise _refusal("an index or range()", "expression[index] on another expression")

    def __round__(self, _: SupportsIndex | None = None) -> Never:
        raise _refusal("round()", "floor(x + 0.5)")


_CONTAINS = (
    'if ({0} | type) == "array" then any({0}[]; . == {1})'
    ' elif ({0} | type) == "object" then ({0} | has({1})) else ({0} | contains({1})) end'
)


def _no_step(_: object) -> Never:
    raise TypeError("the compensation of a task can't read the results of other steps")


def _refusal(what: str, instead: str) -> TypeError:
    return TypeError(
        f"{what} needs a value, and an expression has none while the workflow is built:"
        f" use {instead}"
    )


def _binary(operator: str, left: object, right: object) -> Expression:
    return Expression(nodes.Binary(operator, node_of(left), node_of(right)))


def _piped(value: Expression, program: str) -> Expression:
    return Expression(nodes.Piped(node_of(value), program))


def _modulo(left: object, right: object) -> Expression:
    """Return Python's remainder, which has the sign of the divisor; jq's has the dividend's."""
    return applied("{0} - {1} * ({0} / {1} | floor)", left, right)


def applied(program: str, *operands: object) -> Expression:
    """Return an expression that applies a program to operands; see `expression_nodes.Applied`."""
    return Expression(nodes.Applied(program, tuple(node_of(operand) for operand in operands)))


def node_of(value: object) -> Node:
    """Return the node of an expression, or of a plain value, which may contain expressions."""
    if isinstance(value, Expression):
        node: Node = object.__getattribute__(value, _NODE)
        return node
    if isinstance(value, Mapping):
        names = tuple(_name(key) for key in value)
        return nodes.Object(names, tuple(node_of(item) for item in value.values()))
    if isinstance(value, list | tuple):
        return nodes.Array(tuple(node_of(item) for item in value))
    if callable(value):
        raise _of_method(value)
    return nodes.literal(json_codec.to_json(value))


def _name(key: object) -> str:
    if isinstance(key, str):
        return key
    raise TypeError(f"a key of an object is text, not {key!r}")


def _of_method(value: object) -> TypeError:
    name = getattr(value, "__name__", "?")
    if isinstance(getattr(value, "__self__", None), Expression):
        return TypeError(f".{name} is a method: call it, or write [{name!r}] for the member")
    return TypeError(f"{value!r} is no value that a workflow can have")


def jq(expression: Expression) -> str:
    """Return an expression as jq, outside a workflow: steps are named as they were referred to."""
    return jq_text(node_of(expression), ".", lambda step: f"steps[{json.dumps(str(step))}]")
