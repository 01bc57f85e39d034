"""What a check of the doctor found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby


@dataclass(frozen=True)
class Finding:
    """The result of one check. `state` is ``ok``, ``note`` (worth knowing, not wrong by itself),
    ``failed`` (a needed part is missing), ``inconsistent``, ``repaired`` or ``unrepaired``."""

    check: str
    found: str
    advice: str | None = None
    state: str = "ok"
    instance: str | None = None
    step: int | None = None


def shortened(findings: Iterable[Finding], most: int) -> Iterator[Finding]:
    """Yield at most `most` findings of each check, with one more that counts the rest."""
    for _, group in groupby(findings, key=lambda each: each.check):
        of_check = list(group)
        yield from of_check[:most]
        if rest := of_check[most:]:
            found = f"and {len(rest)} more of this kind"
            yield replace(rest[-1], found=found, instance=None, step=None)
