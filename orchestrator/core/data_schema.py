"""JSON Schema validation of inputs, outputs and the context (dsl-reference.md, Schema)."""

from __future__ import annotations

from typing import Any

from orchestrator.core.dsl_errors import configuration, validation
from orchestrator.core.model import Json
from orchestrator.expressions import Evaluate, ExpressionError
from orchestrator.schemas import DataSchema, SchemaUnusable

#: Most characters of a validation message.
_MAX_MESSAGE = 300


class Schema:
    """A schema of the document, compiled at the first validation.

    A `$ref` to anything outside the schema is refused: validation reads nothing from the network. A
    schema with ``resource`` raises a `configuration` fault for the same reason.
    """

    __slots__ = ("_definition", "_schema")

    def __init__(self, definition: dict[str, Any]) -> None:
        self._definition = definition
        self._schema: DataSchema | None = None

    def validate(self, value: Json, what: str, evaluate: Evaluate) -> None:
        """Validate a value; `what` names it in the message. `evaluate` validates in the sandbox
        what takes long. Raises a `validation` fault if the value is invalid or its validation needs
        too much CPU time or memory, a `configuration` fault if the schema itself cannot be used."""
        if self._schema is None:
            self._schema = self._inline()
        try:
            error = self._schema.error(value, evaluate)
        except SchemaUnusable as unusable:
            raise configuration(f"{what}: the schema cannot be used: {unusable}") from None
        except ExpressionError as failed:
            raise validation(f"{what}: {failed}") from None
        if error is not None:
            place = "".join(f"/{part}" for part in error.path)
            at = f" at {place}" if place else ""
            raise validation(f"{what}{at}: {error.message[:_MAX_MESSAGE]}")

    def _inline(self) -> DataSchema:
        definition = self._definition
        if not str(definition.get("format", "json")).split(":")[0] == "json":
            raise configuration(f"schemas of the format {definition['format']!r} are not known")
        if "document" not in definition:
            raise configuration("a schema from an external resource cannot be used here")
        return DataSchema(definition["document"])


def schema_of(part: Any) -> Schema | None:
    """Return the schema of an ``input``, ``output`` or ``export``, if it has one."""
    if not isinstance(part, dict) or not isinstance(part.get("schema"), dict):
        return None
    return Schema(part["schema"])
