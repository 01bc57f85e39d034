# ruff: noqa: E501  (a table's row is a line)
"""Writes docs/interfaces/api.md from the API's own description, and the client's operations:
``python -m tests.support.api_page``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs

from tests.support.api import METHODS, Api
from tests.support.api_examples import ID, NAMED, OPEN, Examples

PAGE = Path(__file__).parents[2] / "docs" / "interfaces" / "api.md"
PROBLEM = "application/problem+json"

HEAD = """# The API

Everything is under `/v1` and JSON. This page is written from the description that the API gives
of itself, OpenAPI 3.1 at `/openapi.json`, which `/docs` renders; run
`python -m tests.support.api_page` after a change, a test compares. The examples are made from the
schemas, and fit them.

## For all of it

| | |
|---|---|
| **Keys** | `Authorization: Bearer prefix.secret`; roles viewer, operator, admin, each for some namespaces. On loopback without keys everybody is admin |
| **Errors** | `application/problem+json` (RFC 9457): `{type, title, status, detail?, instance, trace_id, errors?[]}`; `type` is stable. Another namespace's object is a 404 |
| **Idempotency** | `Idempotency-Key` on any POST: the first answer comes again, marked `Idempotency-Replayed: true`; another body under the key is a 422, one still in flight a 409 |
| **Pages** | `{items, next}`; `?cursor=<next>` goes on, `?limit=` is 50 and at most 1,000. Lists are read by index: a page deep in millions of rows costs what the first does |
| **Waiting** | `Prefer: wait=N` on a start and `?wait=N` on an instance hold the answer for up to 60 s |
| **Changes** | `If-Match: <ETag>` on commands, and on changes of schedules and subscriptions: 412 if what the tag is of has changed since. `If-None-Match` on an instance: 304 if it has not |
| **Too much** | 413 a body over `ORCHESTRATOR_MAX_PAYLOAD`, 429 with `Retry-After` too many requests |
| **Tracing** | a `traceparent` is taken up; `X-Request-Id` is on every answer and in the logs |

Any request may be answered with one of these problems, which are not repeated below:
"""


def page() -> str:
    """The whole page."""
    api = Api.on("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1/0")
    try:
        return "\n".join(_page(api.description.spec)).rstrip() + "\n"
    finally:
        api.close()


def _page(spec: dict[str, Any]) -> Iterator[str]:
    operations = list(operations_of(spec))
    common = set.intersection(*(set(_problems(each)) for _, _, each in operations))
    yield HEAD + "`" + "` `".join(sorted(common)) + "`\n"
    examples = Examples(spec, lambda schema, value: fits(spec, schema, value))
    for tag in spec["tags"]:
        yield f"## {tag['name'].capitalize()}\n\n{tag.get('description', '')}\n"
        for path, method, operation in operations:
            if tag["name"] in operation["tags"]:
                yield from _operation(path, method, operation, common, examples)


def operations_of(spec: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation: path, method, description with the path's parameters."""
    for path, described in spec["paths"].items():
        for method in METHODS:
            if method in described:
                shared = described.get("parameters", [])
                own = described[method].get("parameters", [])
                yield path, method, {**described[method], "parameters": [*shared, *own]}


def _problems(operation: dict[str, Any]) -> list[str]:
    return [
        status
        for status, answer in operation["responses"].items()
        if PROBLEM in answer.get("content", {})
    ]


def _operation(
    path: str, method: str, operation: dict[str, Any], common: set[str], examples: Examples
) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`\n\n{operation['summary']}.\n"
    if operation.get("description"):
        yield operation["description"].strip() + "\n"
    queries = [each for each in operation["parameters"] if each["in"] == "query"]
    if queries:
        yield "| parameter | |\n|---|---|"
        yield from (f"| `{each['name']}` | {_told(each)} |" for each in queries)
        yield ""
    body = body_of(operation)
    sent = None if body is None else OPEN.get(path) or examples.of(body)
    yield "```console"
    yield _request(path, method, sent)
    yield "```\n"
    for status, answer in sorted(operation["responses"].items()):
        if PROBLEM not in answer.get("content", {}):
            yield from _answer(status, answer, examples)
    more = sorted(set(_problems(operation)) - common)
    if more:
        yield "Its own problems: `" + "` `".join(more) + "`\n"


def body_of(operation: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of a body in JSON, where the operation takes one."""
    content = operation.get("requestBody", {}).get("content", {})
    found: dict[str, Any] | None = content.get("application/json", {}).get("schema")
    return found


def _told(parameter: dict[str, Any]) -> str:
    schema = parameter.get("schema", {})
    said = [parameter.get("description", ""), *(["required"] if parameter.get("required") else [])]
    if "enum" in schema:
        said.append(" ".join(f"`{each}`" for each in schema["enum"]))
    if schema.get("default") not in (None, [], ()):
        said.append(f"default `{schema['default']}`")
    limits = [str(schema[name]) for name in ("minimum", "maximum") if name in schema]
    if len(limits) == 2:
        said.append(f"{limits[0]} to {limits[1]}")
    return "; ".join(each for each in said if each).replace("|", "\\|")


def _request(path: str, method: str, sent: Any) -> str:
    shown = path
    for part in path.split("/"):
        if part.startswith("{"):
            name = part.strip("{}")
            shown = shown.replace(part, str(NAMED.get(name, "4" if name == "step" else ID)))
    words = ["curl"] if method == "get" else ["curl", "-X", method.upper()]
    words.append(f"$ORCHESTRATOR_API_URL{shown}")
    if sent is not None:
        text = json.dumps(sent, indent=2, ensure_ascii=False).replace("'", "'\\''")
        words += ["--json", f"'{text}'"]
    return "$ " + " ".join(words)


def _answer(status: str, answer: dict[str, Any], examples: Examples) -> Iterator[str]:
    headers = ", ".join(
        f"`{name}`: {told['description']}" for name, told in answer.get("headers", {}).items()
    )
    yield f"**{status}** {answer['description']}{f' ({headers})' if headers else ''}\n"
    for media_type, content in answer.get("content", {}).items():
        if media_type == "application/json" and "schema" in content:
            shown = json.dumps(examples.of(content["schema"]), indent=2, ensure_ascii=False)
            yield f"```json\n{shown}\n```\n"
        elif media_type != "application/json":
            yield f"or as `{media_type}`\n"


def fits(spec: dict[str, Any], schema: dict[str, Any], value: Any) -> bool:
    """Whether a value fits a schema of the description."""
    whole = schema
    if '"$ref"' in json.dumps(schema):  # to compile them all takes its time
        whole = {**schema, "components": spec["components"]}
    return bool(jsonschema_rs.Draft202012Validator(whole, validate_formats=True).is_valid(value))


if __name__ == "__main__":
    from tests.support import client_twin

    PAGE.write_text(page(), encoding="utf-8")
    client_twin.write()  # the client has every operation of the API too
