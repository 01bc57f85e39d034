"""Which canvases in a project's code convert: found in the source, read without running it.

Each expression that makes a canvas (``chain(...)``, ``a.s() | b.s()``, ``task.map(...)``) is
evaluated, with placeholders for all that only a run knows. Only functions of canvases are called.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from celery import Celery
from celery.app.task import Task
from celery.canvas import Signature, chain, chord, chunks, group, signature, xmap, xstarmap
from celery.local import Proxy

from orchestrator.canvas.errors import CanvasRefused
from orchestrator.canvas.source_values import Evaluator, Unknown, is_value_of

#: Longest expression that is shown, in characters.
MAX_SHOWN = 100

_MAKERS = frozenset({chain, chord, group, chunks, xmap, xstarmap})
_TASK_MAKERS = frozenset({"map", "starmap", "chunks"})


@dataclass(frozen=True, slots=True)
class FoundCanvas:
    """A canvas in the code. `converts`: None if the code alone does not say what it is."""

    file: str
    line: int
    expression: str
    converts: bool | None
    reason: str | None = None


def canvases_of(app: Celery, modules: Iterable[ModuleType]) -> Iterator[FoundCanvas]:
    """Yield the canvases in the source of these modules, in order."""
    app.set_current()
    for module in modules:
        try:
            source = Path(inspect.getsourcefile(module) or "").read_text(encoding="utf-8")
            tree = ast.parse(source)
        except (OSError, TypeError, SyntaxError, UnicodeDecodeError):
            continue
        finder = _Finder(module, inspect.getsourcefile(module) or module.__name__)
        finder.visit(tree)
        yield from finder.found


def project_modules(app: Celery, root: Path) -> list[ModuleType]:
    """Return the loaded modules below a folder, and those that define tasks of the app."""
    app.loader.import_default_modules()
    app.finalize()
    of_tasks = {task.__module__ for task in app.tasks.values()}
    found: dict[str, ModuleType] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is None or name.partition(".")[0] in ("celery", "kombu", "orchestrator"):
            continue
        inside = Path(file).resolve().is_relative_to(root.resolve())
        if name in of_tasks or (inside and "site-packages" not in file):
            found.setdefault(file, module)
    return [found[file] for file in sorted(found)]


class _Finder(ast.NodeVisitor):
    """Finds the outermost canvases of one module."""

    def __init__(self, module: ModuleType, file: str) -> None:
        self.found: list[FoundCanvas] = []
        self._file = file
        self._evaluator = Evaluator(vars(module), _callable)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node)

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        with self._evaluator.inside(node):
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if self._makes_canvas(node):
            self._check(node)
        else:
            self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.BitOr) and isinstance(self._value(node), Signature):
            self._check(node)
        else:
            self.generic_visit(node)

    def _makes_canvas(self, node: ast.Call) -> bool:
        """Whether a call makes a canvas, or returns a changed one: ``chain(...).on_error(...)``."""
        func = node.func
        if isinstance(func, ast.Attribute):
            owner = self._value(func.value)
            if is_value_of(owner, Task):
                return func.attr in _TASK_MAKERS
            changes = func.attr in ("set", "on_error", "clone", "group")
            if changes and isinstance(func.value, ast.Call):
                return self._makes_canvas(func.value)
        return self._value(func) in _MAKERS

    def _value(self, node: ast.expr) -> Any:
        try:
            return self._evaluator.value(node)
        except Exception:  # noqa: BLE001  canvases raise what they like; `_check` says it
            return Unknown()

    def _check(self, node: ast.expr) -> None:
        text = ast.unparse(node)
        shown = text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."
        converts, reason = self._verdict(node)
        self.found.append(FoundCanvas(self._file, node.lineno, shown, converts, reason))

    def _verdict(self, node: ast.expr) -> tuple[bool | None, str | None]:
        from orchestrator.canvas.document import convert
        from orchestrator.canvas.signatures import read

        try:
            value = self._evaluator.value(node)
            if not isinstance(value, Signature) or self._evaluator.has_unknown_task(value):
                return None, "it contains signatures that only a run knows"
            convert(read(value))
        except CanvasRefused as refused:
            return False, str(refused)
        except Exception as error:  # noqa: BLE001  a canvas that Celery itself refuses
            return None, f"it can't be read from the code ({type(error).__name__}: {error})"
        return True, None


def _callable(function: Any) -> bool:
    """Whether an evaluation may call this: what makes or changes signatures, nothing else."""
    if function in _MAKERS or function is signature or function is range:
        return True
    owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
    if isinstance(owner, Task | Proxy):
        return name in ("s", "si", "signature", "subtask", *_TASK_MAKERS)
    return isinstance(owner, Signature) and name in ("set", "on_error", "clone", "group")
