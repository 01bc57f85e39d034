"""Validation of CloudEvents, received or emitted (CloudEvents 1.0.2 and its JSON format).

An event is stored as a dict in the JSON format: attributes, and `data` or `data_base64`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.v1.event import CloudEvent

from orchestrator.core.model import Json
from orchestrator.errors import OrchestratorError

SPECVERSION = "1.0"
REQUIRED = ("specversion", "id", "source", "type")
DATA = ("data", "data_base64")

#: Most bytes of one attribute's text; ids and sources are in an index.
MAX_ATTRIBUTE_BYTES = 1000
#: Most attributes of one event.
MAX_ATTRIBUTES = 64

_EXTENSION = re.compile(r"[a-z0-9]{1,64}")
#: Characters that a CloudEvents String may not have (type system), nor a URI or media type.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_SPACE = re.compile(r"\s")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+*-]+\s*(;.*)?", re.ASCII)
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)  # RFC 3339, 5.6
_INT32 = 2**31


class InvalidEvent(OrchestratorError):
    """The value is no CloudEvent. `errors` are pairs of a member's name and the reason."""

    def __init__(self, *errors: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {message}" for name, message in errors))
        self.errors = errors


def validated(value: Json) -> dict[str, Json]:
    """Return an event in the JSON format, as it is stored: without members that are null.

    Raises `InvalidEvent`.
    """
    if not isinstance(value, Mapping):
        raise InvalidEvent(("", "an event is an object"))
    event = {name: item for name, item in value.items() if item is not None or name == "data"}
    missing = [(name, "is missing") for name in REQUIRED if name not in event]
    if missing:
        raise InvalidEvent(*missing)
    attributes = {name: item for name, item in event.items() if name not in DATA}
    errors = [*_attributes(attributes), *_data(event)]
    if errors:
        raise InvalidEvent(*errors)
    return event


def _data(event: Mapping[str, Json]) -> list[tuple[str, str]]:
    encoded = event.get("data_base64")
    if encoded is None:
        return []
    if "data" in event:
        return [("data_base64", "is not allowed beside `data`")]
    try:
        base64.b64decode(encoded, validate=True)
    except (TypeError, ValueError):
        return [("data_base64", "is not base64")]
    return []


def _attributes(attributes: Mapping[str, Json]) -> list[tuple[str, str]]:
    if len(attributes) > MAX_ATTRIBUTES:
        return [("", f"more than {MAX_ATTRIBUTES} attributes")]
    errors = [
        (name, message)
        for name, value in attributes.items()
        if (message := _name(name) or _value(value)) is not None
    ]
    if errors:
        return errors
    if attributes["specversion"] != SPECVERSION:
        return [("specversion", f"only {SPECVERSION} is accepted")]
    return _special(attributes) or _library_errors(attributes)


def _name(name: str) -> str | None:
    if not _EXTENSION.fullmatch(name):
        return "an attribute's name has lower-case letters and digits only"
    return None


def _value(value: Json) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if -_INT32 <= value < _INT32 else "is not an integer of 32 bits"
    if not isinstance(value, str):
        return "an attribute is a text, an integer or a boolean"
    if _CONTROL.search(value):
        return "has a character that attributes may not have"
    if len(value.encode()) > MAX_ATTRIBUTE_BYTES:
        return f"is longer than {MAX_ATTRIBUTE_BYTES} bytes"
    return None


def _special(attributes: Mapping[str, Json]) -> list[tuple[str, str]]:
    """Check what the library does not check."""
    errors = [
        (name, "is not a URI")
        for name in ("source", "dataschema")
        if _SPACE.search(str(attributes.get(name, "")))
    ]
    kind = attributes.get("datacontenttype")
    if isinstance(kind, str) and kind and not _MEDIA_TYPE.fullmatch(kind):
        errors.append(("datacontenttype", "is not a media type"))
    if "time" in attributes and parse_time(attributes["time"]) is None:
        errors.append(("time", "is not a time (RFC 3339)"))
    return errors


def parse_time(text: Json) -> datetime | None:
    """Return the time of an attribute (RFC 3339), or None if it is none."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        return None


def _library_errors(attributes: Mapping[str, Json]) -> list[tuple[str, str]]:
    values: dict[str, Any] = dict(attributes)
    # Always pass a time to the cloudevents library. Without one the library reads the clock, which
    # the core must not do.
    values["time"] = parse_time(attributes.get("time", "1970-01-01T00:00:00Z"))
    try:
        CloudEvent(values)
    except CloudEventValidationError as error:
        return [(name, str(messages[0])) for name, messages in error.errors.items()]
    return []
