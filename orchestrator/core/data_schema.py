"""JSON Schema validation of inputs, outputs and the context (dsl-reference.md, Schema)."""

from __future__ import annotations

from typing import Any

from orchestrator.core.dsl_errors import configuration, validation
from orchestrator.core.model import Json

#: Most characters of a validation message.
_MAX_MESSAGE = 300


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is not in this document")


class Schema:
    """A schema of the document, compiled at the first validation.

    A `$ref` to anything outside the schema is refused: validation reads nothing from the network. A
    schema with ``resource`` raises a `configuration` fault for the same reason.
    """

    __slots__ = ("_definition", "_validator")

    def __init__(self, definition: dict[str, Any]) -> None:
        self._definition = definition
        self._validator: Any = None

    def validate(self, value: Json, what: str) -> None:
        """Validate a value; `what` names it in the message. Raises a `validation` fault if it is
        invalid, a `configuration` fault if the schema itself cannot be used."""
        if self._validator is None:
            self._validator = self._compiled()
        try:
            self._validator.validate(value)
        except ValueError as error:
            raise _fault(error, what) from None

    def _compiled(self) -> Any:
        # Imported here: a beat validates nothing, and the library takes 3 MB of memory.
        import jsonschema_rs

        definition = self._definition
        if not str(definition.get("format", "json")).split(":")[0] == "json":
            raise configuration(f"schemas of the format {definition['format']!r} are not known")
        if "document" not in definition:
            raise configuration("a schema from an external resource cannot be used here")
        try:
            return jsonschema_rs.validator_for(
                definition["document"], retriever=_refuse, validate_formats=True
            )
        except (ValueError, TypeError) as error:
            raise configuration(f"the schema cannot be used: {error}") from None


def _fault(error: ValueError, what: str) -> Exception:
    """Turn an error of the library, about a value or a schema, into a fault."""
    import jsonschema_rs

    if not isinstance(error, jsonschema_rs.ValidationError):
        return configuration(f"{what}: the schema cannot be used: {error}")
    place = "".join(f"/{part}" for part in error.instance_path)
    return validation(f"{what}{' at ' + place if place else ''}: {error.message[:_MAX_MESSAGE]}")


def schema_of(part: Any) -> Schema | None:
    """Return the schema of an ``input``, ``output`` or ``export``, if it has one."""
    if not isinstance(part, dict) or not isinstance(part.get("schema"), dict):
        return None
    return Schema(part["schema"])
