"""The first query of a beat: whether there is work, and when something is due next, by the
database's clock. SQL functions with cached plans, because beats ask often."""

from __future__ import annotations

from orchestrator.database.connection.session import Session


def is_idle(session: Session) -> bool:
    """Whether nothing is ready, claimed, or waits to be applied, matched or processed."""
    row = session.one("select orchestrator.is_idle()")
    return bool(row and row[0])


def next_due(session: Session) -> float | None:
    """Return the seconds until the next timer or schedule is due (negative: overdue); None: there
    is none."""
    row = session.one(
        "select extract(epoch from orchestrator.next_due() - clock_timestamp())::float8"
    )
    return row[0] if row else None
