"""The evaluator: reads a program once and evaluates it in Python or in the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from orchestrator import json_codec
from orchestrator.expressions import fast_path as fast
from orchestrator.expressions import program_rules
from orchestrator.expressions.errors import ExpressionError
from orchestrator.expressions.fast_path_operators import Code
from orchestrator.expressions.fast_path_values import NotOnFastPath
from orchestrator.expressions.program_rules import Program
from orchestrator.expressions.sandbox import Sandbox, SchemaText

Json = Any

RunProgram = Callable[[bytes, bytes], bytes | None]
"""`(program, data) -> first result`; see `Sandbox.evaluate`."""

NOW = program_rules.NOW_VARIABLE
"""The name of the variable with the transition's time, in seconds since 1970 as a float: the result
of `now`. Programs cannot name this variable."""


class SchemaProgram(str):
    """The text of a JSON Schema in place of a program. Its evaluation validates the value in the
    sandbox, and gives null or the first error, `{path: [...], message}`."""

    __slots__ = ()


class Evaluator:
    """Evaluates jq. Thread-safe and fork-safe. The sandbox's process starts on first use."""

    def __init__(self, sandbox: Sandbox | None = None) -> None:
        self.sandbox = sandbox or Sandbox()

    def evaluate(
        self,
        program: str,
        value: Json,
        variables: Mapping[str, Json],
        run: RunProgram | None = None,
    ) -> Json:
        """Return the first result of `program` (jq without `${ }`) on `value`, or null without a
        result.

        `variables` are named without `$`. `run` runs what the fast path does not; by default the
        sandbox does. Raises `ExpressionError` (the DSL's error `expression`, 400),
        `EvaluatorUnavailable` (try again), or what `run` raises.
        """
        if type(program) is SchemaProgram:
            return self._validate(program, value, run or self.sandbox.evaluate)
        plan = _plan(program)
        if plan.fast is not None:
            try:
                return plan.fast(value, variables)
            except NotOnFastPath:
                pass  # the sandbox decides
        return self._evaluate(plan.program, value, variables, run or self.sandbox.evaluate)

    def check(self, program: str, variables: Iterable[str], run: RunProgram | None = None) -> None:
        """Refuse at deployment a program that could never be evaluated with variables of these
        names. `run` compiles in place of the sandbox, as in `evaluate`.

        Raises `ForbiddenExpression`, `ExpressionError` (syntax, bounds, an undefined variable or
        function) or `EvaluatorUnavailable`.
        """
        if type(program) is SchemaProgram:
            (run or self.sandbox.evaluate)(SchemaText(program.encode()), b"")
            return
        plan = _plan(program)
        names = {NOW, *variables}
        if plan.fast is not None:
            for name in plan.program.variables - names:
                raise ExpressionError(f"${name} is not defined")
            return
        text = _wrap(program, _variables_to_send(plan.program, names))
        (run or self.sandbox.evaluate)(text, b"")

    def close(self) -> None:
        """Stop the sandbox's process, if there is one."""
        self.sandbox.close()

    def _validate(self, schema: SchemaProgram, value: Json, run: RunProgram) -> Json:
        try:
            data = json_codec.encode(value)
        except json_codec.NotJson as error:
            raise ExpressionError(f"the value is not JSON: {error}") from error
        return _loaded(run(SchemaText(schema.encode()), data) or b"null")

    def _evaluate(
        self, program: Program, value: Json, variables: Mapping[str, Json], run: RunProgram
    ) -> Json:
        if program.uses_now and NOW not in variables:
            raise ExpressionError("`now` has no time here")
        names = _variables_to_send(program, variables)
        data = _data(value, {name: variables[name] for name in names})
        result = run(_wrap(program.text, names), data)
        return None if result is None else _loaded(result)


class _Plan(NamedTuple):
    """A program after it has been read."""

    program: Program
    fast: Code | None


@lru_cache(maxsize=4096)
def _plan(text: str) -> _Plan:
    program = program_rules.read(text)
    return _Plan(program, fast.compiled(program))


def _variables_to_send(program: Program, available: Iterable[str]) -> tuple[str, ...]:
    """Return the variables that the sandbox needs: those that the program names."""
    needed = program.variables | ({NOW} if program.uses_now else frozenset())
    return tuple(sorted(needed.intersection(available)))


_SHADOWED = "".join(
    f'def {name}: error("{name} may not be used in an expression");'
    for name in ("env", "input", "inputs", "halt", "halt_error")
)
"""A second protection behind `program_rules`: inside the program these names raise errors."""

_SILENT = "def debug: .; def debug(messages): (messages | empty), .; def stderr: .;"
"""Functions that write to jq's own streams write nothing; documents for other runtimes use them."""


@lru_cache(maxsize=4096)
def _wrap(program: str, names: tuple[str, ...]) -> bytes:
    """Return the program that the sandbox runs, on `[value, {variables}]`. The cache key is the
    text with the names of the variables, so that libjq compiles each combination once. The program
    has lines of its own: so its positions in messages are right, and a comment at its end ends
    there."""
    bound = ",".join(f"{name}:${name}" for name in names)
    variables = f".[1] as {{{bound}}} |" if names else ""
    now = f"def now: ${NOW};" if NOW in names else ""
    head = f"{variables} null as $ENV | .[0] | {_SHADOWED}{_SILENT}{now}"
    return f"{head}(\n{program}\n)|tojson".encode()


def _data(value: Json, variables: Mapping[str, Json]) -> bytes:
    try:
        return json_codec.encode([value, variables])
    except json_codec.NotJson as error:
        raise ExpressionError(f"the expression's input is not JSON: {error}") from error


def _loaded(result: bytes) -> Json:
    try:
        return json_codec.loads(result)
    except json_codec.NotJson as error:
        raise ExpressionError(f"the expression's result cannot be kept: {error}") from error
