"""The servers that other runtimes' cases expect, as each case describes its own.

A route of a case's `http_stub` is `{method, path, base?, when{header, query, form, json},
status, headers, json | text | file, echo_json, merge, times, delay_ms}`; routes are tried in
order, `times` limits a route, `~^x` is a regular expression, `{id}` and `{id:int}` name parts
of the path that the answer may repeat.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support import spec
from tests.support.conformance_sites import TLS
from tests.support.http_stub import Answer, Request, Stub

Case = dict[str, Any]
#: Documents name another port than their case's server has.
_ALIASES = {"http://localhost:8081": (8881,)}
_PARTS = {"int": r"\d+", None: r"[^/]+"}


class Servers:
    """One server for each address that cases name; a case has its addresses for itself."""

    def __init__(self, cases: Iterable[Case]) -> None:
        named = {base for case in cases for base in bases(case)}
        self._servers = {base: _Server(base) for base in sorted(named)}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        for server in self._servers.values():
            self._open.enter_context(server.stub)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    @property
    def resolve(self) -> tuple[str, ...]:
        """Where each address leads."""
        return tuple(
            f"{server.host}:{port}:127.0.0.1:{server.stub.port}"
            for base, server in self._servers.items()
            for port in (server.port, *_ALIASES.get(base, ()))
        )

    @contextmanager
    def play(self, case: Case) -> Iterator[list[Request]]:
        """Serve a case's routes; gives the requests as they arrive."""
        served = sorted(bases(case))
        described: dict[str, Any] = case["http_stub"] if served else {}
        requests: list[Request] = []
        with ExitStack() as held:
            for base in served:
                held.enter_context(self._servers[base].lock)
            for base in served:
                mine = [r for r in described["routes"] if r.get("base", described["base"]) == base]
                self._servers[base].serve(mine, requests)
            yield requests


def bases(case: Case) -> set[str]:
    """The addresses that a case needs servers at."""
    described = case.get("http_stub")
    if not isinstance(described, dict):
        return set()
    named = {route.get("base", described["base"]) for route in described["routes"]}
    return named | {described["base"]} | {described.get("token_server") or described["base"]}


class _Server:
    """One address. Its routes are those of the case that holds its lock."""

    def __init__(self, base: str) -> None:
        parts = urlsplit(base)
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.lock = threading.Lock()
        self.stub = Stub(self._answer, tls=parts.scheme == "https", chain=TLS / "server.pem")
        self._routes = Routes([])
        self._requests: list[Request] = []

    def serve(self, routes: list[dict[str, Any]], requests: list[Request]) -> None:
        self._routes, self._requests = Routes(routes), requests

    def _answer(self, request: Request) -> Answer:
        self._requests.append(request)
        return self._routes.answer(request)


class Routes:
    """The answers of a case's server."""

    def __init__(self, routes: list[dict[str, Any]]) -> None:
        self._routes = routes
        self._used: Counter[int] = Counter()

    def answer(self, request: Request) -> Answer:
        """The answer of the first route that fits."""
        for number, route in enumerate(self._routes):
            match = _matches(route, request)
            if match is None or self._used[number] >= route.get("times", float("inf")):
                continue
            self._used[number] += 1
            time.sleep(route.get("delay_ms", 0) / 1000)  # a slow server is what the case is about
            return _answered(route, request, match.groupdict())
        return Answer(404, {"message": f"no route for {request.method} {request.path}"})


def _matches(route: dict[str, Any], request: Request) -> re.Match[str] | None:
    if route.get("method", request.method) != request.method or not _when(route, request):
        return None
    return re.fullmatch(_pattern(route["path"]), request.path)


def _pattern(path: str) -> str:
    if path == "?":
        return ".*"
    if path.startswith("~"):
        return f"{path[1:]}.*"
    pieces = re.split(r"\{(\w+)(?::(\w+))?\}", path)
    texts = [re.escape(text) for text in pieces[::3]]
    groups = [
        f"(?P<{n}>{_PARTS[kind]})" for n, kind in zip(pieces[1::3], pieces[2::3], strict=True)
    ]
    return "".join(text + group for text, group in zip(texts, [*groups, ""], strict=True))


def _when(route: dict[str, Any], request: Request) -> bool:
    wanted = route.get("when") or {}
    headers = {name.lower(): value for name, value in (wanted.get("header") or {}).items()}
    return (
        all(request.headers.get(name) == value for name, value in headers.items())
        and _within(wanted.get("query"), dict(request.query))
        and _within(wanted.get("form"), request.form if "form" in wanted else {})
        and ("json" not in wanted or _within(wanted["json"], request.json))
    )


def _within(wanted: Any, found: Any) -> bool:
    if not isinstance(wanted, dict):
        return wanted is None or wanted == found
    return all(name in found and str(found[name]) == str(each) for name, each in wanted.items())


def _answered(route: dict[str, Any], request: Request, parts: dict[str, str]) -> Answer:
    status, headers = route.get("status", 200), dict(route.get("headers") or {})
    if "file" in route:
        text = (spec.CASES / "documents" / route["file"]).read_bytes()
        return Answer(status, headers=headers, body=text)
    if "text" in route:
        return Answer(status, headers=headers, body=str(route["text"]).encode())
    if route.get("echo_json"):
        return Answer(status, {**request.json, **(route.get("merge") or {})}, headers)
    return Answer(status, _repeated(route.get("json"), parts), headers)


def _repeated(value: Any, parts: dict[str, str]) -> Any:
    """The answer with the parts of the path that it repeats."""
    text = json.dumps(value)
    for name, found in parts.items():
        text = text.replace(f'"{{{name}:int}}"', found).replace(f"{{{name}}}", found)
    return json.loads(text)
