"""The history of an instance: one row a transition, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.database.pages import Page, page
from orchestrator.database.slices import Reader


def listed(
    reader: Reader,
    instance: str,
    *,
    descending: bool = False,
    limit: int = 200,
    after: Sequence[Any] | None = None,
) -> Page:
    """Rows ``(sequence, at, stimulus, facts)``; the last two as JSON text."""
    return page(
        reader,
        "select sequence, at, stimulus::text, facts::text from orchestrator.history",
        [("instance_id = %(instance)s", {"instance": instance})],
        order=("sequence",),
        descending=descending,
        limit=limit,
        after=after,
    )
