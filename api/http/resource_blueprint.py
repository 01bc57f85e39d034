"""The blueprint of a resource: flask-smorest's, with roles, strict queries and problems."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

import flask_smorest  # type: ignore[import-untyped]
import orjson
from flask import Response, request
from marshmallow import Schema
from werkzeug.datastructures import Headers
from werkzeug.routing import BaseConverter

from api.http.authentication import Role
from api.http.problems import MEDIA_TYPE
from api.http.query_parser import QueryParser
from api.schemas.common import ProblemSchema
from orchestrator import json_codec

View = TypeVar("View", bound=Callable[..., Any])
JSON = "application/json"


class Decorator(Protocol):
    """A decorator that returns the view unchanged, for the type checker."""

    def __call__(self, view: View, /) -> View:
        """Decorate the view."""
        ...


#: Problem statuses of every operation; operations with a body have more.
ALWAYS = (400, 401, 403, 404, 405, 406, 408, 414, 422, 429, 431, 500, 503)
WITH_BODY = (409, 413, 415, 501)
#: Statuses of operations that respect If-Match; see `api.http.etags`.
TAGGED = (412,)


class UncheckedId(str):
    """The text of a path's id, which is checked once the caller is known."""

    __slots__ = ()


class IdConverter(BaseConverter):
    """An id in a path. It is described as a UUID and checked by `api.app`."""

    def to_python(self, value: str) -> UncheckedId:
        """Return the text unchecked."""
        return UncheckedId(value)


class Resource(flask_smorest.Blueprint):  # type: ignore[misc]  # it has no types
    """One resource of the API.

    Its `route` takes the least `role` that may use it (by default viewer for GET, operator for
    the rest) and documents the problems of the operation. `tagged`: the operation heeds If-Match.
    The other decorators are flask-smorest's, typed and with this API's defaults.
    """

    ARGUMENTS_PARSER = QueryParser()

    def route(
        self, rule: str, *, role: Role | None = None, tagged: bool = False, **options: Any
    ) -> Decorator:
        """Register a view; see the class."""
        method = options.setdefault("methods", ["GET"])[0]
        least = role or (Role.VIEWER if method == "GET" else Role.OPERATOR)
        problems: tuple[int, ...] = ALWAYS if method == "GET" else ALWAYS + WITH_BODY
        problems += TAGGED if tagged else ()
        registered = super().route(rule, **options)

        def decorator(view: View) -> View:
            for status in problems:
                self.answers(status, ProblemSchema, media_type=MEDIA_TYPE)(view)
            view.least_role = least  # type: ignore[attr-defined]
            registered(view)
            return view

        return decorator

    def requires(self, schema: type[Schema]) -> Decorator:
        """Pass the query's parameters to the view as its first argument, a dict."""
        decorator: Decorator = self.arguments(schema, location="query")
        return decorator

    def answers(
        self,
        status: int,
        schema: type[Schema] | dict[str, Any] | None = None,
        *,
        media_type: str = JSON,
        meaning: str | None = None,
        **headers: str,
    ) -> Decorator:
        """Document an answer: its schema, what it means and, by keyword, its headers."""
        described = {
            name.replace("_", "-"): {"description": text, "schema": {"type": "string"}}
            for name, text in headers.items()
        }
        answer: dict[str, Any] = {
            "description": meaning or HTTPStatus(status).phrase,
            "content_type": media_type,
        }
        if schema is not None:
            answer["schema"] = schema  # a class, since each instance would be described again
        if described:
            answer["headers"] = described

        def decorator(view: View) -> View:
            # Describe the answer as flask-smorest's own decorator does, but without a wrapper
            # around the view. Twenty wrappers would take a fifth of the API's start.
            responses = documentation(view).setdefault("response", {}).setdefault("responses", {})
            responses.setdefault(status, []).append(answer)
            return view

        return decorator

    def described(self, **description: Any) -> Decorator:
        """Add to the operation's description."""

        def decorator(view: View) -> View:
            documentation(view).setdefault("manual_doc", {}).update(description)
            return view

        return decorator


def documentation(view: Any) -> dict[str, Any]:
    """Return flask-smorest's documentation of a view, to be changed in place."""
    documented: dict[str, Any] = view.__dict__.setdefault("_apidoc", {})
    return documented


#: Times in UTC with Z.
_OPTIONS = orjson.OPT_UTC_Z


def dumped(value: Any) -> bytes:
    """Return the JSON text of an answer. `raw` pieces are inserted unchanged."""
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError:  # an integer beyond 64 bits
        return json_codec.encode(value)


def raw(text: str | None) -> orjson.Fragment | None:
    """Wrap JSON text from the database for `dumped`. None stays null."""
    return None if text is None else orjson.Fragment(text)


class Answer(Response):
    """A response with complete headers, which werkzeug need not correct."""

    def get_wsgi_headers(self, environ: Any) -> Headers:  # noqa: ARG002  werkzeug's signature
        """Return the headers unchanged: `Location` is already a path in ASCII."""
        return self.headers


def respond(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response in JSON."""
    return Answer(dumped(value), status, headers, content_type=JSON)


#: Lists from this size on are compressed for clients that accept it.
_COMPRESSED = 16_384


def listing(items: list[Any], next: str | None, **more: Any) -> Response:
    """Return a page of a list, with `more` members; a long one compressed."""
    body = dumped({"items": items, "next": next, **more})
    if len(body) < _COMPRESSED or not request.accept_encodings.quality("gzip"):
        return Answer(body, content_type=JSON)
    headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Answer(gzip.compress(body, 1, mtime=0), headers=headers, content_type=JSON)


def wants(media_type: str) -> bool:
    """Whether the request prefers `media_type` to JSON."""
    return request.accept_mimetypes.best_match([JSON, media_type]) == media_type
