"""The content of a response: JSON, text, or bytes in base64."""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Iterable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from orchestrator import json_codec
from orchestrator.calls import call_errors
from orchestrator.errors import WorkflowError
from orchestrator.outbound import Response

Json = Any

#: Largest body, in bytes, in the error of a failed response. The error is stored with each retry.
_MAX_ERROR_BODY = 16 * 1024

_BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_TEXTUAL = ("json", "xml", "yaml", "javascript", "x-www-form-urlencoded", "graphql", "csv")


def content_of(response: Response) -> Json:
    """Return a response's content: JSON parsed, text as text, anything else in base64, null if it
    is empty. Without a content type, the first of these forms that fits is used."""
    if not response.content:
        return None
    media = media_type(response)
    if media == "application/json" or media.endswith("+json"):
        return _json(response)
    if is_text(response):
        return text_of_body(response)
    return _sniffed(response) if not media else base64.b64encode(response.content).decode()


def read_json(content: bytes) -> Json:
    """Return external JSON, with or without a byte order mark (RFC 8259, 8.1).

    Raises: NotJson: the content is not JSON.
    """
    if not content.startswith(_BYTE_ORDER_MARKS):
        return json_codec.loads(content)
    try:
        return json_codec.loads(content.decode(json.detect_encoding(content)))
    except UnicodeDecodeError as error:
        raise json_codec.NotJson(str(error)) from None


def media_type(response: Response) -> str:
    """Return the response's media type without parameters; empty if there is none."""
    return (response.header("content-type") or "").partition(";")[0].strip().lower()


def _json(response: Response) -> Json:
    try:
        return read_json(response.content)
    except json_codec.NotJson as error:
        where = without_query(response.url)
        raise call_errors.communication(
            502, f"{where} answered with broken JSON: {error}"
        ) from error


def is_text(response: Response) -> bool:
    """Whether the response's media type is a textual one."""
    media = media_type(response)
    return media.startswith("text/") or any(media.endswith(kind) for kind in _TEXTUAL)


def text_of_body(response: Response) -> str:
    """Return the body as text, in its declared encoding or UTF-8."""
    declared = (response.header("content-type") or "").lower().partition("charset=")[2]
    charset = declared.partition(";")[0].strip(" \"'") or "utf-8"
    try:
        return response.content.decode(charset, "replace")
    except LookupError:
        return response.content.decode("utf-8", "replace")


def _sniffed(response: Response) -> Json:
    try:
        return read_json(response.content)
    except json_codec.NotJson:
        pass
    try:
        return response.content.decode()
    except UnicodeDecodeError:
        return base64.b64encode(response.content).decode()


def headers_as_object(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers as an object; repeated headers have their values joined."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def failed_data(response: Response) -> dict[str, Json]:
    """Return a failed response in the form of the DSL (dsl-reference.md, HTTP Response), with
    `retryAfter` in seconds. A body above `_MAX_ERROR_BODY` bytes is left out, and so are cookies
    and the headers beyond half of that bound."""
    is_complete = len(response.content) <= _MAX_ERROR_BODY
    data: dict[str, Json] = {
        "statusCode": response.status,
        "headers": headers_as_object(_error_headers(response.headers)),
        "content": _content_or_text(response) if is_complete else None,
    }
    if not is_complete:
        data["truncated"] = True
    seconds = _retry_after(response)
    return data if seconds is None else {**data, "retryAfter": seconds}


def _error_headers(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    remaining = _MAX_ERROR_BODY // 2
    for name, value in headers:
        remaining -= len(name) + len(value)
        if remaining >= 0 and name.lower() != "set-cookie":
            yield name, value


def _content_or_text(response: Response) -> Json:
    try:
        return content_of(response)
    except WorkflowError:  # JSON that is broken, of a service that fails
        return text_of_body(response)


def _retry_after(response: Response) -> int | None:
    """Return the seconds of `Retry-After` (RFC 9110, 10.2.3): a number, or a date relative to the
    response's own date. None if it has none."""
    text = (response.header("retry-after") or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    try:
        until = parsedate_to_datetime(text)
        since = parsedate_to_datetime(response.header("date") or "")
        return max(0, round((until - since).total_seconds()))
    except (ValueError, TypeError):  # no date; or one with a zone, the other without
        return None


def without_query(url: str) -> str:
    """Return a URL without its query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"
