"""The blueprint of a resource: flask-smorest's, with roles, strict queries and problems."""

from __future__ import annotations

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
    """What gives a view back as it was, for the type checker."""

    def __call__(self, view: View, /) -> View:
        """Decorate the view."""
        ...


#: What any operation may answer; what takes a body or makes a change may answer more.
ALWAYS = (400, 401, 403, 404, 405, 406, 408, 414, 422, 429, 431, 500, 503)
WITH_BODY = (409, 413, 415, 501)
#: What is given a tag with If-Match may have changed since; see `api.http.etags`.
TAGGED = (412,)


class UncheckedId(str):
    """What stands in a path where an id should: looked at once the caller is known."""

    __slots__ = ()


class IdConverter(BaseConverter):
    """An id of ours in a path: described as one, whatever is given; see `api.app`."""

    def to_python(self, value: str) -> UncheckedId:
        """As it is given."""
        return UncheckedId(value)


class Resource(flask_smorest.Blueprint):  # type: ignore[misc]  # it has no types
    """One resource of the API.

    Its `route` takes the least `role` that may use it (viewer for GET, operator for the
    rest, unless told), and documents the problems that it may answer; `tagged` says that it
    heeds If-Match. Its other decorators are flask-smorest's, typed and with our defaults.
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
        """Give the view the query's parameters as its first argument, a dict."""
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
            answer["schema"] = schema  # a class is one for all; instances are whole copies of it
        if described:
            answer["headers"] = described

        def decorator(view: View) -> View:
            # What flask-smorest's own decorator does, without its wrapper around the view:
            # a score of those would cost a start a fifth of its time.
            told = documentation(view).setdefault("response", {}).setdefault("responses", {})
            told.setdefault(status, []).append(answer)
            return view

        return decorator

    def described(self, **description: Any) -> Decorator:
        """Add to the operation's description."""

        def decorator(view: View) -> View:
            documentation(view).setdefault("manual_doc", {}).update(description)
            return view

        return decorator


def documentation(view: Any) -> dict[str, Any]:
    """Where flask-smorest keeps what is known of a view, for its description."""
    found: dict[str, Any] = view.__dict__.setdefault("_apidoc", {})
    return found


#: Compact bytes: times in UTC with Z, keys as they come.
_OPTIONS = orjson.OPT_UTC_Z


def dumped(value: Any) -> bytes:
    """The JSON text of an answer; `raw` pieces are put in as they are."""
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError:  # an integer beyond 64 bits
        return json_codec.encode(value)


def raw(text: str | None) -> orjson.Fragment | None:
    """JSON text that came from the database, for `dumped`; None is null."""
    return None if text is None else orjson.Fragment(text)


class Answer(Response):
    """A whole answer: its headers are complete, so that werkzeug need not mend them."""

    def get_wsgi_headers(self, environ: Any) -> Headers:  # noqa: ARG002  werkzeug's signature
        """The headers as they are; `Location` is a path of ours, in ASCII."""
        return self.headers


def respond(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Answer(dumped(value), status, headers, content_type=JSON)


def listing(items: list[Any], next: str | None) -> Response:
    """A page of a list."""
    return respond({"items": items, "next": next})


def wants(media_type: str) -> bool:
    """Whether the request would rather have `media_type` than JSON."""
    return request.accept_mimetypes.best_match([JSON, media_type]) == media_type
