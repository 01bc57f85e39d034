"""What of a request stays with the origin that it is made for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Confined:
    """What of a request stays with the origin (scheme, host, port) that it is made for: headers
    by their names, and whether the body does. Credentials always stay."""

    headers: frozenset[str] = frozenset()
    body: bool = False


NOTHING_CONFINED = Confined()
