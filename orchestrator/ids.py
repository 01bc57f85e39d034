"""UUIDs of version 7 (RFC 9562): time-ordered, so that index inserts stay at the right end."""

from __future__ import annotations

import secrets
import time
import uuid


def uuid7(milliseconds: int, randomness: int) -> str:
    """Build a UUIDv7 from a Unix time in ms and 74 bits of randomness; pure."""
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | 0b10 << 62
    value |= (randomness >> 62 & 0xFFF) << 64 | randomness & (1 << 62) - 1
    return str(uuid.UUID(int=value))


def new_id() -> str:
    """A fresh UUIDv7 of this moment."""
    return uuid7(time.time_ns() // 1_000_000, secrets.randbits(74))
