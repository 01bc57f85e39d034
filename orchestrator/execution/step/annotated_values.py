"""Arguments of the types that a task's signature names.

JSON has no Decimal, date, UUID or bytes. The steps of a plain document pass such values as text; a
task that annotates its parameter gets the value that was passed, in the form in which
`json_codec.to_json` writes it. Parameters without annotations, and types that are not among these,
get the JSON value.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

from orchestrator.errors import ERROR_TYPES, WorkflowError

Convert = Callable[[Any], Any]


class _Unreadable(Exception):
    """A value does not have the form of its type; `path` collects its place, last part first."""

    def __init__(self, kind: Any) -> None:
        super().__init__(kind)
        self.kind = kind
        self.path: list[str] = []


def annotated(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Return ``(args, kwargs)`` with each value in the type of its parameter.

    Raises:
        WorkflowError: of type validation; a value does not have the form of its type. The message
            has no value, which may be a secret.
    """
    converters = _converters(function)
    if not converters:
        return args, kwargs
    names = _positional(function)
    changed = [
        _converted(converters, names[n], value) if n < len(names) else value
        for n, value in enumerate(args)
    ]
    return changed, {name: _converted(converters, name, value) for name, value in kwargs.items()}


def _converted(converters: Mapping[str, Convert], name: str, value: Any) -> Any:
    convert = converters.get(name)
    if convert is None or value is None:
        return value
    try:
        return convert(value)
    except _Unreadable as error:
        place = name + "".join(reversed(error.path))
        kind = getattr(error.kind, "__qualname__", error.kind)
        raise WorkflowError(
            ERROR_TYPES + "validation",
            400,
            "An argument does not have its parameter's type",
            f"the argument {place} can't be read as {kind}",
        ) from None


def _plain_function(function: Callable[..., Any]) -> Callable[..., Any]:
    return getattr(function, "__func__", function)


def _positional(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters that are passed by position, without a bound `self`."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.kind in kinds]


def _converters(function: Callable[..., Any]) -> Mapping[str, Convert]:
    return _converters_of(_plain_function(function))


@lru_cache(maxsize=4096)
def _converters_of(function: Callable[..., Any]) -> Mapping[str, Convert]:
    """Return a converter for each parameter that needs one; none where an annotation can't be
    resolved, such as a name that is imported for type checkers only."""
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # noqa: BLE001  (an annotation is any expression of the user's)
        return {}
    found = {name: _converter(kind) for name, kind in hints.items() if name != "return"}
    return {name: convert for name, convert in found.items() if convert is not None}


def _converter(kind: Any) -> Convert | None:
    """Return the function that makes values of this type; None if JSON's own is right."""
    if kind in _FROM_TEXT:
        return partial(_from_text, kind)
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _of_union(typing.get_args(kind))
    if origin is not None:
        return _of_generic(origin, typing.get_args(kind))
    if not isinstance(kind, type):
        return None
    if kind is tuple:
        return lambda value: tuple(value) if isinstance(value, list) else value
    if issubclass(kind, Enum):
        return partial(_enum, kind)
    if is_dataclass(kind):
        return partial(_dataclass, kind)
    return partial(_model, kind) if hasattr(kind, "model_validate") else None


def _decimal(value: Any) -> Decimal:
    return Decimal(str(value))


def _bytes(value: str) -> bytes:
    return base64.b64decode(value, validate=True)


_FROM_TEXT: Mapping[Any, Convert] = {
    Decimal: _decimal,
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    UUID: UUID,
    bytes: _bytes,
}


def _from_text(kind: type, value: Any) -> Any:
    is_number = kind is Decimal and type(value) in (int, float)
    if not (isinstance(value, str) or is_number):
        raise _Unreadable(kind)
    try:
        return _FROM_TEXT[kind](value)
    except (ValueError, InvalidOperation, binascii.Error):
        raise _Unreadable(kind) from None


def _enum(kind: type[Enum], value: Any) -> Any:
    try:
        return kind(value)
    except ValueError:
        pass
    for member in kind:  # whose value is no JSON, such as a Decimal
        convert = _converter(type(member.value))
        try:
            if convert is not None and convert(value) == member.value:
                return member
        except _Unreadable:
            continue
    raise _Unreadable(kind)


def _dataclass(kind: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise _Unreadable(kind)
    converters = _converters_of(kind)
    names = {field.name for field in fields(kind) if field.init}
    try:
        members = {
            name: _inner(converters.get(name), f".{name}", item)
            for name, item in value.items()
            if name in names
        }
        return kind(**members)
    except TypeError:
        raise _Unreadable(kind) from None


def _model(kind: Any, value: Any) -> Any:
    """Return a model of pydantic."""
    try:
        return kind.model_validate(value)
    except ValueError:
        raise _Unreadable(kind) from None


def _inner(convert: Convert | None, place: str, value: Any) -> Any:
    if convert is None or value is None:
        return value
    try:
        return convert(value)
    except _Unreadable as error:
        error.path.append(place)
        raise


def _of_union(kinds: tuple[Any, ...]) -> Convert | None:
    """Return the converter of a union: into its only type beside None, else into the first that
    fits, where JSON's own types come first."""
    members = [kind for kind in kinds if kind is not type(None)]
    converters = [_converter(kind) for kind in members]
    if all(convert is None for convert in converters):
        return None
    if len(members) == 1:
        return converters[0]
    own = tuple(kind for kind in members if kind in (str, int, float, bool))

    def convert(value: Any) -> Any:
        if isinstance(value, own):
            return value
        for each in converters:
            try:
                if each is not None:
                    return each(value)
            except _Unreadable:
                continue
        return value

    return convert


def _of_generic(origin: Any, arguments: tuple[Any, ...]) -> Convert | None:
    if origin is typing.Annotated:
        return _converter(arguments[0])
    if origin is tuple:
        return partial(_tuple, arguments)
    if not isinstance(origin, type):
        return None
    if issubclass(origin, Mapping) and len(arguments) == 2:
        return partial(_mapping, _converter(arguments[1]))
    if issubclass(origin, Sequence) and len(arguments) == 1:
        item = _converter(arguments[0])
        return None if item is None else partial(_items, item)
    return None


def _items(convert: Convert | None, value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [_inner(convert, f"[{n}]", item) for n, item in enumerate(value)]


def _tuple(kinds: tuple[Any, ...], value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    converters = [_converter(kind) for kind in kinds]
    if len(converters) != len(value):
        raise _Unreadable(tuple)
    return tuple(
        _inner(convert, f"[{n}]", item)
        for n, (convert, item) in enumerate(zip(converters, value, strict=True))
    )


def _mapping(convert: Convert | None, value: Any) -> Any:
    if convert is None or not isinstance(value, dict):
        return value
    return {name: _inner(convert, f".{name}", item) for name, item in value.items()}
