"""When something is due next, by the database's clock, in one statement."""

from __future__ import annotations

from orchestrator.database.slices import Reader


def seconds_until(reader: Reader, *moments: str) -> float | None:
    """Seconds until the first of these moments, each a query of ours for one timestamp or null
    (negative: it has passed); None: there is none."""
    first = ", ".join(f"({moment})" for moment in moments)
    row = reader.one(f"select extract(epoch from least({first}) - clock_timestamp())::float8")
    return row[0] if row else None
