"""Caches access tokens, so that a loop of calls requests only one."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

from orchestrator import clock

_MARGIN = 30.0  # seconds before its expiry from which a token is not used any more
_MAX_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Token:
    """An access token: `Authorization: {scheme} {value}`, valid for `lifetime` seconds."""

    scheme: str
    value: str
    lifetime: float


class Tokens:
    """Tokens by the properties that they were requested with. Thread-safe; in memory only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: OrderedDict[str, tuple[float, Token]] = OrderedDict()

    def get(self, key: str) -> Token | None:
        """Return a token that is valid for at least `_MARGIN` seconds, or None."""
        with self._lock:
            end, token = self._tokens.get(_hashed(key), (0.0, None))
        return token if end > clock.monotonic() else None

    def put(self, key: str, token: Token) -> Token:
        """Cache a token until `_MARGIN` seconds before it expires, and return it."""
        if token.lifetime > _MARGIN:
            with self._lock:
                end = clock.monotonic() + token.lifetime - _MARGIN
                self._tokens[_hashed(key)] = (end, token)
                self._tokens.move_to_end(_hashed(key))
                if len(self._tokens) > _MAX_TOKENS:
                    self._tokens.popitem(last=False)
        return token

    def remove(self, token: Token) -> None:
        """Remove a token that a server has refused."""
        with self._lock:
            for key in [key for key, entry in self._tokens.items() if entry[1] is token]:
                del self._tokens[key]


def _hashed(key: str) -> str:
    """Hash a key: it contains passwords, which must not stay in memory."""
    return hashlib.sha256(key.encode()).hexdigest()
