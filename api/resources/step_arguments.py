"""The arguments of a step's call for display: evaluated, with secrets masked.

A step stores arguments that use secrets unevaluated (``deferred``). They are evaluated here
without secrets, and an expression that uses one becomes `MASK`. A call's authentication is masked
too, since a document may contain a password as plain text.
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

#: Most seconds for all evaluations of one answer; the remaining expressions are shown as text.
LONGEST = 1.0

#: A user and password in a URL.
_USER = re.compile(r"(//)[^/?#@]*@")
_HIDDEN_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token"}
)


class Arguments:
    """Evaluates the arguments of the steps of one answer."""

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate
        self._until = monotonic() + LONGEST

    def display(self, row: StepRow) -> Json:
        """Return ``{task, args, kwargs}`` of a Celery task, ``{call, with}`` of other calls, and
        None for a step without a call."""
        if row.call is None:
            return None
        call = json_codec.loads(row.call)
        arguments = self._evaluated(call)
        if call.get("kind") != "celery":
            return {"call": call.get("kind"), "with": _unauthorized(arguments)}
        if call.get("deferred"):
            arguments = arguments if call.get("explicit") else {"kwargs": arguments}
        args, kwargs = arguments.get("args") or [], arguments.get("kwargs") or {}
        return {"task": call.get("task"), "args": args, "kwargs": kwargs}

    def _evaluated(self, call: Mapping[str, Any]) -> Json:
        if not call.get("deferred"):
            return call if call.get("kind") == "celery" else call.get("with") or {}
        variables = call.get("variables") or {}
        return self._filled(call.get("with") or {}, call.get("input"), variables)

    def _filled(self, value: Json, input: Json, variables: Mapping[str, Json]) -> Json:
        if isinstance(value, dict):
            return {name: self._filled(item, input, variables) for name, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item, input, variables) for item in value]
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


def _unauthorized(arguments: Json) -> Json:
    """Return the arguments of a call with its authentication masked."""
    if not isinstance(arguments, Mapping):
        return arguments
    masked = {name: _member(name, value) for name, value in arguments.items()}
    if isinstance(masked.get("headers"), Mapping):
        masked["headers"] = {
            name: MASK if name.lower() in _HIDDEN_HEADERS else value
            for name, value in masked["headers"].items()
        }
    return masked


def _member(name: str, value: Json) -> Json:
    if name == "authentication":
        return value if isinstance(value, Mapping) and value.keys() == {"use"} else MASK
    if name in ("endpoint", "uri", "document") and isinstance(value, str):
        return _USER.sub(rf"\1{MASK}@", value)
    return _unauthorized(value) if name in ("endpoint", "document") else value
