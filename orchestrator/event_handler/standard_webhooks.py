"""Webhooks after the specification Standard Webhooks 1.0.0: pure.

A message has an id, which stays the same when it is sent again, a time, and a signature of the id,
the time and the body: HMAC-SHA256 with the subscription's secret.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX = "whsec_"
#: Smallest and largest size of a secret in bytes, from the specification.
MIN_SECRET, MAX_SECRET = 24, 64

#: Seconds until the second try. The time doubles with each failure, up to an hour.
FIRST_DELAY, LONGEST_DELAY = 1.0, 3600.0


def new_secret() -> str:
    """Return a new secret in its text form."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def is_secret(text: str) -> bool:
    """Whether a text is a valid secret."""
    try:
        return text.startswith(PREFIX) and MIN_SECRET <= len(_key(text)) <= MAX_SECRET
    except (ValueError, binascii.Error):
        return False


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)


def signature(secret: str, id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the header ``webhook-signature``."""
    signed = b"%b.%d.%b" % (id.encode(), timestamp, body)
    digest = hmac.digest(_key(secret), signed, "sha256")
    return "v1," + base64.b64encode(digest).decode()


def headers(secret: str, id: str, timestamp: int, body: bytes) -> list[tuple[str, str]]:
    """Return the headers of a message."""
    return [
        ("webhook-id", id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", signature(secret, id, timestamp, body)),
    ]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The meaning of a response: the message arrived, or is sent again after `wait` seconds, or
    (`is_gone`) the receiver wants no more messages."""

    arrived: bool
    wait: float | None = None
    is_gone: bool = False
    error: str | None = None


def verdict(
    status: int, headers: Iterable[tuple[str, str]], attempt: int, jitter: float
) -> Verdict:
    """Return the meaning of a response. `jitter`, from 0 to 1, spreads the waits of many
    messages."""
    if 200 <= status < 300:
        return Verdict(True)
    if status == 410:
        return Verdict(False, is_gone=True, error="the receiver is gone for good (410)")
    retry_after = next((value for name, value in headers if name.lower() == "retry-after"), "")
    wait = backoff(attempt, jitter)
    if retry_after.isdecimal() and len(retry_after) < 6:
        wait = min(LONGEST_DELAY, max(wait, float(retry_after)))
    reason = "redirections are not followed" if 300 <= status < 400 else "no success"
    return Verdict(False, wait, error=f"HTTP {status}: {reason}")


def backoff(attempt: int, jitter: float) -> float:
    """Return the seconds to wait after failed try number `attempt`, from 1."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempt - 1, 20)) * (0.8 + 0.4 * jitter)
