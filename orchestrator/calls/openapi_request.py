"""Builds the request of an OpenAPI operation from a call's parameters.

A declared parameter goes to its path, query, header or cookie, in its style. The other parameters
make up the body if the operation has one: as its properties, or as a whole under the name `body`.
Without a body they are ignored.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from orchestrator import json_codec
from orchestrator.calls import call_errors
from orchestrator.calls.http_exchange import Request, query_of
from orchestrator.calls.openapi_document import Object, Operation
from orchestrator.calls.uri_template import text_of

Json = Any
Pairs = list[tuple[str, str]]
_UNRESERVED = "-._~"
_STYLES = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}
_SEPARATORS = {"form": ",", "simple": ",", "spaceDelimited": " ", "pipeDelimited": "|"}
_COLLECTIONS = {"csv": ",", "ssv": " ", "tsv": "\t", "pipes": "|"}  # of Swagger 2


def request_of(
    operation: Operation,
    parameters: Mapping[str, Json],
    *,
    redirect: bool,
    secret: frozenset[str] = frozenset(),
) -> Request:
    """Return the request of an operation; `secret` names the parameters that were made with
    secrets.

    Raises `WorkflowError` (validation) for a missing parameter.
    """
    values = {**_defaults(operation), **parameters}
    _refuse_missing(operation, values)
    placed: dict[str, Pairs] = {"path": [], "query": [], "header": [], "cookie": []}
    for parameter in operation.parameters:
        name = parameter["name"]
        if values.get(name) is not None and parameter.get("in") in placed:
            placed[parameter["in"]] += _serialized(parameter, values[name])
    media, body = _body(operation, values)
    cookies = "; ".join(f"{name}={value}" for name, value in placed["cookie"])
    return Request(
        method=operation.method,
        uri=_url(operation.url, placed["path"]),
        headers=(
            *placed["header"],
            *([("Cookie", cookies)] if cookies else []),
            *([("Content-Type", media)] if media is not None else []),
        ),
        query=tuple(placed["query"]),
        body=body,
        redirect=redirect,
        secret_headers=secret,
        secret_body=bool(secret),
    )


def _defaults(operation: Operation) -> dict[str, Json]:
    """Return the defaults of required parameters. The server has its own defaults for the
    others."""
    defaults = {}
    for parameter in operation.parameters:
        schema = parameter.get("schema")
        holder = schema if isinstance(schema, dict) else parameter
        if parameter.get("required") is True and "default" in holder:
            defaults[parameter["name"]] = holder["default"]
    return defaults


def _refuse_missing(operation: Operation, values: Mapping[str, Json]) -> None:
    missing = [
        parameter["name"]
        for parameter in operation.parameters
        if parameter.get("required") is True and values.get(parameter["name"]) is None
    ]
    if missing:
        raise call_errors.validation(f"the operation {operation.id} needs {', '.join(missing)}")


def _url(url: str, path: Pairs) -> str:
    for name, value in path:
        url = url.replace(f"{{{name}}}", value)
    return url


def _serialized(parameter: Object, value: Json) -> Pairs:
    """Return a parameter's names and values in its style (OpenAPI 3, Style Values)."""
    name, place = parameter["name"], parameter["in"]
    if "content" in parameter:
        return [(name, _escape(place)(json_codec.dumps(value)))]
    if "collectionFormat" in parameter and isinstance(value, list):
        return _collection(name, place, parameter["collectionFormat"], value)
    style = parameter.get("style") or _STYLES[place]
    explode = parameter.get("explode", style == "form" and "type" not in parameter)
    if place == "path":
        return [(name, _in_path(name, value, style, explode is True))]
    if isinstance(value, dict) and style == "deepObject":
        return [(f"{name}[{key}]", text_of(item)) for key, item in value.items()]
    if isinstance(value, dict) and explode is True and place != "header":
        return [(str(key), text_of(item)) for key, item in value.items()]
    if isinstance(value, list) and explode is True and place != "header":
        return [(name, _scalar(item)) for item in value]
    return [(name, _as_one_text(value, _SEPARATORS.get(style, ","), explode is True))]


def _collection(name: str, place: str, form: str, value: list[Json]) -> Pairs:
    if form == "multi":
        return [(name, _scalar(item)) for item in value]
    escape = _escape(place)
    return [(name, _COLLECTIONS.get(form, ",").join(escape(_scalar(item)) for item in value))]


def _in_path(name: str, value: Json, style: str, explode: bool) -> str:
    escape = _escape("path")
    if style == "label":
        return "." + _as_one_text(value, "." if explode else ",", explode, escape)
    if style == "matrix":
        if isinstance(value, list) and explode:
            return "".join(f";{name}={escape(_scalar(item))}" for item in value)
        if isinstance(value, dict) and explode:
            return ";" + _as_one_text(value, ";", explode, escape)
        return f";{name}={_as_one_text(value, ',', explode, escape)}"
    return _as_one_text(value, ",", explode, escape)


def _as_one_text(
    value: Json, separator: str, explode: bool, escape: Callable[[str], str] = lambda text: text
) -> str:
    """Return a value as one text: `a,b`, `k,v,k,v` or, exploded, `k=v,k=v`."""
    if isinstance(value, list):
        return separator.join(escape(_scalar(item)) for item in value)
    if isinstance(value, dict):
        between = "=" if explode else separator
        parts = [
            f"{escape(str(key))}{between}{escape(_scalar(item))}" for key, item in value.items()
        ]
        return separator.join(parts)
    return escape(_scalar(value))


def _scalar(value: Json) -> str:
    return json_codec.dumps(value) if isinstance(value, dict | list) else text_of(value)


def _escape(place: str) -> Callable[[str], str]:
    """Return the escaping function of a location: percent-encoding in a path. The client encodes a
    query."""
    if place == "path":
        return lambda text: quote(text, safe=_UNRESERVED)
    return lambda text: text


def _body(operation: Operation, values: Mapping[str, Json]) -> tuple[str | None, bytes | None]:
    """Return the body's media type and bytes, from the parameters that the operation does not
    declare."""
    declared = {parameter["name"] for parameter in operation.parameters}
    rest = {name: value for name, value in values.items() if name not in declared}
    if operation.body is None:
        return None, None
    media, schema = operation.body[0]
    named = operation.body_name in rest and operation.body_name not in _properties(schema)
    value: Json = rest[operation.body_name] if named else rest
    if not named and not rest:
        if operation.body_required:
            raise call_errors.validation(f"the operation {operation.id} needs a body")
        return None, None
    return _encoded(media, value)


def _properties(schema: Object) -> Mapping[str, Json]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _encoded(media: str, value: Json) -> tuple[str, bytes]:
    if media.startswith("multipart/"):
        return _multipart(media, value)
    if media.startswith("application/x-www-form-urlencoded"):
        return media, urlencode(query_of(value)).encode()
    if isinstance(value, str) and "json" not in media:
        return media, value.encode()
    return media, json_codec.encode(value)


def _multipart(media: str, value: Json) -> tuple[str, bytes]:
    """Return a form of several parts (RFC 7578), fields only."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{quote(name)}"\r\n\r\n{text}\r\n'
        for name, text in query_of(value)
    ]
    kind = media.partition(";")[0]
    return f"{kind}; boundary={boundary}", f"{''.join(parts)}--{boundary}--\r\n".encode()
