"""The calls and processes of a step that are not Celery tasks, one module per kind.

    perform({"kind": "http", "with": {"method": "get", "endpoint": "https://example.com"}}, context)

The module of a kind has one function, `perform(arguments, context) -> output`. The arguments are
the task's `with`. The core evaluates it, or `perform` does after the claim if it uses secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.calls import call_errors, http, openapi, script, shell
from orchestrator.calls.authentication import evaluate_structured
from orchestrator.calls.call_context import CallContext
from orchestrator.core.document_arguments import in_authored_structure
from orchestrator.errors import WorkflowError

Json = Any
Perform = Callable[[Mapping[str, Json], CallContext], Json]

KINDS: Mapping[str, Perform] = {
    "http": http.perform,
    "openapi": openapi.perform,
    "shell": shell.perform,
    "script": script.perform,
}
"""The supported kinds of calls and processes, by their names in the DSL."""


def perform(call: Mapping[str, Json], context: CallContext) -> Json:
    """Perform a step's call and return its output.

    `call` is `{"kind": ..., "with": {...}}`, with `"constant"` for the arguments that are never
    evaluated, and with `"deferred": true`, `"input"` and `"variables"`
    if `with` is not evaluated yet. Used secrets are masked in the output and in errors. Raises
    `WorkflowError` with the DSL's error, or `EvaluatorUnavailable` (try again).
    """
    kind = KINDS.get(str(call.get("kind")))
    if kind is None:
        raise call_errors.configuration(f"calls of kind {call.get('kind')!r} are not supported")
    if call.get("deferred"):
        context = deferred_call_context(call, context)
    try:
        arguments = call.get("with") or {}
        if call.get("deferred"):
            arguments = evaluate_structured(in_authored_structure, arguments, context)
        arguments = {**arguments, **(call.get("constant") or {})}
        return context.secrets.mask(kind(arguments, context))
    except WorkflowError as error:
        raise context.secrets.mask_error(error) from error


def deferred_call_context(call: Mapping[str, Json], context: CallContext) -> CallContext:
    """Return the context of an unevaluated call, with the input and variables that are stored with
    it. Its `fill` evaluates the parts of the call."""
    variables = {**context.variables, **(call.get("variables") or {})}
    task_input, stored = call.get("input"), call.get("with")
    evaluating = replace(context, input=task_input, variables=variables, stored=stored)
    # Let both contexts share one record of the secrets that were used. The caller masks secrets by
    # the first context's record, which must therefore contain the secrets that this second context
    # uses.
    vars(evaluating)["secrets"] = context.secrets
    return evaluating


__all__ = ["KINDS", "CallContext", "deferred_call_context", "perform"]
