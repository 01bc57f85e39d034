"""Code for every operation and schema of the API's description: see `client_twin`."""

from __future__ import annotations

import keyword
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from tests.support.api import METHODS

Spec = dict[str, Any]

#: Names of operations whose method and path do not say what they do.
NAMES = {
    ("post", "/v1/workflows"): "deploy_workflow",
    ("post", "/v1/instances"): "start_instances",
    ("post", "/v1/events"): "send_events",
    ("post", "/v1/instances/{id}/events"): "signal_instance",
    ("post", "/v1/instances/{id}/compensation"): "decide_instance_compensation",
    ("post", "/v1/secrets/-/rotate"): "rotate_secrets",
    ("get", "/v1/events/stream"): "stream_events",
    ("get", "/v1/feed"): "stream_feed",
    ("get", "/v1/instances/counts"): "count_instances",
    ("post", "/v1/instances/{id}/steps/{step}/retry-now"): "retry_instance_step_now",
}
_VERBS = {"get": "get", "post": "create", "put": "set", "patch": "change", "delete": "delete"}
_PARAMETER = re.compile(r"\{(\w+)\}")
_SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def operations(spec: Spec) -> Iterator[tuple[str, str, Spec]]:
    """Method, path and description of every operation."""
    for path, described in spec["paths"].items():
        for method in METHODS:
            if method in described:
                yield method, path, described[method]


def name_of(method: str, path: str, operation: Spec) -> str:
    """The name of an operation's method: `list_instances`, `suspend_instance`, `get_step`."""
    if (method, path) in NAMES:
        return NAMES[method, path]
    parts = path.removeprefix("/v1/").split("/")
    nouns = [
        _singular(part) if _is_parameter(parts, index + 1) else part
        for index, part in enumerate(parts)
        if not _PARAMETER.fullmatch(part)
    ]
    ends_in_noun = not _PARAMETER.fullmatch(parts[-1])
    if method == "post" and ends_in_noun and len(parts) > 1 and _PARAMETER.fullmatch(parts[-2]):
        return _identifier([nouns[-1], *nouns[:-1]])
    if method == "get" and ends_in_noun and _is_list(operation):
        return _identifier(["list", *nouns])
    if method == "post":
        nouns[-1] = _singular(nouns[-1])
    return _identifier([_VERBS[method], *nouns])


def _identifier(words: list[str]) -> str:
    return "_".join(words).replace("-", "_")


def _singular(noun: str) -> str:
    return noun.removesuffix("ies") + "y" if noun.endswith("ies") else noun.removesuffix("s")


def _is_parameter(parts: list[str], index: int) -> bool:
    return index < len(parts) and bool(_PARAMETER.fullmatch(parts[index]))


def _parameters(operation: Spec, place: str) -> list[Spec]:
    return [each for each in operation.get("parameters", ()) if each.get("in") == place]


def _is_list(operation: Spec) -> bool:
    return any(each["name"] == "cursor" for each in _parameters(operation, "query"))


# -- types -----------------------------------------------------------------------


def types_file(spec: Spec, command: str) -> str:
    """A `TypedDict` for every schema of an object, an alias for every other one."""
    schemas = spec["components"]["schemas"]
    lines = [
        '"""Bodies and answers of the API, as it describes them."""',
        f"# Written from the API's description by: {command}",
        "from __future__ import annotations",
        "from typing import Any, Literal, NotRequired, TypedDict",
        "Json = Any",
    ]
    for name, schema in sorted(schemas.items()):
        lines.append(_type(name, schema))
    return "\n\n".join(lines) + "\n"


def _type(name: str, schema: Spec) -> str:
    if schema.get("type") != "object" or not schema.get("properties"):
        return f"{name} = {annotation(schema, quote=True)}"
    required = set(schema.get("required", ()))
    members = {
        key: annotation(each) if key in required else f"NotRequired[{annotation(each)}]"
        for key, each in schema["properties"].items()
    }
    if any(not key.isidentifier() or keyword.iskeyword(key) for key in members):
        shown = ", ".join(f"{key!r}: {_quoted(kind)}" for key, kind in members.items())
        return f'{name} = TypedDict("{name}", {{{shown}}})'
    doc = _doc(f"``{name}`` of the API.", schema.get("description"), 4)
    lines = [f"class {name}(TypedDict):", doc, ""]
    return "\n".join([*lines, *(f"    {key}: {kind}" for key, kind in members.items())])


def _quoted(kind: str) -> str:
    return f'"{kind}"' if '"' not in kind else kind


def annotation(schema: Spec, *, quote: bool = False) -> str:
    """The annotation of a schema's values."""
    if "$ref" in schema:
        name = str(schema["$ref"].rpartition("/")[2])
        return f'"{name}"' if quote else name
    if "enum" in schema:
        return f"Literal[{', '.join(map(repr, schema['enum']))}]"
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return _union(annotation(each) for each in schema[word])
    kinds = schema.get("type", ())
    return _union(_of_kind(k, schema) for k in ([kinds] if isinstance(kinds, str) else kinds))


def _of_kind(kind: str, schema: Spec) -> str:
    if kind == "array":
        return f"list[{annotation(schema.get('items', {}))}]"
    if kind == "object":
        members = schema.get("additionalProperties")
        return f"dict[str, {annotation(members) if isinstance(members, dict) else 'Any'}]"
    return _SCALARS[kind]


def _union(kinds: Any) -> str:
    found = list(dict.fromkeys(kinds))
    return "Json" if not found or "Json" in found else " | ".join(found)


def _doc(first: str, more: str | None, indent: int) -> str:
    text = first if not more else f"{first}\n\n{_escaped(more)}"
    space = " " * indent
    lines: list[str] = []
    for paragraph in re.split(r"\n{2,}", text):
        lines += ["", *textwrap.wrap(paragraph, 96 - indent, break_on_hyphens=False)]
    del lines[0]
    if len(lines) == 1:
        return f'{space}"""{lines[0]}"""'
    body = "\n".join(f"{space}{line}".rstrip() for line in lines)
    return f'{space}"""{body.strip()}\n{space}"""'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").strip()


# -- operations --------------------------------------------------------------------


def operation_files(spec: Spec, command: str) -> Iterator[tuple[str, str]]:
    """A module for every tag of the API, and the class of all."""
    by_tag: dict[str, list[str]] = {}
    names: set[str] = set()
    for method, path, described in operations(spec):
        operation = Operation(spec, method, path, described)
        assert operation.name not in names, f"two operations are named {operation.name}: see NAMES"
        names.add(operation.name)
        by_tag.setdefault(operation.tag, []).append(operation.code())
    for tag, methods in by_tag.items():
        yield f"{tag}_operations.py", _module(tag, methods, command)
    yield "__init__.py", _package(list(by_tag), command)


class Operation:
    """One operation, and the code of its method."""

    def __init__(self, spec: Spec, method: str, path: str, described: Spec) -> None:
        self.schemas = spec["components"]["schemas"]
        self.method, self.path, self.described = method, path, described
        self.name = name_of(method, path, described)
        self.tag = re.sub(r"\W", "_", described["tags"][0])
        self.query = [each for each in self._parameters("query") if each["name"] != "cursor"]
        # With If-None-Match an answer may have no body, which a typed method can't return.
        self.headers = [e for e in self._parameters("header") if e["name"] != "If-None-Match"]
        self.body = described.get("requestBody")

    def _parameters(self, place: str) -> list[Spec]:
        return _parameters(self.described, place)

    def code(self) -> str:
        """The method."""
        answer = self._answer()
        if answer == "stream":
            return self._stream()
        if _is_list(self.described):
            return self._list()
        head = self._head(f"async def {self.name}", answer)
        call = f"{self.method.upper()!r}, {self._at()}, {', '.join(self._content())}"
        if answer == "None":
            return f"{head}        await self.transport.request({call})"
        read = f"        answer: {answer} = await self.transport.json({call})"
        return f"{head}{read}\n        return answer"

    def _list(self) -> str:
        item = self._item()
        head = self._head(f"def {self.name}", f"AsyncIterator[{item}]")
        pages = f"        pages: AsyncIterator[Any] = self.pages({self._at()}, {self._params()})"
        return f"{head}{pages}\n        return pages"

    def _stream(self) -> str:
        head = self._head(
            f"async def {self.name}", "AsyncIterator[tuple[str, Json]]", "after: str | None = None"
        )
        events = f"self.endless_stream({self._at()}, {self._params()}, after)"
        return (
            f"{head}        async with aclosing({events}) as events:\n"
            "            async for event in events:\n                yield event"
        )

    def _head(self, definition: str, answer: str, *more: str) -> str:
        arguments = ["self", *self._positional(), *self._named(more)]
        return f"    {definition}({', '.join(arguments)}) -> {answer}:\n{self._doc()}\n"

    def _doc(self) -> str:
        place = f"``{self.method.upper()} {self.path}``"
        more = "\n\n".join(filter(None, [self.described.get("description"), place]))
        return _doc(f"{_escaped(self.described['summary'])}.", more, 8)

    def _positional(self) -> list[str]:
        ids = [f"{each}: {'int' if each == 'step' else 'str'}" for each in self._ids()]
        if self.body is None:
            return ids
        kind = self._typed(next(iter(self.body["content"].values()))["schema"])
        return [
            *ids,
            f"body: {kind}" if self.body.get("required") else f"body: {kind} | None = None",
        ]

    def _ids(self) -> list[str]:
        return _PARAMETER.findall(self.path)

    def _named(self, more: tuple[str, ...]) -> list[str]:
        named = [_query_argument(each) for each in self.query]
        named += [f"{_python(each['name'])}: str | None = None" for each in self.headers]
        if self.query:
            named.append("more: Mapping[str, str] | None = None")
        named += more
        return ["*", *sorted(named, key=lambda each: "=" in each)] if named else []

    def _at(self) -> str:
        parts = self.path.removeprefix("/v1/").split("/")
        found = [(_PARAMETER.fullmatch(part), part) for part in parts]
        return f"path({', '.join(match[1] if match else repr(part) for match, part in found)})"

    def _params(self) -> str:
        shown = ", ".join(f"{each['name']!r}: {_python(each['name'])}" for each in self.query)
        return f"present({{{shown}, **(more or {{}})}})" if self.query else "None"

    def _content(self) -> Iterator[str]:
        if self.query:
            yield f"params={self._params()}"
        if self.body is not None:
            yield "json=body" if self.body.get("required") else "json=body or {}"
        if self.headers:
            given = ", ".join(f"{each['name']!r}: {_python(each['name'])}" for each in self.headers)
            yield f"headers=present({{{given}}})"
        if any(each["name"] == "wait" for each in self.query):
            yield "wait=wait or 0"

    def _answer(self) -> str:
        """The annotation of a good answer; ``None`` without a body, ``stream`` of events."""
        kinds: list[str] = []
        for schema in self._answers():
            if schema is None:
                return "stream"
            kinds += [self._typed(each) for each in schema.get("anyOf", [schema])]
        return _union(kinds) if kinds else "None"

    def _answers(self) -> Iterator[Spec | None]:
        for status, response in self.described["responses"].items():
            content = response.get("content", {})
            if not status.startswith("2") or not content:
                continue
            only_stream = set(content) == {"text/event-stream"}
            yield None if only_stream else content["application/json"]["schema"]

    def _item(self) -> str:
        """The annotation of the items of a list."""
        pages = [
            each for answer in self._answers() if answer for each in answer.get("anyOf", [answer])
        ]
        schemas = [self.schemas[page["$ref"].rpartition("/")[2]] for page in pages]
        return _union(self._typed(each["properties"]["items"]["items"]) for each in schemas)

    def _typed(self, schema: Spec) -> str:
        if "$ref" in schema:
            return f"t.{annotation(schema)}"
        if schema.get("type") == "array":
            return f"list[{self._typed(schema['items'])}]"
        if "oneOf" in schema:
            return _union(self._typed(each) for each in schema["oneOf"])
        return annotation(schema)


def _python(name: str) -> str:
    word = re.sub(r"\W", "_", name).lower()
    return f"{word}_" if keyword.iskeyword(word) else word


def _query_argument(parameter: Spec) -> str:
    kind = annotation(parameter.get("schema", {}))
    kind = "str" if kind.startswith("list") else kind
    name = _python(parameter["name"])
    return f"{name}: {kind}" if parameter.get("required") else f"{name}: {kind} | None = None"


def _class(tag: str) -> str:
    return f"Async{''.join(word.capitalize() for word in tag.split('_'))}Operations"


def _module(tag: str, methods: list[str], command: str) -> str:
    body = "\n\n".join(methods)
    words = tag.replace("_", " ")
    return f'''"""Operations of the API: {words}."""

# Written from the API's description by: {command}

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Literal

from orchestrator.client import api_types as t
from orchestrator.client.asynchronous.resource_base import AsyncResources
from orchestrator.client.exchange import present
from orchestrator.client.url_paths import path

Json = Any


class {_class(tag)}(AsyncResources):
    """The operations of the API: {words}."""

{body}
'''


def _package(tags: list[str], command: str) -> str:
    module = "orchestrator.client.asynchronous.operations"
    imports = "\n".join(f"from {module}.{tag}_operations import {_class(tag)}" for tag in tags)
    bases = ",\n    ".join(_class(tag) for tag in tags)
    return f'''"""Every operation of the API as a typed method."""

# Written from the API's description by: {command}

from __future__ import annotations

{imports}
from orchestrator.client.asynchronous.transport import AsyncTransport


class AsyncApi(
    {bases},
):
    """Every operation of the API. Lists are iterators over all pages; streams continue after a
    broken connection. `more` are further parameters, such as ``{{"label.team": "a"}}``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self.transport = transport


__all__ = ["AsyncApi"]
'''
