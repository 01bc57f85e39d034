"""The history of an instance: one row a transition, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.database.connection.session import Session
from orchestrator.database.instances.instance_queries import SETTLED
from orchestrator.database.keyset_pages import Page, page


def listed(
    session: Session,
    instance: str,
    *,
    descending: bool = False,
    limit: int = 200,
    after: Sequence[Any] | None = None,
) -> Page:
    """Rows ``(sequence, at, stimulus, facts)``; the last two as JSON text."""
    return page(
        session,
        "select sequence, at, stimulus::text, facts::text from orchestrator.history",
        [("instance_id = %(instance)s", {"instance": instance})],
        order=("sequence",),
        descending=descending,
        limit=limit,
        after=after,
    )


@dataclass(frozen=True, slots=True)
class Followed:
    """An instance's rows after one of them, as `listed` has them, with its `sequence` and
    whether it is settled: all of it as one statement saw it."""

    rows: list[tuple[Any, ...]]
    sequence: int
    settled: bool


def follow(session: Session, instance: str, after: int, limit: int) -> Followed | None:
    """What happened after the transition `after`, at most `limit` rows of it; None: the
    instance does not exist (any more)."""
    rows = session.all(
        f"select i.sequence, {SETTLED}, h.sequence, h.at, h.stimulus, h.facts"
        " from orchestrator.instances i left join lateral ("
        "  select h.sequence, h.at, h.stimulus::text, h.facts::text from orchestrator.history h"
        "  where h.instance_id = i.id and h.sequence > %(after)s order by h.sequence"
        "  limit %(limit)s) h on true"
        " where i.id = %(instance)s order by h.sequence",
        {"instance": instance, "after": after, "limit": limit},
    )
    if not rows:
        return None
    found = [row[2:] for row in rows if row[2] is not None]
    return Followed(found, rows[0][0], rows[0][1])
