"""The names that `call` accepts, and the arguments of each kind (dsl-reference.md, Call)."""

from __future__ import annotations

from orchestrator.document.dsl_schema.schema_builders import (
    ANY_TEMPLATE,
    BOOLEAN,
    INTEGER,
    LIST_OF_TEMPLATES,
    MAPPING_OF_TEMPLATES,
    TEMPLATE,
    TEMPLATES,
    Revision,
    Schema,
    by_type,
    exactly_one,
    mapping,
    matching,
    one_of,
    open_mapping,
    ref,
)

_OUTPUT = one_of("raw", "content", "response")
_HOST = r"^[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,61}[a-zA-Z0-9])?$"
_PROTOCOLS = (
    "amqp", "amqp1", "anypointmq", "googlepubsub", "http", "ibmmq", "jms", "kafka", "mercure",
    "mqtt", "mqtt5", "nats", "pulsar", "redis", "sns", "solace", "sqs", "stomp", "ws",
)  # fmt: skip
_A2A_METHODS = (
    "message/send", "message/stream", "tasks/get", "tasks/list", "tasks/cancel",
    "tasks/resubscribe", "tasks/pushNotificationConfig/set", "tasks/pushNotificationConfig/get",
    "tasks/pushNotificationConfig/list", "tasks/pushNotificationConfig/delete",
    "agent/getAuthenticatedExtendedCard",
)  # fmt: skip
_MCP_METHODS = (
    "tools/list", "tools/call", "prompts/list", "prompts/get", "resources/list",
    "resources/read", "resources/templates/list",
)  # fmt: skip


def arguments(revision: Revision) -> dict[str, Schema]:
    """Return the schema of `with` for each built-in kind of call."""
    return {
        "http": _http(),
        "openapi": _openapi(),
        "grpc": _grpc(),
        "asyncapi": _asyncapi(),
        "a2a": _a2a(),
        "mcp": _mcp(revision),
    }


def definitions() -> dict[str, Schema]:
    """Return the schemas that several kinds of arguments share, as `$defs`."""
    message = mapping({"payload": TEMPLATES, "headers": TEMPLATES})
    consume = {
        "for": ref("duration"),
        "amount": INTEGER,
        "while": ref("expression"),
        "until": ref("expression"),
    }
    subscription = {
        "filter": ref("expression"),
        "consume": mapping(consume, **exactly_one("amount", "while", "until")),
        "foreach": ref("iterator"),
    }
    return {
        "strings-or-expression": by_type(string=ref("expression"), object=MAPPING_OF_TEMPLATES),
        "asyncapi-message": message,
        "asyncapi-subscription": mapping(subscription, ["consume"]),
    }


def _http() -> Schema:
    keys = {
        "method": TEMPLATE,
        "endpoint": ref("endpoint"),
        "headers": ref("strings-or-expression"),
        "body": ANY_TEMPLATE,
        "query": ref("strings-or-expression"),
        "output": _OUTPUT,
        "redirect": BOOLEAN,
    }
    return mapping(keys, ["method", "endpoint"])


def _openapi() -> Schema:
    keys = {
        "document": ref("resource"),
        "operationId": TEMPLATE,
        "parameters": TEMPLATES,
        "authentication": ref("authentication-or-name"),
        "output": _OUTPUT,
        "redirect": BOOLEAN,
    }
    return mapping(keys, ["document", "operationId"])


def _grpc() -> Schema:
    service = {
        "name": TEMPLATE,
        "host": matching(_HOST, "a host name"),
        "port": {"type": "integer", "minimum": 0, "maximum": 65535},
        "authentication": ref("authentication-or-name"),
    }
    keys = {
        "proto": ref("resource"),
        "service": mapping(service, ["name", "host"]),
        "method": TEMPLATE,
        "arguments": TEMPLATES,
    }
    return mapping(keys, ["proto", "service", "method"])


def _asyncapi() -> Schema:
    keys = {
        "document": ref("resource"),
        "channel": TEMPLATE,
        "operation": TEMPLATE,
        "server": mapping({"name": TEMPLATE, "variables": TEMPLATES}, ["name"]),
        "protocol": one_of(*_PROTOCOLS),
        "message": ref("asyncapi-message"),
        "subscription": ref("asyncapi-subscription"),
        "authentication": ref("authentication-or-name"),
    }
    choices = [exactly_one("operation", "channel"), exactly_one("message", "subscription")]
    return mapping(keys, ["document"], allOf=choices)


def _a2a() -> Schema:
    keys = {
        "agentCard": ref("resource"),
        "server": ref("endpoint"),
        "method": one_of(*_A2A_METHODS),
        "parameters": by_type(string=TEMPLATE, object={**TEMPLATES, "minProperties": 1}),
    }
    return mapping(keys, ["method"])


def _mcp(revision: Revision) -> Schema:
    # The January revision of the official schema requires `version` of an MCP client, but defines a
    # property `description` instead. So both revisions require `version` here, but January's
    # describes `description`.
    described_by = "version" if revision is Revision.JULY else "description"
    keys = {
        "protocolVersion": TEMPLATE,
        "method": one_of(*_MCP_METHODS),
        "parameters": {"type": ["string", "object"], "text": "template"},
        "timeout": ref("duration"),
        "transport": _mcp_transport(),
        "client": open_mapping({"name": TEMPLATE, described_by: TEMPLATE}, ["name", "version"]),
    }
    return open_mapping(keys, ["method", "transport"])


def _mcp_transport() -> Schema:
    http = {"endpoint": ref("endpoint"), "headers": MAPPING_OF_TEMPLATES}
    stdio = {
        "command": TEMPLATE,
        "arguments": LIST_OF_TEMPLATES,
        "environment": MAPPING_OF_TEMPLATES,
    }
    keys = {
        "http": open_mapping(http, ["endpoint"]),
        "stdio": open_mapping(stdio, ["command"]),
        "options": MAPPING_OF_TEMPLATES,
    }
    return {**open_mapping(keys), **exactly_one("http", "stdio")}
