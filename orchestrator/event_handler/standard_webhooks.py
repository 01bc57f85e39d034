"""Webhooks as Standard Webhooks has them (its specification, 1.0.0): pure.

A message has an id, which is the same however often it is sent, a time, and a signature of
both and of the body: HMAC-SHA256 with the subscription's secret.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX = "whsec_"
#: Bytes of a secret, as the specification bounds them.
LEAST, MOST = 24, 64

#: The wait after the first failure, in s; it doubles with each, up to an hour.
FIRST, LONGEST = 1.0, 3600.0


def new_secret() -> str:
    """A secret, as it is shown."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def is_secret(text: str) -> bool:
    """Whether a text is a secret."""
    try:
        return text.startswith(PREFIX) and LEAST <= len(_key(text)) <= MOST
    except (ValueError, binascii.Error):
        return False


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)


def signature(secret: str, id: str, timestamp: int, body: bytes) -> str:
    """What stands in the header ``webhook-signature``."""
    signed = b"%b.%d.%b" % (id.encode(), timestamp, body)
    digest = hmac.digest(_key(secret), signed, "sha256")
    return "v1," + base64.b64encode(digest).decode()


def headers(secret: str, id: str, timestamp: int, body: bytes) -> list[tuple[str, str]]:
    """The headers of a message."""
    return [
        ("webhook-id", id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", signature(secret, id, timestamp, body)),
    ]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer to a message means: it arrived, or is to be sent again after `wait`
    seconds, or (`gone`) nothing is to be sent there any more."""

    arrived: bool
    wait: float | None = None
    is_gone: bool = False
    error: str | None = None


def verdict(status: int, headers: Iterable[tuple[str, str]], attempt: int, share: float) -> Verdict:
    """The meaning of a response. `share`, from 0 to 1, spreads the waits of many messages."""
    if 200 <= status < 300:
        return Verdict(True)
    if status == 410:
        return Verdict(False, is_gone=True, error="the receiver is gone for good (410)")
    asked = next((value for name, value in headers if name.lower() == "retry-after"), "")
    wait = backoff(attempt, share)
    if asked.isdecimal() and len(asked) < 6:
        wait = min(LONGEST, max(wait, float(asked)))
    why = "redirections are not followed" if 300 <= status < 400 else "no success"
    return Verdict(False, wait, error=f"HTTP {status}: {why}")


def backoff(attempt: int, share: float) -> float:
    """Seconds to wait after the failed try of this number, from 1."""
    return min(LONGEST, FIRST * 2.0 ** min(attempt - 1, 20)) * (0.8 + 0.4 * share)
