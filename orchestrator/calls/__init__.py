"""What a step can call besides Celery tasks: one module a kind.

    perform({"kind": "http", "with": {"method": "get", "endpoint": "https://example.com"}}, context)

A kind's module has one function, `perform(arguments, context) -> output`. Its arguments are
the task's `with`, evaluated: by the core, or here, after the claim, where they use secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.calls import call_errors, http, openapi
from orchestrator.calls.authentication import structured
from orchestrator.calls.call_context import CallContext
from orchestrator.core.document_arguments import authored
from orchestrator.errors import WorkflowError

Json = Any
Perform = Callable[[Mapping[str, Json], CallContext], Json]

KINDS: Mapping[str, Perform] = {
    "http": http.perform,
    "openapi": openapi.perform,
}
"""The kinds of calls that can be carried out, by their names in the DSL."""


def perform(call: Mapping[str, Json], context: CallContext) -> Json:
    """Carry out a step's call and return its output.

    `call` is `{"kind": ..., "with": {...}}`, with `"deferred": true`, `"input"` and
    `"variables"` where `with` is not yet evaluated. Secrets that were used are masked in the
    output and in errors. Raises `WorkflowError` with the DSL's error, or
    `EvaluatorUnavailable` (try again).
    """
    kind = KINDS.get(str(call.get("kind")))
    if kind is None:
        raise call_errors.configuration(f"calls of kind {call.get('kind')!r} are not supported")
    if call.get("deferred"):
        context = deferred(call, context)
    try:
        arguments = call.get("with") or {}
        if call.get("deferred"):
            arguments = structured(authored, arguments, context)
        return context.secrets.mask(kind(arguments, context))
    except WorkflowError as error:
        raise context.secrets.mask_error(error) from error


def deferred(call: Mapping[str, Json], context: CallContext) -> CallContext:
    """The context of a call that stands unevaluated: the input and the variables that were
    kept with it. Its `fill` evaluates what the call holds."""
    variables = {**context.variables, **(call.get("variables") or {})}
    given, stored = call.get("input"), call.get("with")
    found = replace(context, input=given, variables=variables, stored=stored)
    # One call, one list of the secrets that it has used: whoever has the first context masks
    # what was used through the second.
    vars(found)["secrets"] = context.secrets
    return found


__all__ = ["KINDS", "CallContext", "deferred", "perform"]
