"""JSON Schemas that describe the workflow's data (dsl-reference.md, Schema)."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import Any

import jsonschema_rs

from orchestrator.document.checks.check_context import Context
from orchestrator.document.message_text import quoted, short
from orchestrator.document.model import escape
from orchestrator.expressions import Evaluator, ExpressionError, SchemaProgram
from orchestrator.schemas import compilation

Json = Any


def check(context: Context) -> None:
    """Check that each inline schema is a valid JSON Schema."""
    for key in ("input", "output"):
        _check_schema_of(context, f"/{key}", context.document.get(key))
    for site in context.sites:
        for key in ("input", "output", "export"):
            if key in site.body:
                _check_schema_of(context, f"{site.pointer}/{key}", site.body[key])
        iterator = site.body.get("foreach") if site.kind == "listen" else None
        for key in ("output", "export"):
            _check_schema_of(context, f"{site.pointer}/foreach/{key}", (iterator or {}).get(key))


def _check_schema_of(context: Context, pointer: str, part: Json) -> None:
    if not isinstance(part, dict) or "schema" not in part:
        return
    schema, pointer = part["schema"], f"{pointer}/schema"
    name = schema.get("format", "json")
    if name.partition(":")[0] != "json":
        message = f"schemas of the format {quoted(name)} are not supported, only 'json'"
        context.error(f"{pointer}/format", message)
    elif "resource" in schema:
        message = "external schemas are not supported yet; this will fault"
        context.warn(f"{pointer}/resource", message, at_key=True)
    else:
        _check_inline_schema(context, f"{pointer}/document", schema["document"])


def _check_inline_schema(context: Context, pointer: str, document: Json) -> None:
    try:
        too_large = compilation(document)
        if too_large is not None:
            _check_in_sandbox(context, too_large)
    except jsonschema_rs.ValidationError as error:
        reason = short(error.message.partition(" and retrieving it failed")[0], 150)
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Referencing):
            message = f"the JSON Schema refers to something outside it: {reason}"
            context.error(pointer, message, at_key=True)
        else:
            location = "".join(f"/{escape(str(token))}" for token in error.instance_path)
            context.error(pointer + location, f"no valid JSON Schema: {reason}")
    except (ValueError, TypeError, ExpressionError) as error:
        message = f"the JSON Schema cannot be used: {short(str(error), 150)}"
        context.error(pointer, message, at_key=True)


def _check_in_sandbox(context: Context, schema: SchemaProgram) -> None:
    supplied = context.environment.check_expression
    with ExitStack() as stack:
        (supplied or stack.enter_context(closing(Evaluator())).check)(schema, ())
