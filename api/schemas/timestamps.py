"""Times as clients write them (RFC 3339), as the database can take them."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(text: str) -> datetime:
    """A time with its zone, in UTC: Postgres knows no offset of 16 hours or more.

    Raises `ValueError` where it is no time, has no zone, or lies outside of all calendars.
    """
    return in_utc(datetime.fromisoformat(text))


def in_utc(found: datetime) -> datetime:
    """The same moment, in UTC. Raises `ValueError`."""
    if found.tzinfo is None:
        raise ValueError("the time has no zone")
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None
