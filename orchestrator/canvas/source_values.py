"""Evaluates expressions that make signatures, with placeholders for unknown values."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Self

from celery.canvas import Signature
from celery.local import Proxy

#: Nested expressions and names that are followed.
MAX_DEPTH = 60


class Unknown(str):
    """A value that only a run knows. It passes as a text, a number, a collection of two."""

    __slots__ = ()

    def __new__(cls, _: str = "") -> Self:
        """Make a value; copies are values of their own."""
        return super().__new__(cls, "unknown")

    def __iter__(self) -> Iterator[Unknown]:
        return iter((Unknown(), Unknown()))

    def __float__(self) -> float:
        return 1.0

    def __int__(self) -> int:
        return 1

    __index__ = __int__

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


def is_value_of(value: Any, kind: type[Any]) -> bool:
    """Whether a value, or what a lazy proxy stands for, is of a class."""
    try:
        return isinstance(value, kind)
    except Exception:  # noqa: BLE001  a proxy that can't be resolved
        return False


class Evaluator:
    """Evaluates expressions of one module. `may_call` says which functions are called."""

    def __init__(self, names: Mapping[str, Any], may_call: Callable[[Any], bool]) -> None:
        self._names = names
        self._may_call = may_call
        self._scopes: list[dict[str, ast.expr | None]] = []
        self._depth = 0

    @contextmanager
    def inside(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[None]:
        """Let the names that a function binds stand for what it assigns to them once."""
        self._scopes.append(_bound(function))
        try:
            yield
        finally:
            self._scopes.pop()

    def value(self, node: ast.expr) -> Any:
        """Return the value of an expression; `Unknown` if only a run knows it.

        Raises what the signatures' own functions raise, and RecursionError.
        """
        if self._depth > MAX_DEPTH:
            raise RecursionError("the expression is nested too deeply")
        self._depth += 1
        try:
            evaluate = getattr(self, f"_{type(node).__name__.lower()}", None)
            return Unknown() if evaluate is None else evaluate(node)
        finally:
            self._depth -= 1

    @staticmethod
    def has_unknown_task(value: Any) -> bool:
        """Whether a canvas contains something unknown in place of a signature."""
        if isinstance(value, Unknown):
            return True
        if not isinstance(value, Signature):
            return False
        parts = [value.kwargs.get("body")] if value.subtask_type == "chord" else []
        for name in ("tasks", "header"):
            found = value.kwargs.get(name)
            if isinstance(found, Signature | Unknown):
                parts.append(found)
            elif found is not None and value.subtask_type in ("chain", "group", "chord"):
                parts += list(found)
        return any(Evaluator.has_unknown_task(part) for part in parts)

    # -- by kind of expression -------------------------------------------------

    def _constant(self, node: ast.Constant) -> Any:
        return node.value

    def _name(self, node: ast.Name) -> Any:
        for index in range(len(self._scopes) - 1, -1, -1):
            scope = self._scopes[index]
            if node.id in scope:
                assigned = scope[node.id]
                return Unknown() if assigned is None else self._in_scope(index, assigned)
        return self._known(self._names.get(node.id, Unknown()))

    def _in_scope(self, index: int, assigned: ast.expr) -> Any:
        inner = self._scopes[index + 1 :]
        del self._scopes[index + 1 :]
        try:
            return self.value(assigned)
        finally:
            self._scopes += inner

    def _known(self, value: Any) -> Any:
        plain = isinstance(value, str | int | float | bool | type(None) | list | tuple)
        if plain or isinstance(value, Signature | Proxy | ModuleType | type) or callable(value):
            return value
        return Unknown()

    def _attribute(self, node: ast.Attribute) -> Any:
        owner = self.value(node.value)
        if isinstance(owner, Unknown):
            return Unknown()
        return self._known(getattr(owner, node.attr, Unknown()))

    def _call(self, node: ast.Call) -> Any:
        function = self.value(node.func)
        if isinstance(function, Unknown) or not self._may_call(function):
            return Unknown()
        args = [item for arg in node.args for item in self._argument(arg)]
        named = [(key.arg, self.value(key.value)) for key in node.keywords]
        return function(*args, **{name: value for name, value in named if name is not None})

    def _argument(self, node: ast.expr) -> list[Any]:
        return list(self.value(node.value)) if isinstance(node, ast.Starred) else [self.value(node)]

    def _binop(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(node.op, ast.BitOr) and isinstance(left, Signature):
            return Unknown() if isinstance(right, Unknown) else operator.or_(left, right)
        return Unknown()

    def _list(self, node: ast.List | ast.Tuple) -> list[Any]:
        return [item for element in node.elts for item in self._argument(element)]

    _tuple = _list

    def _dict(self, node: ast.Dict) -> Any:
        pairs = [(key, value) for key, value in zip(node.keys, node.values, strict=True) if key]
        return {str(self.value(key)): self.value(value) for key, value in pairs}

    def _ifexp(self, node: ast.IfExp) -> Any:
        return self.value(node.body)

    def _listcomp(self, node: ast.ListComp | ast.GeneratorExp) -> list[Any]:
        names = [
            name.id
            for part in node.generators
            for name in ast.walk(part.target)
            if isinstance(name, ast.Name)
        ]
        self._scopes.append(dict.fromkeys(names))
        try:
            return [self.value(node.elt) for _ in range(2)]
        finally:
            self._scopes.pop()

    _generatorexp = _listcomp


def _bound(function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, ast.expr | None]:
    """Return the names that a function binds, with the expression where there is only one."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
    bound: dict[str, ast.expr | None] = {argument.arg: None for argument in every}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name) and target.id not in bound:
                bound[target.id] = node.value
                continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            assigned = bound.get(node.id)
            if node.id not in bound or not _is_target_of(function, node, assigned):
                bound[node.id] = None
    return bound


def _is_target_of(function: ast.AST, name: ast.Name, assigned: ast.expr | None) -> bool:
    """Whether a name is bound by the assignment of this expression itself."""
    return any(
        isinstance(node, ast.Assign) and node.value is assigned and name in node.targets
        for node in ast.walk(function)
    )
