"""What a beat asks first: whether there is anything to look after, and when something is due
next, by the database's clock. Functions whose plans are kept, because it asks again and again."""

from __future__ import annotations

from orchestrator.database.connection.session import Session


def is_idle(session: Session) -> bool:
    """Whether nothing is ready, claimed, or waits to be brought, matched or worked off."""
    row = session.one("select orchestrator.at_rest()")
    return bool(row and row[0])


def next_due(session: Session) -> float | None:
    """Seconds until the next timer or schedule is due (negative: overdue); None: there is none."""
    row = session.one(
        "select extract(epoch from orchestrator.next_due() - clock_timestamp())::float8"
    )
    return row[0] if row else None
