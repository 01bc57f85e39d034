"""Refuse literal texts that look like expressions: their authors expected an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs

from orchestrator.document.checks.check_context import Context
from orchestrator.document.dsl_schema import REVISIONS, language, literals_table, task
from orchestrator.document.message_text import quoted
from orchestrator.document.model import COMPENSATE, escape, look_up

Json = Any

#: Advice for the author, by the last token of the pointer.
_ADVICE: Mapping[str, str] = {
    "call": "'call: celery' evaluates its 'task'",
    "error": "an inline error can contain expressions",
    "retry": "an inline policy can contain expressions",
    "then": "a 'switch' chooses between targets",
    "timeout": "'after' of an inline timeout can be an expression",
}


def check(context: Context) -> None:
    """Check that no literal text looks like an expression."""
    _check_literals(context, "", context.document, "")
    for site in context.sites:
        if site.pointer.endswith(COMPENSATE):
            body = {key: value for key, value in site.body.items() if key != "onUnknown"}
            _check_literals(context, site.pointer, body, "task")


def _check_literals(context: Context, pointer: str, value: Json, part: str) -> None:
    table_of = task if part else language
    valid = [revision for revision in REVISIONS if table_of(revision).validator.is_valid(value)]
    if not valid or literals_table(valid[0], part).validator.is_valid(value):
        return
    for place in _expression_pointers(literals_table(valid[0], part).validator, value):
        text = look_up(value, place)
        advice = _ADVICE.get(place.rpartition("/")[2], "")
        message = f"expressions are not evaluated here: {quoted(text)} would be used literally"
        if advice:
            message += f"; {advice}"
        context.error(pointer + place, message, explains=pointer + place)


def _expression_pointers(validator: jsonschema_rs.Validator, value: Json) -> Iterator[str]:
    for error in validator.iter_errors(value):
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Not):
            yield "".join(f"/{escape(str(token))}" for token in error.instance_path)
