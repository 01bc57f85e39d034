"""The values that every expression begins with.

| | |
|---|---|
| `input` | the workflow's input |
| `result` | the latest result: of the step before; the step's own in its compensation or output |
| `this` | `.` of the language: what the place gives, such as the data of a filter's event |
| `context` | what steps have exported |
| `steps.name` | the result of the step of that name |
| `variable.name` | a variable of a loop, a handler or a listener |
| `error` | the caught error, in a handler that gives it no other name |
| `workflow`, `task`, `runtime`, `secrets`, `authorization` | those of the language |
"""

from __future__ import annotations

from orchestrator.dsl.expression import Expression
from orchestrator.dsl.expression_nodes import LatestResult, Root, StepResult


class _Variables:
    """``variable.item`` is ``$item``."""

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Expression:
        if not name.isascii() or not name.isidentifier():
            raise TypeError(f"a variable's name has letters, digits and underscores, not {name!r}")
        return Expression(Root(f"${name}"))


class _Steps:
    """``steps.reserve`` is the result of the step `reserve`."""

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Expression:
        return Expression(StepResult(str(name)))


input = Expression(Root("$workflow.input"))
result = Expression(LatestResult())
this = Expression(Root("."))
context = Expression(Root("$context"))
workflow = Expression(Root("$workflow"))
task = Expression(Root("$task"))
runtime = Expression(Root("$runtime"))
secrets = Expression(Root("$secrets"))
authorization = Expression(Root("$authorization"))
error = Expression(Root("$error"))
variable = _Variables()
steps = _Steps()
