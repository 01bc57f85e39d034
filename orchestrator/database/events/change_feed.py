"""Which instances changed, from the positions of history: never what was written in them."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.database.connection.session import Session


@dataclass(frozen=True, slots=True)
class Change:
    """An instance that changed, as it is now; several of its transitions are one change."""

    instance: str
    namespace: str
    sequence: int
    status: str
    compensation: str


def changes(session: Session, first: int, before: int) -> list[Change]:
    """Return the instances with transitions at the positions from `first` to `before` (exclusive),
    each once."""
    rows = session.all(
        """
        select i.id::text, i.namespace, i.sequence, i.status, i.compensation
        from (
          select distinct instance_id from orchestrator.history
          where position >= %s and position < %s) h
        join orchestrator.instances i on i.id = h.instance_id
        """,
        (first, before),
    )
    return [Change(*row) for row in rows]
