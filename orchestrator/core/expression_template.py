"""Values of the document with expressions in them, parsed once and rendered often.

A template is a constant, an `Expression`, or a dict or list of templates. In strict mode only a
string that as a whole is ``${ ... }`` is an expression. In loose mode every string is evaluated as
one, and is text if that fails (dsl-reference.md, Evaluate).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.core.dsl_errors import Fault
from orchestrator.core.model import Json
from orchestrator.expressions import NOW, is_expression, program_of

_NAME = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_PATH = re.compile(
    r"\.|\$(?:input|output|context)|(?:\$(?:input|output|context))?(?:\.[A-Za-z_][A-Za-z0-9_]*)+"
)
_NOW = re.compile(r"(?<![\w.$])now(?!\w)")


class Expression:
    """A jq program. `names` are the variables in it (after a `$`): the arguments that it may need.
    `only_copies`: its result is a part of existing data, so nothing larger. `place` is its place in
    its task, like `with.args[0]`."""

    __slots__ = ("names", "only_copies", "place", "program")

    def __init__(self, text: str, place: str = "") -> None:
        self.place = place
        self.program = program_of(text)
        names = _NAME.findall(self.program)
        # A program that mentions `now` gets the transition's time as an argument, so add its name.
        if _NOW.search(self.program):
            names.append(NOW)
        self.names: tuple[str, ...] = tuple(dict.fromkeys(names))
        self.only_copies = _PATH.fullmatch(self.program) is not None

    def __repr__(self) -> str:
        return f"${{ {self.program} }}"


EvaluateExpression = Callable[[Expression], Json]
"""Evaluates one expression at the template's step; raises `Fault`."""


class Template:
    """A value of the document, at `place` in its task. `plain`: it contains no expression."""

    __slots__ = ("plain", "tree")

    def __init__(self, value: Json, place: str = "", *, loose: bool = False) -> None:
        self.tree = _read(value, place, loose)
        self.plain = not any(True for _ in _expressions(self.tree))

    def render(self, evaluate: EvaluateExpression) -> Json:
        """Return the value with every expression replaced by its result."""
        return self.tree if self.plain else _render(self.tree, evaluate)

    @property
    def only_copies(self) -> bool:
        """Whether its result is a part of existing data."""
        return type(self.tree) is Expression and self.tree.only_copies

    def names(self) -> frozenset[str]:
        """Return the names of all arguments that its expressions mention."""
        return frozenset(name for item in _expressions(self.tree) for name in item.names)


class LooseString:
    """A string in loose mode: the result of the expression, or the text if it fails."""

    __slots__ = ("expression", "text")

    def __init__(self, text: str, place: str) -> None:
        self.text = text
        self.expression = Expression(text, place)

    def render(self, evaluate: EvaluateExpression) -> Json:
        """Return the result, or the text itself if the expression fails."""
        try:
            return evaluate(self.expression)
        except Fault:
            return self.text


def _read(value: Json, place: str, loose: bool) -> Any:
    if isinstance(value, str):
        if loose and value.strip():
            return LooseString(value, place)
        return Expression(value, place) if is_expression(value) else value
    if isinstance(value, dict):
        return {key: _read(item, f"{place}.{key}", loose) for key, item in value.items()}
    if isinstance(value, list):
        return [_read(item, f"{place}[{index}]", loose) for index, item in enumerate(value)]
    return value


def _expressions(tree: Any) -> Iterator[Expression]:
    if isinstance(tree, Expression):
        yield tree
    elif isinstance(tree, LooseString):
        yield tree.expression
    elif isinstance(tree, dict):
        for item in tree.values():
            yield from _expressions(item)
    elif isinstance(tree, list):
        for item in tree:
            yield from _expressions(item)


def _render(tree: Any, evaluate: EvaluateExpression) -> Json:
    kind = type(tree)
    if kind is Expression:
        return evaluate(tree)
    if kind is dict:
        return {key: _render(item, evaluate) for key, item in tree.items()}
    if kind is list:
        return [_render(item, evaluate) for item in tree]
    if kind is LooseString:
        return tree.render(evaluate)
    return tree


def transformation(value: Json, place: str = "", *, loose: bool) -> Template | None:
    """Parse an ``input.from``, ``output.as`` or ``export.as``: a string is always an expression,
    bare or in ``${ }``; anything else is a template. None without a value."""
    if value is None:
        return None
    template = Template(value, place, loose=loose)
    if isinstance(value, str) and not loose:
        template.tree, template.plain = Expression(value, place), False
    return template
