"""`call: openapi` (dsl-reference.md, OpenAPI Call): an operation by its id, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.calls import call_errors, openapi_document
from orchestrator.calls.authentication import credentials_of
from orchestrator.calls.call_context import CallContext
from orchestrator.calls.http import endpoint_of
from orchestrator.calls.http_exchange import (
    exchange,
    failure,
    is_success,
    output_of,
    translated_errors,
)
from orchestrator.calls.openapi_request import request_of

Json = Any


def perform(arguments: Mapping[str, Json], context: CallContext) -> Json:
    """Make the operation's request and return the part of its response that `output` selects.

    `arguments`: document (an external resource), operationId, parameters, authentication, output,
    redirect. Raises `WorkflowError`.
    """
    url, document = _document(arguments.get("document"), context)
    operation_id = arguments.get("operationId")
    if not isinstance(operation_id, str):
        raise call_errors.validation("the call has no operationId")
    operation = openapi_document.operation(document, operation_id, url)
    parameters = arguments.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise call_errors.validation("the parameters of a call must be an object")
    secret = context.secret_members("parameters", parameters)
    request = request_of(
        operation, parameters, redirect=arguments.get("redirect") is True, secret=secret
    )
    credentials = credentials_of(arguments.get("authentication"), context)
    response = exchange(request, credentials, context)
    return output_of(response, arguments.get("output"), request.method.lower())


def _document(resource: Json, context: CallContext) -> tuple[str, Mapping[str, Json]]:
    """Return the URL of the OpenAPI document, after redirections, and the document."""
    endpoint = resource.get("endpoint") if isinstance(resource, dict) else resource
    url, policy = endpoint_of(endpoint, context)
    credentials = credentials_of(policy, context)
    with translated_errors():
        response = context.outbound.fetch(
            url, headers=credentials.headers, auth=credentials.auth, timeout=context.timeout
        )
    if not is_success(response.status):
        raise failure(response, context)
    return response.url, openapi_document.read(response.content)
