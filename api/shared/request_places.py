"""Places for requests that last: each key has a share, so that one key can't take all of them."""

from __future__ import annotations

import threading
from collections import Counter


class RequestPlaces:
    """At most `total` requests at a time, and at most `share` of one owner (`Caller.owner`)."""

    def __init__(self, total: int, share: int | None = None) -> None:
        self._total = total
        self._share = total if share is None else share
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, owner: str) -> bool:
        """Take a place; False: none is free, or the owner has its share."""
        with self._lock:
            if self._taken.total() >= self._total or self._taken[owner] >= self._share:
                return False
            self._taken[owner] += 1
            return True

    def free(self, owner: str) -> None:
        """Free a place."""
        with self._lock:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]
