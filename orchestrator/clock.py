"""The only functions that read a process's clocks. Exceptions: the subreaper process, which imports
nothing of ours, and `ids`, whose ids contain the current time.

Functions that decide by time receive it as an argument. Due times and leases are compared with the
clock of the database or with one process's monotonic clock. Wall clocks of two machines are never
compared: they differ.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the wall clock's time, in UTC; for records and messages, never for durations."""
    return datetime.now(UTC)  # noqa: TID251 (the rule points to this function)


def monotonic() -> float:
    """Return seconds since an arbitrary start, which never go backward; for every duration."""
    return time.monotonic()  # noqa: TID251 (likewise)
