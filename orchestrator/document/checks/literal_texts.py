"""Texts that are taken as they stand: what looks like an expression there was meant as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs

from orchestrator.document.checks.check_context import Context
from orchestrator.document.dsl_schema import REVISIONS, language, literals, task
from orchestrator.document.message_text import quoted
from orchestrator.document.model import COMPENSATE, escape, look_up

Json = Any

#: What to do instead, by the last key of the place.
_ADVICE: Mapping[str, str] = {
    "call": "'call: celery' evaluates its 'task'",
    "error": "an error that stands here itself may have expressions in it",
    "retry": "a policy that stands here itself may have expressions in it",
    "then": "a 'switch' chooses between targets",
    "timeout": "'after' of a timeout that stands here itself may be one",
}


def check(context: Context) -> None:
    """No text that is taken as it stands looks like an expression."""
    _check_literals(context, "", context.document, "")
    for site in context.sites:
        if site.pointer.endswith(COMPENSATE):
            body = {key: value for key, value in site.body.items() if key != "onUnknown"}
            _check_literals(context, site.pointer, body, "task")


def _check_literals(context: Context, pointer: str, value: Json, part: str) -> None:
    judge = task if part else language
    followed = [one for one in REVISIONS if judge(one).validator.is_valid(value)]
    if not followed or literals(followed[0], part).validator.is_valid(value):
        return
    for place in _expression_pointers(literals(followed[0], part).validator, value):
        text = look_up(value, place)
        advice = _ADVICE.get(place.rpartition("/")[2], "")
        message = f"no expression is evaluated here: {quoted(text)} would be taken as it stands"
        if advice:
            message += f"; {advice}"
        context.error(pointer + place, message, explains=pointer + place)


def _expression_pointers(validator: jsonschema_rs.Validator, value: Json) -> Iterator[str]:
    for error in validator.iter_errors(value):
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Not):
            yield "".join(f"/{escape(str(token))}" for token in error.instance_path)
