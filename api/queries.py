"""Queries of requests: every parameter known, given once, and in range; else 400."""

from __future__ import annotations

from typing import Any, NoReturn

import flask
import marshmallow
from webargs.flaskparser import FlaskParser

from api import kinds
from api.problems import Problem

#: Parameters that begin so have a name of the client's own after the dot.
LABEL = "label."


class QueryParser(FlaskParser):
    """webargs' parser, made strict."""

    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION = {"query": marshmallow.RAISE}  # noqa: RUF012  webargs' own

    def load_querystring(self, req: flask.Request, schema: marshmallow.Schema) -> Any:
        """The parameters as a dict; each `label.k=v` is gathered in ``g.labels``."""
        found: dict[str, Any] = {}
        flask.g.labels = {}
        for name, values in req.args.lists():
            if len(values) > 1:
                raise wrong(name, "is given more than once")
            if "\0" in values[0] or "\0" in name:
                raise wrong(name, "has the character NUL")
            if name.startswith(LABEL) and getattr(schema, "labelled", False):
                flask.g.labels[name.removeprefix(LABEL)] = values[0]
            else:
                found[name] = values[0]
        return found

    def handle_error(self, error: marshmallow.ValidationError, *_: Any, **__: Any) -> NoReturn:
        """Tell of every parameter that is wrong."""
        messages = error.normalized_messages()  # type: ignore[no-untyped-call]
        messages = messages.get("query", messages)
        errors = [
            {"parameter": str(name), "message": _first(found)} for name, found in messages.items()
        ]
        detail = f"{errors[0]['parameter']}: {errors[0]['message']}"
        raise Problem(kinds.INVALID_QUERY, detail, errors)


def _first(found: Any) -> str:
    while isinstance(found, dict):
        found = next(iter(found.values()))
    return str(found[0] if isinstance(found, list) else found)


def wrong(parameter: str, message: str) -> Problem:
    """The problem of one parameter."""
    errors = [{"parameter": parameter[:100], "message": message}]
    return Problem(kinds.INVALID_QUERY, f"{parameter[:100]}: {message}", errors)
