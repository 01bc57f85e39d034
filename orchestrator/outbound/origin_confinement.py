"""The parts of a request that only its first origin may receive."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Confined:
    """The parts of a request that are sent to its first origin (scheme, host, port) only: headers
    by name, and the body if `body`. Credentials are always confined."""

    headers: frozenset[str] = frozenset()
    body: bool = False


NOTHING_CONFINED = Confined()
