"""Reads a CloudEvent from an HTTP message in binary content mode (HTTP binding 1.0.2)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from orchestrator.core.cloud_event_validation import InvalidEvent
from orchestrator.core.model import Json

_JSON = re.compile(r"(application|text)/([\w.-]+\+)?json", re.ASCII)
_TEXT = re.compile(r"text/|application/([\w.-]+\+)?(xml|yaml)|application/x-www-form-urlencoded")


def from_binary(headers: Mapping[str, str], body: bytes, parse: Any) -> dict[str, Json]:
    """Return the event of a message in binary content mode: attributes are in `ce-` headers, data
    is the body, which `parse` reads if it is JSON (HTTP binding, 3.1).

    Raises `InvalidEvent`, and the errors of `parse`.
    """
    event: dict[str, Json] = {}
    for name, value in headers.items():
        if name.lower().startswith("ce-"):
            event[name[3:].lower()] = _decoded(name, value)
    if "data" in event:
        raise InvalidEvent(("data", "is the body, not a header"))
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), None)
    if kind:
        event["datacontenttype"] = kind
    return event | _body(body, kind, parse) if body else event


def _decoded(name: str, value: str) -> str:
    text = value.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidEvent((name.lower(), "is not UTF-8")) from None


def _body(body: bytes, kind: str | None, parse: Any) -> dict[str, Json]:
    media_type = (kind or "application/json").partition(";")[0].strip().lower()
    if _JSON.fullmatch(media_type):
        return {"data": parse(body)}
    if _TEXT.match(media_type):
        try:
            return {"data": body.decode()}
        except UnicodeDecodeError:
            pass  # another encoding: keep the bytes
    return {"data_base64": base64.b64encode(body).decode()}
