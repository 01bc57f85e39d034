"""The history of an instance: one row for each transition, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.database.connection.session import Session
from orchestrator.database.instances.instance_queries import IS_FINAL
from orchestrator.database.keyset_pages import PAGE_BYTES, Page, equal, page


def listed(
    session: Session,
    instance: str,
    *,
    descending: bool = False,
    limit: int = 200,
    after: Sequence[Any] | None = None,
) -> Page:
    """Return rows ``(sequence, at, stimulus, facts)``; the last two are JSON text."""
    return page(
        session,
        "select sequence, at, stimulus::text, facts::text from orchestrator.history",
        [equal("instance_id", instance)],
        order=("sequence",),
        descending=descending,
        limit=limit,
        after=after,
        payloads=("stimulus", "facts"),
    )


@dataclass(frozen=True, slots=True)
class Followed:
    """An instance's rows after one of them, as `listed` has them, with its `sequence` and whether
    it is final; all read by one statement."""

    rows: list[tuple[Any, ...]]
    sequence: int
    is_final: bool


def follow(session: Session, instance: str, after: int, limit: int) -> Followed | None:
    """Return at most `limit` rows after the transition `after`, and no more than a page's bytes
    (`PAGE_BYTES`); None: the instance does not exist, or no longer."""
    rows = session.all(
        f"""
        select i.sequence, {IS_FINAL}, h.sequence, h.at, h.stimulus, h.facts
        from orchestrator.instances i
        left join lateral (
          select h.*, coalesce(
              sum(octet_length(stimulus) + octet_length(facts)) over (
                order by sequence rows between unbounded preceding and 1 preceding), 0) as before
          from (
            select h.sequence, h.at, h.stimulus::text, h.facts::text
            from orchestrator.history h
            where h.instance_id = i.id and h.sequence > %(after)s
            order by h.sequence limit %(limit)s) h) h on h.before < %(bytes)s
        where i.id = %(instance)s
        order by h.sequence
        """,
        {"instance": instance, "after": after, "limit": limit, "bytes": PAGE_BYTES},
    )
    if not rows:
        return None
    found = [row[2:] for row in rows if row[2] is not None]
    return Followed(found, rows[0][0], rows[0][1])
