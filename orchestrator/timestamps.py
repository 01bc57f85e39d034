"""Times of clients (RFC 3339), converted for the database."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(text: str) -> datetime:
    """Return the time of a text, in UTC: Postgres accepts no offset of 16 hours or more.

    Raises `ValueError` if the text is not a time, or the time has no zone or is out of range.
    """
    return in_utc(datetime.fromisoformat(text))


def in_utc(time: datetime) -> datetime:
    """Return the same moment in UTC. Raises `ValueError` without a zone or out of range."""
    if time.tzinfo is None:
        raise ValueError("the time has no zone")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None
