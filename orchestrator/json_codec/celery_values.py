"""Values as Celery's own JSON has them: with kombu's type tags, so that every type that kombu
knows comes out as the same type.

    encode(Decimal("1.10"))    {"__type__": "decimal", "__value__": "1.10"}
"""

from __future__ import annotations

from typing import Any

from orchestrator.json_codec.reader import loads
from orchestrator.json_codec.writer import Json, NotJson

_TAGS = {"__type__", "__value__"}


def encode(value: object) -> Json:
    """Return a value as JSON with type tags. Raises `NotJson` for what kombu can't encode, and for
    NaN and infinite numbers, which are not JSON."""
    if _is_plain(value):
        return value
    # Import kombu only where a value needs type tags: a process without canvases must not load
    # kombu.
    from kombu.utils import json as kombu_json

    try:
        text = kombu_json.dumps(value, allow_nan=False)
    except Exception as error:
        reason = "NaN and infinite numbers are not JSON" if isinstance(error, ValueError) else error
        raise NotJson(f"a value can't be encoded by Celery's JSON ({reason})") from error
    return loads(text)


def decode(value: Json) -> Any:
    """Return the value of JSON with type tags. Raises `NotJson` for a tag that kombu does not
    know in this process."""
    if isinstance(value, dict):
        if value.keys() == _TAGS:
            return _tagged(value)
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value


def _tagged(value: dict[str, Json]) -> Any:
    from kombu.utils import json as kombu_json

    try:
        return kombu_json.object_hook({**value, "__value__": decode(value["__value__"])})
    except Exception as error:
        reason = f"the type {value['__type__']!r} is not registered with kombu here"
        raise NotJson(f"a value can't be read: {reason} ({error})") from error


def _is_plain(value: object) -> bool:
    """Whether a value is its own JSON; only the most frequent kinds are looked at."""
    kind = type(value)
    return value is None or kind is bool or kind is int or (kind is str and str(value).isascii())
