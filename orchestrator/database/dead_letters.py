"""Work that gave up and waits for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.database.pages import Page, Part, Scope, page_by
from orchestrator.database.slices import Reader

_COLUMNS = (
    "created_at, id::text, namespace, instance_id::text, step, reason, error::text,"
    " resolved_at, resolution::text"
)
_SELECT = f"select {_COLUMNS} from orchestrator.dead_letters"


def listed(
    reader: Reader,
    scope: Scope,
    *,
    resolved: bool | None = None,
    instance: str | None = None,
    limit: int = 50,
    after: Sequence[Any] | None = None,
) -> Page:
    """Dead letters, the newest first: ``(created_at, id, namespace, instance_id, step,
    reason, error, resolved_at, resolution)``; error and resolution are JSON text."""
    state = None if resolved is None else f"resolved_at is {'not ' if resolved else ''}null"
    return page_by(
        reader,
        _COLUMNS,
        "orchestrator.dead_letters",
        [
            Part(
                [scope.level],
                [
                    (state, {}) if state else None,
                    ("instance_id = %(instance)s", {"instance": instance}) if instance else None,
                ],
            )
        ],
        order=("created_at", "id"),
        descending=True,
        limit=limit,
        after=after,
    )


def get(reader: Reader, id: str) -> tuple[Any, ...] | None:
    """One dead letter, as `listed` has it."""
    return reader.one(f"{_SELECT} where id = %s", (id,))


def of_step(reader: Reader, instance: str, step: int) -> tuple[Any, ...] | None:
    """The newest open dead letter of a step, as `listed` has it."""
    return reader.one(
        f"{_SELECT} where instance_id = %s and step = %s and resolved_at is null"
        " order by created_at desc limit 1",
        (instance, step),
    )


def resolve(cursor: Reader, id: str, resolution: str) -> bool:
    """Note what a person decided (JSON text); False where somebody had already."""
    row = cursor.one(
        "update orchestrator.dead_letters set resolved_at = clock_timestamp(), resolution = %s"
        " where id = %s and resolved_at is null returning 1",
        (resolution, id),
    )
    return row is not None
