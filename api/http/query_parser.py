"""Queries of requests: every parameter known, given once, and in range; else 400."""

from __future__ import annotations

from typing import Any, NoReturn

import flask
import marshmallow
from webargs.flaskparser import FlaskParser

from api.http import filter_query, problem_types
from api.http.problems import Problem


class QueryParser(FlaskParser):
    """webargs' parser, made strict."""

    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION = {"query": marshmallow.RAISE}  # noqa: RUF012  webargs' own

    def load_querystring(self, req: flask.Request, schema: marshmallow.Schema) -> Any:
        """The parameters as a dict; those with names of the client's own are in ``g.own``."""
        found: dict[str, Any] = {}
        for name, values in req.args.lists():
            if len(values) > 1:
                raise invalid_parameter(name, "is given more than once")
            if "\0" in values[0] or "\0" in name:
                raise invalid_parameter(name, "has the character NUL")
            found[name] = values[0]
        if getattr(schema, "labelled", False):
            try:
                found, flask.g.own = filter_query.split(found)
            except filter_query.WrongFilter as error:
                raise invalid_parameter(error.name, str(error)) from None
        return found

    def handle_error(self, error: marshmallow.ValidationError, *_: Any, **__: Any) -> NoReturn:
        """Tell of every parameter that is wrong."""
        messages = error.normalized_messages()  # type: ignore[no-untyped-call]
        messages = messages.get("query", messages)
        errors = [
            {"parameter": str(name), "message": first_message(found)}
            for name, found in messages.items()
        ]
        detail = f"{errors[0]['parameter']}: {errors[0]['message']}"
        raise Problem(problem_types.INVALID_QUERY, detail, errors)


def first_message(found: Any) -> str:
    """The first of marshmallow's messages about something."""
    while isinstance(found, dict):
        found = next(iter(found.values()))
    return str(found[0] if isinstance(found, list) else found)


def invalid_parameter(parameter: str, message: str) -> Problem:
    """The problem of one parameter."""
    errors = [{"parameter": parameter[:100], "message": message}]
    return Problem(problem_types.INVALID_QUERY, f"{parameter[:100]}: {message}", errors)
