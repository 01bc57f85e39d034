"""Query parameters of requests: each must be known, unique and in range, else the answer is 400."""

from __future__ import annotations

from typing import Any, NoReturn

import flask
import marshmallow
from webargs.flaskparser import FlaskParser

from api.http import filter_query, problem_types
from api.http.problems import Problem


class QueryParser(FlaskParser):
    """The parser of webargs, made strict."""

    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION = {"query": marshmallow.RAISE}  # noqa: RUF012  webargs' own

    def load_querystring(self, req: flask.Request, schema: marshmallow.Schema) -> Any:
        """Return the parameters. Label and input filters are put into ``g.dynamic_filters``."""
        parameters: dict[str, Any] = {}
        for name, values in req.args.lists():
            if len(values) > 1:
                raise invalid_parameter(name, "is given more than once")
            if "\0" in values[0] or "\0" in name:
                raise invalid_parameter(name, "has the character NUL")
            parameters[name] = values[0]
        if getattr(schema, "labelled", False):
            try:
                parameters, flask.g.dynamic_filters = filter_query.split(parameters)
            except filter_query.WrongFilter as error:
                raise invalid_parameter(error.name, str(error)) from None
        return parameters

    def handle_error(self, error: marshmallow.ValidationError, *_: Any, **__: Any) -> NoReturn:
        """Raise `Problem` 400 with every invalid parameter."""
        messages = error.normalized_messages()  # type: ignore[no-untyped-call]
        messages = messages.get("query", messages)
        errors = [
            {"parameter": str(name), "message": first_message(reported)}
            for name, reported in messages.items()
        ]
        detail = f"{errors[0]['parameter']}: {errors[0]['message']}"
        raise Problem(problem_types.INVALID_QUERY, detail, errors)


def first_message(messages: Any) -> str:
    """Return the first of marshmallow's messages about a parameter."""
    while isinstance(messages, dict):
        messages = next(iter(messages.values()))
    return str(messages[0] if isinstance(messages, list) else messages)


def invalid_parameter(parameter: str, message: str) -> Problem:
    """Return the problem of one parameter."""
    errors = [{"parameter": parameter[:100], "message": message}]
    return Problem(problem_types.INVALID_QUERY, f"{parameter[:100]}: {message}", errors)
