"""What a check of the doctor found."""

from __future__ import annotations

from dataclasses import dataclass


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
