"""The arguments of a step's call as people may see them: evaluated, without secrets.

Arguments that use secrets stand unevaluated in the step (``deferred``). They are evaluated here
without any secret, so none can be shown: an expression that names one becomes `MASK`. How a call
is authorized is masked too, for a document may hold a password as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestrator import json_codec
from orchestrator.calls.call_secrets import MASK
from orchestrator.clock import monotonic
from orchestrator.core.expression_template import Expression
from orchestrator.core.expression_variables import SECRETS
from orchestrator.database.instances.step_queries import StepRow
from orchestrator.expressions import (
    Evaluate,
    EvaluatorUnavailable,
    ExpressionError,
    is_expression,
)

Json = Any

#: Seconds that the evaluations of one answer may take together; what is left shows as text.
LONGEST = 1.0

#: A user and password in an address.
_USER = re.compile(r"(//)[^/?#@]*@")
_HIDDEN_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token"}
)


class Arguments:
    """Shows the arguments of one answer's steps."""

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate
        self._until = monotonic() + LONGEST

    def shown(self, row: StepRow) -> Json:
        """``{task, args, kwargs}`` of a Celery task, ``{call, with}`` of other calls; None of a
        step that calls nothing."""
        if row.call is None:
            return None
        call = json_codec.loads(row.call)
        given = self._given(call)
        if call.get("kind") != "celery":
            return {"call": call.get("kind"), "with": _unauthorized(given)}
        if call.get("deferred"):
            given = given if call.get("explicit") else {"kwargs": given}
        args, kwargs = given.get("args") or [], given.get("kwargs") or {}
        return {"task": call.get("task"), "args": args, "kwargs": kwargs}

    def _given(self, call: Mapping[str, Any]) -> Json:
        if not call.get("deferred"):
            return call if call.get("kind") == "celery" else call.get("with") or {}
        variables = call.get("variables") or {}
        return self._filled(call.get("with") or {}, call.get("input"), variables)

    def _filled(self, value: Json, input: Json, variables: Mapping[str, Json]) -> Json:
        if isinstance(value, dict):
            return {name: self._filled(each, input, variables) for name, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each, input, variables) for each in value]
        if not isinstance(value, str) or not is_expression(value):
            return value
        expression = Expression(value)
        if not set(SECRETS).isdisjoint(expression.names):
            return MASK
        if monotonic() > self._until:
            return value
        try:
            return self._evaluate(expression.program, input, variables)
        except (ExpressionError, EvaluatorUnavailable):
            return value


def _unauthorized(given: Json) -> Json:
    """The arguments of a call without how it is authorized."""
    if not isinstance(given, Mapping):
        return given
    shown = {name: _member(name, value) for name, value in given.items()}
    if isinstance(shown.get("headers"), Mapping):
        shown["headers"] = {
            name: MASK if name.lower() in _HIDDEN_HEADERS else value
            for name, value in shown["headers"].items()
        }
    return shown


def _member(name: str, value: Json) -> Json:
    if name == "authentication":
        return value if isinstance(value, Mapping) and value.keys() == {"use"} else MASK
    if name in ("endpoint", "uri", "document") and isinstance(value, str):
        return _USER.sub(rf"\1{MASK}@", value)
    return _unauthorized(value) if name in ("endpoint", "document") else value
