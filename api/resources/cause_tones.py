"""How urgent a cause is: calm, soon (it changes by itself) or alarm (a person must act)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

CALM, SOON, ALARM = "calm", "soon", "alarm"
TONES = (CALM, SOON, ALARM)

#: The tone of each kind, as long as it does not last too long.
_TONES = {
    **dict.fromkeys(("running", "timer", "event", "suspended", "moving", "workflow"), CALM),
    **dict.fromkeys(("retry", "compensating", "withdrawn", "no-slot", "silent-worker"), SOON),
    **dict.fromkeys(("lease", "inbox", "unpublished", "delivery", "event-came"), SOON),
    "repaired-child": SOON,
}
#: How long a cause that ends by itself may last before it is an alarm.
_PATIENCE = {
    **dict.fromkeys(("inbox", "unpublished", "delivery", "event-came"), timedelta(seconds=15)),
    "no-slot": timedelta(minutes=5),
}


def tone(kind: str, since: datetime | None, now: datetime) -> str:
    """Return the tone of a cause; every kind that is not known to be harmless is an alarm."""
    patience = _PATIENCE.get(kind)
    if patience is not None and since is not None and now - since > patience:
        return ALARM
    return _TONES.get(kind, ALARM)


def tone_of_end(status: str, compensation: str) -> str:
    """Return the tone of an instance that has ended."""
    return ALARM if status == "faulted" or compensation == "failed" else CALM


def worst(causes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the causes, the most urgent first; those of one tone stay in their order."""
    return sorted(causes, key=lambda cause: -TONES.index(cause["tone"]))
