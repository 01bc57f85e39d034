"""Answers the HTTP requests of documents without a network.

http={
"GET https://api.example.com/orders/{id}": {"id": 1, "total": 5},     # 200, JSON
"POST https://pay.example.com/charges": response(402, {"code": "declined"}),
"GET https://slow.example.com/*": raises(TimeoutError),
"PUT https://stock.example.com/items/{id}": lambda request: {"left": request.json["n"]},
}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from orchestrator import json_codec
from orchestrator.outbound import OutboundClient, Response, TimedOut, Unreachable
from orchestrator.testing import stubs
from orchestrator.testing.errors import UnstubbedRequest, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

#: The first status that says that nothing was done.
_FAILED = 400
_PART = re.compile(r"\\\{[^{}]*\\\}|\\\*")
_REASONS: tuple[tuple[type[BaseException], type[Exception]], ...] = (
    (TimeoutError, TimedOut),
    (ConnectionError, Unreachable),
)


@dataclass(frozen=True)
class HttpRequest:
    """A request of a document, as a stub gets it. `url` has its query."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None

    @property
    def json(self) -> Any:
        """The body read as JSON; None without a body."""
        return None if self.content is None else json_codec.loads(self.content)

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the query."""
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))


@dataclass(frozen=True)
class HttpAnswer:
    """A response of a stub. See `response`."""

    status: int
    body: Any
    headers: Mapping[str, str]


def response(
    status: int = 200, body: Any = None, headers: Mapping[str, str] | None = None
) -> HttpAnswer:
    """Return a response: bytes and text as they are, None without a body, all else as JSON."""
    return HttpAnswer(status, body, dict(headers or {}))


class HttpStubs(OutboundClient):
    """The client of calls in a test: it sends nothing, and knows the stubs' answers only.

    `on_answer` is told each request that was answered with a success."""

    def __init__(
        self,
        answers: Mapping[str, Any],
        on_answer: Callable[[HttpRequest], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self._answers = [(_pattern(name), name, stub) for name, stub in answers.items()]
        self._on_answer = on_answer
        #: Every request, in order.
        self.requests: list[HttpRequest] = []

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        query: Iterable[tuple[str, str]] = (),
        content: bytes | None = None,
        **_: Any,
    ) -> Response:
        """Answer a request. Raises `UnstubbedRequest` where no stub fits."""
        request = HttpRequest(method.upper(), _with_query(url, query), dict(headers), content)
        stub = self._stub_of(request)
        self.requests.append(request)
        try:
            answer = stubs.answer(stub, (request,), {})
        except (TimeoutError, ConnectionError) as error:
            raise _translated(error) from error
        answered = _response(request, answer)
        if answered.status < _FAILED:
            self._on_answer(request)
        return answered

    def fetch(
        self,
        url: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        timeout: float | None = None,
        **_: Any,
    ) -> Response:
        """Answer the request for a document that a call needs (OpenAPI)."""
        return self.send("GET", url, headers=headers, timeout=timeout)

    def _stub_of(self, request: HttpRequest) -> Any:
        plain = f"{request.method} {request.url}"
        bare = f"{request.method} {_without_query(request.url)}"
        for pattern, _, stub in self._answers:
            if pattern.fullmatch(plain) or pattern.fullmatch(bare):
                return stub
        guess = did_you_mean(bare, [name for _, name, _ in self._answers])
        raise UnstubbedRequest(
            f"nothing answers {bare}{guess} Stub it: http={{{bare!r}: {{...}}}}"
            if guess
            else f"nothing answers {bare}. Stub it: http={{{bare!r}: {{...}}}}"
        )


def _pattern(name: str) -> re.Pattern[str]:
    """Read ``METHOD URL``: ``{part}`` is one part of a path, ``*`` any text."""
    method, _, url = name.partition(" ")
    if not url:
        raise TypeError(f"an answer's name is 'METHOD URL', not {name!r}")
    text = re.escape(f"{method.upper()} {url.strip()}")
    return re.compile(_PART.sub(lambda m: ".*" if m[0] == r"\*" else "[^/?]+", text))


def _with_query(url: str, query: Iterable[tuple[str, str]]) -> str:
    added = urlencode(list(query))
    if not added:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=f"{parts.query}&{added}" if parts.query else added))


def _without_query(url: str) -> str:
    return urlunsplit(urlsplit(url)._replace(query="", fragment=""))


def _translated(error: BaseException) -> Exception:
    kind = next(kind for cause, kind in _REASONS if isinstance(error, cause))
    return kind(str(error) or type(error).__name__)


def _response(request: HttpRequest, answer: Any) -> Response:
    if not isinstance(answer, HttpAnswer):
        answer = response(200, answer)
    content, media = _content(answer.body)
    given = {name.lower() for name in answer.headers}
    headers = [*answer.headers.items()]
    if media and "content-type" not in given:
        headers.append(("content-type", media))
    return Response(
        answer.status,
        tuple(headers),
        content,
        request.method,
        request.url,
        tuple(request.headers.items()),
    )


def _content(body: Any) -> tuple[bytes, str]:
    if body is None:
        return b"", ""
    if isinstance(body, bytes):
        return body, "application/octet-stream"
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    return json_codec.encode(json_codec.to_json(body)), "application/json"
