"""The only places where a process asks what time it is; but for the keeper of processes, which
imports nothing of ours, and `ids`, whose ids are of their moment.

Whatever decides by time takes it as an argument; what is due and whose lease has run out
is judged by the database's clock or by a process's own monotonic one, never by comparing
the wall clocks of two machines.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The wall clock, in UTC; for records and messages, never for durations."""
    return datetime.now(UTC)  # noqa: TID251 (this is the place that the rule points to)


def monotonic() -> float:
    """Seconds from an arbitrary start that never run backward; for every duration."""
    return time.monotonic()  # noqa: TID251 (likewise)
