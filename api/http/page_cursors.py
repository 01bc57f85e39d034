"""Cursors of pages: the last row of a page, valid for the same path and parameters only.

A cursor is opaque to clients. Its checksum covers path, filters and order, so that a damaged
cursor or the cursor of another list is refused. It grants nothing: access is checked for each
page.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import request

from api.http.query_parser import invalid_parameter
from orchestrator import json_codec
from orchestrator.timestamps import moment

#: Bytes of a cursor's checksum.
_SUM = 8
_LARGEST = 2**63 - 1


__all__ = ["id", "moment", "number", "read", "text", "write"]


def number(value: Any) -> int:
    """Return a number that a row may have. Raises `ValueError`."""
    if not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise ValueError
    return value


def id(value: Any) -> str:
    """Return an id that a row may have. Raises `ValueError`."""
    return str(UUID(value))


def text(value: Any) -> str:
    """Return a text that a row may have. Raises `ValueError`."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


Readers = Sequence[Callable[[Any], Any]]


def write(last: Sequence[Any] | None) -> str | None:
    """Return the cursor after a row for the current request, or None after the last row."""
    if last is None:
        return None
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in last]
    payload = json_codec.encode(plain)
    return base64.urlsafe_b64encode(_sum(payload) + payload).decode().rstrip("=")


def read(cursor: str | None, readers: Readers) -> list[Any] | None:
    """Return the values of the row after which the page begins. Raises `Problem` 400."""
    if not cursor:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        if raw[:_SUM] != _sum(raw[_SUM:]):
            raise ValueError
        values = json_codec.loads(raw[_SUM:])
        return [reader(value) for reader, value in zip(readers, values, strict=True)]
    except (ValueError, TypeError, AttributeError, binascii.Error, json_codec.NotJson):
        raise invalid_parameter(
            "cursor", "is not a cursor of this list and these parameters"
        ) from None


def _sum(payload: bytes) -> bytes:
    parameters = sorted(
        (name, value) for name, value in request.args.items() if name not in {"cursor", "limit"}
    )
    covered = json_codec.encode([request.path, parameters])
    return hashlib.blake2s(covered + payload, digest_size=_SUM).digest()
