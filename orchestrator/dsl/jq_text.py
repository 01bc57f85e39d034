"""jq from a tree.

A part always sees the same `.` as the whole: operands are bound to variables (`as $_1`) before a
pipe changes `.`. So a tree can stand at any place of another one. Parentheses stand only where jq
needs them, since the evaluator answers simple programs without jq.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from orchestrator.dsl import expression_nodes as nodes
from orchestrator.dsl.expression_nodes import Node

#: Precedence of jq, weakest first. A part that binds weaker than its place gets parentheses.
PIPE, ALTERNATIVE, OR, AND, COMPARE, SUM, PRODUCT, POSTFIX = range(8)

_OPERATORS = {"//": ALTERNATIVE, "or": OR, "and": AND, "+": SUM, "-": SUM, "*": PRODUCT}
_OPERATORS |= {"/": PRODUCT, **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), COMPARE)}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Step = Callable[[Any], str]
"""Returns jq for the result of a step, given its name or the key of its task."""


def jq_text(node: Node, result: str, step: Step) -> str:
    """Return jq. `result` is jq for the latest result: ``.``, or ``$output`` in a compensation."""
    return _Writer(result, step).write(node)


class _Writer:
    """Writes one expression: a method for each type of node."""

    def __init__(self, result: str, step: Step) -> None:
        self._result = result
        self._step = step
        self._names: dict[Any, str] = {}

    def write(self, node: Node) -> str:
        """Return the jq of a node."""
        write: Callable[[Any], str] = getattr(self, f"_of_{type(node).__name__.lower()}")
        return write(node)

    def _at(self, node: Node, strength: int) -> str:
        """Return jq that can stand where this strength is needed."""
        text = self.write(node)
        return f"({text})" if _strength(node) < strength else text

    def _fresh(self, key: Any) -> str:
        self._names[key] = name = f"$_{len(self._names) + 1}"
        return name

    def _of_root(self, node: nodes.Root) -> str:
        return node.text

    def _of_raw(self, node: nodes.Raw) -> str:
        return node.text

    def _of_latestresult(self, _: nodes.LatestResult) -> str:
        return self._result

    def _of_stepresult(self, node: nodes.StepResult) -> str:
        return self._step(node.step)

    def _of_bound(self, node: nodes.Bound) -> str:
        return self._names[node]

    def _of_literal(self, node: nodes.Literal) -> str:
        if isinstance(node.value, float) and not math.isfinite(node.value):
            raise ValueError(f"{node.value} is not JSON")
        return _json(node.value)

    def _of_array(self, node: nodes.Array) -> str:
        return f"[{', '.join(self._at(item, ALTERNATIVE) for item in node.items)}]"

    def _of_object(self, node: nodes.Object) -> str:
        members = zip(node.names, node.values, strict=True)
        shown = (f"{_key(name)}: {self._at(value, POSTFIX)}" for name, value in members)
        return "{" + ", ".join(shown) + "}"

    def _of_item(self, node: nodes.Item) -> str:
        base = self._at(node.base, POSTFIX)
        key = node.key.value if isinstance(node.key, nodes.Literal) else None
        if isinstance(key, str) and _IDENTIFIER.fullmatch(key):
            return f".{key}" if base == "." else f"{base}.{key}"
        return f"{base}[{self.write(node.key)}]"

    def _of_slice(self, node: nodes.Slice) -> str:
        bounds = (node.start, node.end)
        shown = ("" if bound is None else self._at(bound, SUM) for bound in bounds)
        return f"{self._at(node.base, POSTFIX)}[{':'.join(shown)}]"

    def _of_binary(self, node: nodes.Binary) -> str:
        strength = _OPERATORS[node.operator]
        # On the right, put an operand of equal precedence in parentheses, except with `and` and
        # `or`, which give the same result in any grouping. On the left, do so for comparisons,
        # which jq cannot chain, and for `//`, which takes every result of its left side.
        left = strength + (strength in (COMPARE, ALTERNATIVE))
        right = strength + (strength not in (OR, AND))
        return f"{self._at(node.left, left)} {node.operator} {self._at(node.right, right)}"

    def _of_piped(self, node: nodes.Piped) -> str:
        return f"{self._at(node.value, ALTERNATIVE)} | {node.program}"

    def _of_applied(self, node: nodes.Applied) -> str:
        bindings, operands = [], []
        for operand in node.operands:
            shown = self._at(operand, POSTFIX)
            if not isinstance(operand, nodes.Literal):
                name = self._fresh(object())
                bindings.append(f"{shown} as {name} | ")
                shown = name
            operands.append(shown)
        return "".join(bindings) + node.program.format(*operands)

    def _of_conditional(self, node: nodes.Conditional) -> str:
        parts = (node.condition, node.then, node.otherwise)
        condition, then, otherwise = (self.write(part) for part in parts)
        return f"if {condition} then {then} else {otherwise} end"

    def _of_each(self, node: nodes.Each) -> str:
        items = self._at(node.items, POSTFIX)
        name = self._fresh(node.variable)
        body = self._at(node.body, POSTFIX)
        return node.program.format(items=items, name=name, body=body)

    def _of_text(self, node: nodes.Text) -> str:
        shown = (
            _json(piece)[1:-1] if isinstance(piece, str) else f"\\({self.write(piece)})"
            for piece in node.pieces
        )
        return f'"{"".join(shown)}"'


def _strength(node: Node) -> int:
    match node:
        case nodes.Binary(operator):
            return _OPERATORS[operator]
        case nodes.Each(program) if program.startswith("["):
            return POSTFIX
        case nodes.Raw() | nodes.Piped() | nodes.Applied() | nodes.Each():
            return PIPE
        case nodes.Literal(int() | float() as number) if str(number).startswith("-"):
            return SUM
    return POSTFIX


def _key(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else _json(name)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
