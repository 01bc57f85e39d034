"""Check that HTTP can carry the endpoints, methods and headers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from orchestrator.document.checks.check_context import Context
from orchestrator.document.message_text import quoted
from orchestrator.document.model import escape
from orchestrator.document.task_sites import TaskSite
from orchestrator.expressions import is_expression

Json = Any

#: A method or the name of a header (RFC 9110, 5.6.2).
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_HOST = re.compile(r"https?:(?!//[^/?#])", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")

#: A variable of a URI template. Another check covers `${ ... }` within a text.
_VARIABLE = re.compile(r"(?<!\$)\{([^{}]*)\}")
_OPERATORS = re.compile(r"^[+#./;?&=,!@|]|[*,]|:\d+$")
ONLY_NAMES = (
    "the language has no operators in URI templates, only '{name}'; an expression like"
    " '${ \"https://example.com/\" + .path }' makes any URL"
)

#: Keys whose value is an endpoint, and keys of resources that contain one.
_ENDPOINTS = ("endpoint", "server")
_RESOURCES = ("document", "proto", "agentCard", "source", "resource", "schema", "script")
_RESOURCES_OF_TRANSPORT = ("transport", "http")


def check(context: Context) -> None:
    """Check that endpoints are absolute and that no header adds a line to a request."""
    for site in context.sites:
        body, pointer = site.body, site.pointer
        if site.kind == "call" and body["call"] == "http":
            _check_request(context, body["with"], f"{pointer}/with")
        for place, endpoint in _endpoints_of(site):
            _check_endpoint(context, place, endpoint)
    for part in ("input", "output"):
        for place, endpoint in _endpoints(context.document.get(part), f"/{part}"):
            _check_endpoint(context, place, endpoint)
    for name, catalog in context.used("catalogs").items():
        place = f"/use/catalogs/{escape(name)}/endpoint"
        _check_endpoint(context, place, catalog["endpoint"])


def has_operator(variable: str) -> bool:
    """Whether a variable of a URI template has an operator or a modifier of RFC 6570 (`+path`,
    `?q`, `a,b`, `a*`, `a:3`) besides a property's name."""
    return _OPERATORS.search(variable) is not None


def _endpoints_of(site: TaskSite) -> Iterator[tuple[str, Json]]:
    if site.kind == "call" and site.body["call"] in _WITH_ENDPOINTS:
        yield from _endpoints(site.body.get("with"), f"{site.pointer}/with")
    elif site.kind == "run" and "script" in site.body["run"]:
        yield from _endpoints(site.body["run"]["script"], f"{site.pointer}/run/script")
    for part in ("input", "output", "export"):
        if part in site.body:
            yield from _endpoints(site.body[part], f"{site.pointer}/{part}")


_WITH_ENDPOINTS = ("http", "openapi", "grpc", "asyncapi", "a2a", "mcp")


def _endpoints(value: Json, pointer: str) -> Iterator[tuple[str, Json]]:
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        place = f"{pointer}/{escape(key)}"
        if key in _ENDPOINTS:
            yield place, inner
        elif key in _RESOURCES or key in _RESOURCES_OF_TRANSPORT:
            yield from _endpoints(inner, place)


def _check_endpoint(context: Context, pointer: str, endpoint: Json) -> None:
    if isinstance(endpoint, dict):
        pointer, endpoint = f"{pointer}/uri", endpoint.get("uri")
    if not isinstance(endpoint, str) or is_expression(endpoint):
        return
    if _CONTROL.search(endpoint) or " " in endpoint.strip():
        context.error(pointer, f"{quoted(endpoint)} is no URI: it has spaces or control characters")
    elif operators := [one for one in _VARIABLE.findall(endpoint) if has_operator(one)]:
        context.error(pointer, f"{quoted(f'{{{operators[0]}}}')}: {ONLY_NAMES}")
    elif _SCHEME.match(endpoint) is None and "{" not in endpoint.partition("/")[0]:
        # Report a text without a scheme, unless a variable of a URI template stands before its
        # first slash: that variable may contain the scheme and the host.
        context.error(pointer, f"{quoted(endpoint)} is no absolute URI, like 'https://example.com'")
    elif _NO_HOST.match(endpoint):
        context.warn(pointer, f"{quoted(endpoint)} names no host; this call will fault")


def _check_request(context: Context, arguments: dict[str, Json], pointer: str) -> None:
    method = arguments["method"]
    if not is_expression(method) and _TOKEN.fullmatch(method) is None:
        context.error(f"{pointer}/method", f"{quoted(method)} is no HTTP method")
    headers = arguments.get("headers")
    if not isinstance(headers, dict):
        return
    for name, value in headers.items():
        place = f"{pointer}/headers/{escape(name)}"
        if _TOKEN.fullmatch(name) is None:
            context.error(place, f"{quoted(name)} is no name of a header", at_key=True)
        elif not is_expression(value) and _CONTROL.search(value.replace("\t", " ")):
            context.error(place, "the header has a line break or a control character in it")
