"""Arguments of Celery tasks, checked against their signatures."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import Any

from orchestrator.document.dsl_schema.calls import arguments as kinds
from orchestrator.document.dsl_schema.schema_builders import Revision
from orchestrator.dsl.errors import BuildError
from orchestrator.dsl.origin import located, origin
from orchestrator.dsl.values import data, given
from orchestrator.json_codec import NotJson

Json = Any

#: Names that `call` understands by itself: a Celery task of such a name needs `call: celery`.
_KINDS = frozenset({"celery", *kinds(Revision.JULY)})


def checked_call(celery_task: Any, args: Any, kwargs: dict[str, Any]) -> tuple[str, Json]:
    """Return the word and the body of a call, whose arguments the task takes. Raises
    `BuildError`."""
    name = getattr(celery_task, "name", None)
    if not isinstance(name, str) or not hasattr(celery_task, "run"):
        message = f"a call is of a Celery task, not of {celery_task!r}"
        if isinstance(celery_task, str):
            message = f"write call_by_name({celery_task!r}, ...) to call a task by its name"
        raise BuildError(located(origin(), message))
    return named_call(name, *_bound(celery_task, name, args, kwargs))


def named_call(name: str, args: Any, kwargs: dict[str, Any]) -> tuple[str, Json]:
    """Return the word and the body of a call of the Celery task of this name."""
    word = name.rpartition(".")[2] or name
    args, kwargs = _data(name, args, kwargs)
    if args or name in _KINDS:
        arguments = {"task": name, **given(args=args or None, kwargs=kwargs or None)}
        return word, {"call": "celery", "with": arguments}
    return word, {"call": name, **given(with_=kwargs or None)}


def _data(name: str, args: Any, kwargs: dict[str, Any]) -> tuple[list[Json], dict[str, Json]]:
    """Return the arguments as values of the document. Raises `BuildError` for what JSON lacks."""
    shown: Any = None
    made: dict[Any, Json] = {}
    try:
        for shown, value in (*enumerate(args), *kwargs.items()):
            made[shown] = data(value)
    except (TypeError, NotJson) as error:
        message = f"{name}: argument {shown!r}: {error}"
        raise BuildError(located(origin(), message)) from None
    return [made[index] for index in range(len(args))], {key: made[key] for key in kwargs}


def _bound(
    celery_task: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments, by keyword wherever the task takes them so."""
    signature = inspect.signature(celery_task.run)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        message = f"{name}{signature}: {error}{_hint(signature, kwargs)}"
        raise BuildError(located(origin(), message)) from None
    parameters = signature.parameters.values()
    if any(each.kind in (each.POSITIONAL_ONLY, each.VAR_POSITIONAL) for each in parameters):
        return bound.args, bound.kwargs
    named = dict(bound.arguments)
    for each in parameters:
        if each.kind is each.VAR_KEYWORD:
            named |= named.pop(each.name, {})
    return (), named


def _hint(signature: inspect.Signature, kwargs: dict[str, Any]) -> str:
    unknown = [name for name in kwargs if name not in signature.parameters]
    left = [name for name in signature.parameters if name not in kwargs]
    close = get_close_matches(unknown[0], left, 1) if unknown else []
    return f", did you mean {close[0]!r}?" if close else ""
