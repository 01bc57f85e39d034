"""Expressions as trees of frozen values. `jq_text` makes jq of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

Json = Any


class Node:
    """A part of an expression."""


@dataclass(frozen=True)
class Root(Node):
    """A variable of the language, such as ``$context``."""

    text: str


@dataclass(frozen=True)
class LatestResult(Node):
    """The latest result at the place of the expression."""


@dataclass(frozen=True)
class StepResult(Node):
    """The result of another step. `step` is its name, or the key of its task."""

    step: Any


@dataclass(frozen=True)
class Raw(Node):
    """jq as the author wrote it."""

    text: str


@dataclass(frozen=True)
class Literal(Node):
    """A scalar."""

    value: Json


@dataclass(frozen=True)
class Array(Node):
    """``[a, b]``"""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Object(Node):
    """``{"a": b}``"""

    names: tuple[str, ...]
    values: tuple[Node, ...]


@dataclass(frozen=True)
class Item(Node):
    """``base.key`` or ``base[key]``"""

    base: Node
    key: Node


@dataclass(frozen=True)
class Slice(Node):
    """``base[start:end]``"""

    base: Node
    start: Node | None
    end: Node | None


@dataclass(frozen=True)
class Binary(Node):
    """``left operator right``; jq's operators of arithmetic, comparison and logic, and ``//``."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Piped(Node):
    """``value | program``, where the program has no operands of its own."""

    value: Node
    program: str


@dataclass(frozen=True)
class Applied(Node):
    """A program over operands, in which ``{0}`` and ``{1}`` stand for them."""

    program: str
    operands: tuple[Node, ...]


@dataclass(frozen=True)
class Conditional(Node):
    """``if a then b else c end``"""

    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, eq=False)
class Bound(Node):
    """The variable of an `Each`."""


@dataclass(frozen=True)
class Each(Node):
    """A program for every item, in which ``{items}``, ``{name}`` and ``{body}`` stand for its
    parts."""

    program: str
    items: Node
    variable: Bound
    body: Node


@dataclass(frozen=True)
class Text(Node):
    r"""``"text \(a) text"``"""

    pieces: tuple[str | Node, ...]


def literal(value: Json) -> Node:
    """Return the node of a plain JSON value."""
    if isinstance(value, Mapping):
        names = tuple(str(name) for name in value)
        return Object(names, tuple(literal(item) for item in value.values()))
    if isinstance(value, list | tuple):
        return Array(tuple(literal(item) for item in value))
    return Literal(value)


def inside(node: Node) -> Iterator[Node]:
    """Yield a node and all nodes in it."""
    yield node
    for each in fields(node):  # type: ignore[arg-type]  # all nodes are dataclasses
        value = getattr(node, each.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Node):
                yield from inside(part)
