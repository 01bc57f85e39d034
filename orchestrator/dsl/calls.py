"""Calls of services: HTTP, OpenAPI, gRPC, AsyncAPI, A2A, MCP, and functions of catalogs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from orchestrator.dsl.document_task import Task, task
from orchestrator.dsl.expression import Expression
from orchestrator.dsl.values import Duration, data, duration, given

Json = Any
Text = str | Expression
Endpoint = Text | Mapping[str, Json]
"""A URI, a URI template (``https://example.com/{id}``), or `endpoint(...)`."""
Output = Literal["raw", "content", "response"]
Values = Mapping[str, object] | Expression


def endpoint(uri: Text, authentication: Mapping[str, Json] | None = None) -> dict[str, Json]:
    """Return an endpoint with its authentication."""
    return given(uri=uri, authentication=authentication)


def resource(at: Endpoint, name: str | None = None) -> dict[str, Json]:
    """Return an external resource, such as a schema or a script."""
    return given(name=name, endpoint=at)


def call_http(
    method: Text,
    at: Endpoint,
    *,
    headers: Values | None = None,
    body: object = None,
    query: Values | None = None,
    output: Output | None = None,
    redirect: bool | None = None,
) -> Task:
    """Return a step that makes an HTTP request."""
    sent = given(headers=headers, body=body, query=query)
    more = given(output=output, redirect=redirect)
    return _task("http", {"method": method, "endpoint": at, **sent, **more})


def call_openapi(
    document: Endpoint | Mapping[str, Json],
    operation: Text,
    *,
    parameters: Values | None = None,
    authentication: Mapping[str, Json] | None = None,
    output: Output | None = None,
    redirect: bool | None = None,
) -> Task:
    """Return a step that calls an operation of an OpenAPI document."""
    more = given(parameters=parameters, authentication=authentication)
    more |= given(output=output, redirect=redirect)
    return _task("openapi", {"document": _resource(document), "operationId": operation, **more})


def call_grpc(
    proto: Endpoint | Mapping[str, Json],
    service: Mapping[str, Json],
    method: Text,
    arguments: Values | None = None,
) -> Task:
    """Return a step that calls a gRPC method; `service` is ``{name, host, port?,
    authentication?}``."""
    more = given(arguments=arguments)
    return _task("grpc", {"proto": _resource(proto), "service": service, "method": method, **more})


def call_asyncapi(
    document: Endpoint | Mapping[str, Json],
    *,
    channel: Text | None = None,
    operation: Text | None = None,
    server: Mapping[str, Json] | None = None,
    protocol: str | None = None,
    message: Mapping[str, Json] | None = None,
    subscription: Mapping[str, Json] | None = None,
    authentication: Mapping[str, Json] | None = None,
) -> Task:
    """Return a step that publishes a `message`, or consumes those of a `subscription`."""
    where = given(channel=channel, operation=operation, server=server, protocol=protocol)
    what = given(message=message, subscription=subscription)
    more = given(authentication=authentication)
    return _task("asyncapi", {"document": _resource(document), **where, **what, **more})


def call_a2a(
    method: str,
    *,
    agent_card: Endpoint | Mapping[str, Json] | None = None,
    server: Endpoint | None = None,
    parameters: Values | None = None,
) -> Task:
    """Return a step that calls an agent by A2A."""
    card = None if agent_card is None else _resource(agent_card)
    more = given(agentCard=card, server=server, parameters=parameters)
    return _task("a2a", {"method": method, **more})


def call_mcp(
    method: str,
    transport: Mapping[str, Json],
    *,
    parameters: Values | None = None,
    protocol_version: Text | None = None,
    timeout: Duration | None = None,
    client: Mapping[str, Json] | None = None,
) -> Task:
    """Return a step that calls an MCP server; `transport` is ``{"http": ...}`` or ``{"stdio":
    ...}``."""
    limit = None if timeout is None else duration(timeout)
    more = given(parameters=parameters, protocolVersion=protocol_version)
    more |= given(timeout=limit, client=client)
    return _task("mcp", {"method": method, "transport": transport, **more})


def call_function(name: str, /, **arguments: object) -> Task:
    """Return a step that calls a function of `use`, or of a catalog: ``name:1.0.0@catalog``."""
    word = name.partition("@")[0].partition(":")[0]
    return task(word, call=name, **({"with": data(arguments)} if arguments else {}))


def _task(kind: str, arguments: dict[str, Json]) -> Task:
    return task(kind, call=kind, **{"with": data(arguments)})


def _resource(document: Endpoint | Mapping[str, Json]) -> Json:
    """Return a resource; a bare URI becomes one."""
    if isinstance(document, Mapping) and "endpoint" in document:
        return dict(document)
    return {"endpoint": document}
