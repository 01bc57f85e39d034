"""Counts the refused keys of each client address, in one process.

A refused key costs a look into the database. At the bound an address gets 429 for every further key
that this process has never accepted, without that look. Keys that it has accepted are not
affected: behind a proxy all clients may share one address.
"""

from __future__ import annotations

import math
import threading

from api.http import problem_types
from api.http.problems import Problem
from orchestrator import clock

#: Refused keys a second of one address, and the most at once.
PER_SECOND, AT_ONCE = 5.0, 100
#: The most addresses that are remembered; at the bound all are forgotten.
_MAX_ADDRESSES = 10_000


class RefusedKeys:
    """The addresses with refused keys. Thread-safe."""

    def __init__(self) -> None:
        #: When the count of each address will be zero (GCRA), in monotonic seconds.
        self._zero_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def check(self, address: str) -> None:
        """Raise `Problem` 429 if an address has shown too many refused keys."""
        early = self._zero_at.get(address, 0.0) - clock.monotonic() - (AT_ONCE - 1) / PER_SECOND
        if early > 0:
            headers = {"Retry-After": str(math.ceil(early))}
            raise Problem(
                problem_types.TOO_MANY, "this address shows too many wrong keys", headers=headers
            )

    def count(self, address: str) -> None:
        """Count a refused key."""
        now = clock.monotonic()
        with self._lock:
            if len(self._zero_at) >= _MAX_ADDRESSES:
                self._zero_at.clear()
            self._zero_at[address] = max(self._zero_at.get(address, 0.0), now) + 1 / PER_SECOND
