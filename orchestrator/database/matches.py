"""Which event went to whom: once to each listener."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.database.slices import Reader


@dataclass(frozen=True, slots=True)
class MatchRow:
    """An event that was offered to a listener, or (step 0) that started an instance."""

    instance: str
    step: int
    refused: bool
    at: datetime


def of_event(reader: Reader, number: int, limit: int = 1000) -> list[MatchRow]:
    """The first that an event was offered to, at most `limit`."""
    rows = reader.all(
        "select instance_id::text, step, refused, created_at from orchestrator.matches"
        " where event = %s order by created_at, instance_id, step limit %s",
        (number, limit),
    )
    return [MatchRow(*row) for row in rows]


def started(cursor: Reader, pairs: Sequence[tuple[int, str]]) -> None:
    """Note that events have started instances: ``(event's number, instance)``."""
    if pairs:
        cursor.all(
            "insert into orchestrator.matches (event, instance_id, step)"
            " select event, instance_id, 0 from unnest(%s::bigint[], %s::uuid[])"
            " as g(event, instance_id) on conflict do nothing",
            ([pair[0] for pair in pairs], [pair[1] for pair in pairs]),
        )
