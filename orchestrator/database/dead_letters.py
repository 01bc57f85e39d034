"""Work that gave up and waits for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.codec import dumps
from orchestrator.core.values import OPEN
from orchestrator.database import audit, commands
from orchestrator.database.audit import Entry
from orchestrator.database.pages import Condition, Level, Page, Part, Scope, counted_by, page_by
from orchestrator.database.slices import Reader

_COLUMNS = (
    "created_at, id::text, namespace, instance_id::text, step, reason, error::text,"
    " resolved_at, resolution::text"
)
_TABLE = "orchestrator.dead_letters"
_SELECT = f"select {_COLUMNS} from {_TABLE}"
_OPEN = sorted(status.value for status in OPEN)


def listed(
    reader: Reader,
    scope: Scope,
    *,
    resolved: bool | None = None,
    instance: str | None = None,
    namespace: str | None = None,
    descending: bool = True,
    limit: int = 50,
    after: Sequence[Any] | None = None,
    more: Sequence[Condition] = (),
) -> Page:
    """Dead letters, by default the newest first: ``(created_at, id, namespace, instance_id, step,
    reason, error, resolved_at, resolution)``; error and resolution are JSON text."""
    return page_by(
        reader,
        _COLUMNS,
        _TABLE,
        [_part(scope, resolved, instance, namespace, more)],
        order=("created_at", "id"),
        descending=descending,
        limit=limit,
        after=after,
    )


def open_count(
    reader: Reader, scope: Scope, instance: str | None, namespace: str | None, most: int
) -> int:
    """How many dead letters nobody has settled, counted up to `most`."""
    return counted_by(reader, _TABLE, [_part(scope, False, instance, namespace, ())], most)


def _part(
    scope: Scope,
    resolved: bool | None,
    instance: str | None,
    namespace: str | None,
    more: Sequence[Condition],
) -> Part:
    state = None if resolved is None else f"resolved_at is {'not ' if resolved else ''}null"
    return Part(
        [scope.level if namespace is None else Level("namespace", [namespace])],
        [
            (state, {}) if state else None,
            ("instance_id = %(instance)s", {"instance": instance}) if instance else None,
            *more,
        ],
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


def settle(
    cursor: Reader,
    letter: Sequence[Any],
    action: str,
    by: str,
    reason: str | None,
    address: str | None,
) -> bool:
    """Do with a letter (as `listed` has it) what a person decided, ``retry`` or ``resolve``: a
    command to its instance, and a line of the audit log. False where it was settled already, or
    where its instance still runs: what a `try` could not undo is settled afterwards."""
    _, id, namespace, instance, step, *_ = letter
    decided = {"action": action, "by": by, "reason": reason}
    if not resolve(cursor, id, dumps(decided)):
        return False
    commands.put(cursor, instance, {"command": "compensation", "step": step, **decided})
    audit.write(cursor, Entry(by, f"dead-letter.{action}", namespace, id, reason, address=address))
    return True


def resolve(cursor: Reader, id: str, resolution: str) -> bool:
    """Note what a person decided (JSON text); False as `settle` says."""
    row = cursor.one(
        "update orchestrator.dead_letters set resolved_at = clock_timestamp(), resolution = %s"
        " where id = %s and resolved_at is null and not exists ("
        "  select from orchestrator.instances i"
        "   where i.id = instance_id and i.status = any(%s)) returning 1",
        (resolution, id, _OPEN),
    )
    return row is not None
