"""Reads OpenAPI documents, Swagger 2.0 and OpenAPI 3.x, as far as a request needs them."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from orchestrator import json_codec
from orchestrator.calls import call_errors

Json = Any
Object = Mapping[str, Json]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_MAX_YAML = 4 * 1024 * 1024  # bytes; reading YAML takes a second a megabyte
_MAX_REFERENCES = 20  # in a row


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation in the terms of OpenAPI 3.

    `parameters`: parameter objects. `body`: media types with their schemas, the preferred one
    first; None if the operation has no body. `body_name` is the name of the body in Swagger 2.
    """

    id: str
    method: str
    url: str
    parameters: tuple[Object, ...]
    body: tuple[tuple[str, Object], ...] | None
    body_required: bool = False
    body_name: str = "body"


@lru_cache(maxsize=8)
def read(content: bytes) -> Object:
    """Read a document in JSON or YAML. Raises `WorkflowError` (configuration)."""
    try:
        plain = content.removeprefix(codecs.BOM_UTF8)
        document = json_codec.loads(plain) if plain.lstrip()[:1] == b"{" else _yaml(plain)
    except (json_codec.NotJson, YAMLError, ValueError, RecursionError) as error:
        raise call_errors.configuration(f"the OpenAPI document cannot be read: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise call_errors.configuration("the document is not of OpenAPI: it has no paths")
    version = str(document.get("swagger") or document.get("openapi") or "")
    if not version.startswith(("2.", "3.")):
        raise call_errors.configuration(f"OpenAPI {version or 'of no version'} is not supported")
    return document


def _yaml(content: bytes) -> Json:
    if len(content) > _MAX_YAML:
        raise ValueError(f"YAML of more than {_MAX_YAML} bytes")
    return YAML(typ="safe", pure=True).load(content)


def operation(document: Object, operation_id: str, source: str) -> Operation:
    """Return an operation by its id; `source` is the document's URL.

    Raises `WorkflowError` (configuration) if there is none.
    """
    for path, item, method, definition in _operations(document):
        if definition.get("operationId") == operation_id:
            parameters = _parameters(document, item, definition)
            if "swagger" in document:
                url = _swagger_base(document, definition, source) + path
                return _of_swagger(document, operation_id, method, url, definition, parameters)
            url = _server(document, item, definition, source) + path
            return _of_openapi(document, operation_id, method, url, definition, parameters)
    raise call_errors.configuration(f"the OpenAPI document has no operation {operation_id!r}")


def _operations(document: Object) -> Iterator[tuple[str, Object, str, Object]]:
    for path, item in document["paths"].items():
        resolved = resolve(document, item)
        for method in METHODS:
            if isinstance(resolved.get(method), dict):
                yield str(path), resolved, method, resolved[method]


def resolve(document: Object, value: Json) -> Object:
    """Follow `$ref`s within the document (RFC 6901). A value that is not an object becomes an empty
    object."""
    for _ in range(_MAX_REFERENCES):
        if not isinstance(value, dict):
            return {}
        reference = value.get("$ref")
        if not isinstance(reference, str):
            return value
        value = _value_at(document, reference)
    raise call_errors.configuration("the OpenAPI document refers in circles")


def _value_at(document: Object, reference: str) -> Json:
    if not reference.startswith("#/"):
        raise call_errors.configuration(f"the reference {reference!r} leaves the OpenAPI document")
    value: Json = document
    for part in unquote(reference[2:]).split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _parameters(document: Object, item: Object, definition: Object) -> tuple[Object, ...]:
    """Return the parameters of the operation and of its path; the operation's own win."""
    merged = {
        (parameter.get("in"), parameter.get("name")): parameter
        for holder in (item, definition)
        for parameter in (resolve(document, one) for one in holder.get("parameters") or ())
        if isinstance(parameter.get("name"), str)
    }
    return tuple(merged.values())


def _of_swagger(
    document: Object,
    operation_id: str,
    method: str,
    url: str,
    definition: Object,
    parameters: tuple[Object, ...],
) -> Operation:
    """Build an operation from Swagger 2, where a body is a parameter, and so is each field of a
    form."""
    bodies = [one for one in parameters if one["in"] == "body"]
    fields = [one for one in parameters if one["in"] == "formData"]
    consumed = definition.get("consumes") or document.get("consumes") or []
    body: tuple[tuple[str, Object], ...] | None = None
    if bodies:
        body = tuple((str(media), {}) for media in consumed or ["application/json"])
    elif fields:
        forms = [media for media in consumed if "form" in str(media)]
        schema = {"properties": {one["name"]: one for one in fields}}
        body = tuple((media, schema) for media in forms or ["application/x-www-form-urlencoded"])
    return Operation(
        id=operation_id,
        method=method,
        url=url,
        parameters=tuple(one for one in parameters if one["in"] not in ("body", "formData")),
        body=_preferred(body),
        body_required=any(one.get("required") is True for one in bodies),
        body_name=bodies[0]["name"] if bodies else "body",
    )


def _of_openapi(
    document: Object,
    operation_id: str,
    method: str,
    url: str,
    definition: Object,
    parameters: tuple[Object, ...],
) -> Operation:
    declared = resolve(document, definition.get("requestBody"))
    content = declared.get("content")
    body = None
    if isinstance(content, dict) and content:
        body = tuple(
            (str(media), resolve(document, resolve(document, one).get("schema")))
            for media, one in content.items()
        )
    return Operation(
        id=operation_id,
        method=method,
        url=url,
        parameters=parameters,
        body=_preferred(body),
        body_required=declared.get("required") is True,
    )


def _preferred(
    body: tuple[tuple[str, Object], ...] | None,
) -> tuple[tuple[str, Object], ...] | None:
    """Sort media types: JSON first, otherwise the document's order."""
    return None if body is None else tuple(sorted(body, key=lambda one: "json" not in one[0]))


def _swagger_base(document: Object, definition: Object, source: str) -> str:
    """Return scheme, host and base path. Missing parts come from the document's own URL."""
    own = urlsplit(source)
    schemes = definition.get("schemes") or document.get("schemes") or [own.scheme]
    scheme = next((one for one in (own.scheme, "https", "http") if one in schemes), own.scheme)
    host = document.get("host") or own.netloc
    return f"{scheme}://{host}{str(document.get('basePath') or '').rstrip('/')}"


def _server(document: Object, item: Object, definition: Object, source: str) -> str:
    """Return the URL of the first server of the operation, its path or the document, with default
    variables, resolved against the document's own URL."""
    for holder in (definition, item, document):
        servers = holder.get("servers")
        if isinstance(servers, list) and servers and isinstance(servers[0], dict):
            return urljoin(source, _server_url(servers[0])).rstrip("/")
    return urljoin(source, "/").rstrip("/")


def _server_url(server: Object) -> str:
    url = str(server.get("url") or "/")
    for name, variable in (server.get("variables") or {}).items():
        default = variable.get("default", "") if isinstance(variable, dict) else ""
        url = url.replace(f"{{{name}}}", str(default))
    return url
