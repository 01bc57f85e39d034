"""Attempts that stand at the broker although a worker says that it is idle."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.database.slices import Reader


def stands_unclaimed(
    reader: Reader, queues: Sequence[str], tasks: Sequence[str], *, limits: bool, seconds: float
) -> bool:
    """Whether an attempt of these queues and tasks, ready for that long, was published long
    enough ago to have been delivered. `limits`: also those that need a time limit enforced."""
    row = reader.one(
        "select 1 from orchestrator.attempts where state = 'ready' and not withdrawn"
        " and queue = any(%s) and task = any(%s) and (%s or time_limit is null)"
        " and created_at < clock_timestamp() - %s * interval '1 s'"
        " and published_at < clock_timestamp() - interval '1 s' limit 1",
        (list(queues), list(tasks), limits, seconds),
    )
    return row is not None
