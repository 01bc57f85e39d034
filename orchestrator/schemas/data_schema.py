"""A schema of a workflow's data, and the validation of a value by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from orchestrator import json_codec
from orchestrator.errors import OrchestratorError
from orchestrator.expressions import Evaluate, SchemaProgram
from orchestrator.schemas.schema_work import SchemaWork

Json = Any

#: The most work (subschemas times bytes of the value) of a validation in this process. The worst
#: schemas take 50 ns each: 50 ms, in which no other thread runs.
MAX_WORK = 1_000_000
#: The most work of a compilation in this process; about 1 µs each.
MAX_COMPILATION = 50_000


class SchemaUnusable(OrchestratorError):
    """The schema is no JSON Schema, or refers to something outside it."""


@dataclass(frozen=True, slots=True)
class SchemaError:
    """The place in a value (member names and indexes) and what is wrong there."""

    path: tuple[str | int, ...]
    message: str


class DataSchema:
    """A schema, compiled at its first use. Thread-safe.

    A `$ref` to anything outside the schema is refused: validation reads nothing from the network.
    """

    __slots__ = ("_most", "_program", "_schema", "_validator")

    def __init__(self, schema: Json) -> None:
        self._schema = schema
        self._program: SchemaProgram | None = None
        self._validator: Any = None
        #: The most bytes of a value that is validated in this process; None: not known yet.
        self._most: int | None = None

    def is_cheap(self, value: Json) -> bool:
        """Whether the validation of a value is cheap enough for this process.

        Raises `SchemaUnusable`.
        """
        if self._most is None:
            self._prepare()
        most = self._most or 0
        if not most:
            return False
        try:
            return len(orjson.dumps(value)) <= most
        except TypeError:
            return False  # an integer of more than 64 bits

    def error(self, value: Json, evaluate: Evaluate) -> SchemaError | None:
        """Return the first error of a value; None if it is valid. `evaluate` validates in the
        sandbox what is not cheap. Raises `SchemaUnusable`, and what `evaluate` raises."""
        if not self.is_cheap(value):
            return self._error_in_sandbox(value, evaluate)
        try:
            self._validator.validate(value)
        except ValueError as error:
            return _described(error)
        return None

    def errors(self, value: Json, evaluate: Evaluate) -> list[SchemaError]:
        """Return all errors of a value; of one that is not cheap only the first."""
        if not self.is_cheap(value):
            error = self._error_in_sandbox(value, evaluate)
            return [error] if error else []
        if self._validator.is_valid(value):
            return []
        return [_described(error) for error in self._validator.iter_errors(value)]

    def _prepare(self) -> None:
        work = SchemaWork(self._schema)
        most = 0
        if work.compilation <= MAX_COMPILATION:
            self._validator, is_linear = _compiled(self._schema)
            most = MAX_WORK // work.factor if is_linear else 0
        self._most = most

    def _error_in_sandbox(self, value: Json, evaluate: Evaluate) -> SchemaError | None:
        if self._program is None:
            self._program = _program(self._schema)
        found = evaluate(self._program, value, {})
        return found and SchemaError(tuple(found["path"]), found["message"])


def compilation(schema: Json) -> SchemaProgram | None:
    """Compile a schema to find its errors, if that is cheap; else return what `Evaluator.check`
    compiles. Raises `jsonschema_rs.ValidationError`, or another `ValueError` or `TypeError`."""
    if SchemaWork(schema).compilation > MAX_COMPILATION:
        return _program(schema)
    _validator_for(schema)
    return None


def _program(schema: Json) -> SchemaProgram:
    return SchemaProgram(json_codec.dumps(schema))


def _compiled(schema: Json) -> tuple[Any, bool]:
    """Return the validator, and whether it matches all patterns in linear time, which look-around
    and back-references do not allow. Raises `SchemaUnusable`."""
    # Import jsonschema_rs at the first validation: it takes 3 MB of memory, and a beat validates
    # nothing.
    import jsonschema_rs

    try:
        return _validator_for(schema, pattern_options=jsonschema_rs.RegexOptions()), True
    except (ValueError, TypeError):
        pass  # a pattern for the other engine, or a fault that both report
    try:
        return _validator_for(schema), False
    except (ValueError, TypeError) as error:
        raise SchemaUnusable(str(error)) from None


def _validator_for(schema: Json, **options: Any) -> Any:
    import jsonschema_rs

    return jsonschema_rs.validator_for(schema, retriever=_refuse, validate_formats=True, **options)


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is not in this document")


def _described(error: ValueError) -> SchemaError:
    if not hasattr(error, "instance_path"):
        raise SchemaUnusable(str(error)) from None
    return SchemaError(tuple(error.instance_path), error.message)  # type: ignore[attr-defined]
