"""Cursors of pages: where to go on, for the same question only.

A cursor is opaque to clients. Its checksum covers the question (path, filters, order), so
that a mangled cursor, or one of another question, is told apart from a good one. It grants
nothing: what may be seen is decided anew for each page.
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
from api.schemas.timestamps import moment
from orchestrator import json_codec

_SUM = 8
_LARGEST = 2**63 - 1


__all__ = ["id", "moment", "number", "read", "text", "write"]


def number(value: Any) -> int:
    """A number that a row may have."""
    if not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise ValueError
    return value


def id(value: Any) -> str:
    """An id that a row may have."""
    return str(UUID(value))


def text(value: Any) -> str:
    """Text that a row may have."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


Kinds = Sequence[Callable[[Any], Any]]


def write(last: Sequence[Any] | None) -> str | None:
    """The cursor behind a row, for the present request; None behind the last one."""
    if last is None:
        return None
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in last]
    payload = json_codec.encode(plain)
    return base64.urlsafe_b64encode(_sum(payload) + payload).decode().rstrip("=")


def read(cursor: str | None, kinds: Kinds) -> list[Any] | None:
    """The values of the row to go on behind. Raises `Problem` 400."""
    if not cursor:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        if raw[:_SUM] != _sum(raw[_SUM:]):
            raise ValueError
        values = json_codec.loads(raw[_SUM:])
        return [kind(value) for kind, value in zip(kinds, values, strict=True)]
    except (ValueError, TypeError, AttributeError, binascii.Error, json_codec.NotJson):
        raise invalid_parameter("cursor", "is not one that this question gave") from None


def _sum(payload: bytes) -> bytes:
    asked = sorted(
        (name, value) for name, value in request.args.items() if name not in {"cursor", "limit"}
    )
    question = json_codec.encode([request.path, asked])
    return hashlib.blake2s(question + payload, digest_size=_SUM).digest()
