"""Access tokens that are still good, so that a loop of calls asks for one once."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

from orchestrator import clock

_MARGIN = 30.0  # seconds before its end that a token is no longer handed out
_MAX_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Token:
    """An access token: `Authorization: {scheme} {value}`, good for `lifetime` seconds."""

    scheme: str
    value: str
    lifetime: float


class Tokens:
    """Tokens by what they were asked for with. Thread-safe; in memory only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: OrderedDict[str, tuple[float, Token]] = OrderedDict()

    def get(self, key: str) -> Token | None:
        """A token that is good for a while yet, or None."""
        with self._lock:
            end, token = self._tokens.get(_hashed(key), (0.0, None))
        return token if end > clock.monotonic() else None

    def put(self, key: str, token: Token) -> Token:
        """Keep a token until shortly before its end, and return it."""
        if token.lifetime > _MARGIN:
            with self._lock:
                end = clock.monotonic() + token.lifetime - _MARGIN
                self._tokens[_hashed(key)] = (end, token)
                self._tokens.move_to_end(_hashed(key))
                if len(self._tokens) > _MAX_TOKENS:
                    self._tokens.popitem(last=False)
        return token

    def remove(self, token: Token) -> None:
        """Forget a token that was refused."""
        with self._lock:
            for key in [key for key, kept in self._tokens.items() if kept[1] is token]:
                del self._tokens[key]


def _hashed(key: str) -> str:
    """The key holds passwords; its hash is what stays in memory."""
    return hashlib.sha256(key.encode()).hexdigest()
