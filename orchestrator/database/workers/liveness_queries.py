"""What tells a worker that is well from one that only looks so."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.database.connection.session import Session


def has_stalled_attempt(
    session: Session,
    queues: Sequence[str],
    tasks: Sequence[str],
    *,
    limits: bool,
    seconds: float,
    silence: float,
) -> bool:
    """Whether an attempt of these queues and tasks, ready for that long, was published within
    the silence, and long enough ago to have been delivered: what was sent before may have gone
    to others. `limits`: also those that need a time limit enforced."""
    row = session.one(
        """
        select 1 from orchestrator.attempts
        where state = 'ready' and not withdrawn and queue = any(%s) and task = any(%s)
          and (%s or time_limit is null) and created_at < clock_timestamp() - %s * interval '1 s'
          and published_at between clock_timestamp() - %s * interval '1 s'
            and clock_timestamp() - interval '1 s'
        limit 1
        """,
        (list(queues), list(tasks), limits, seconds, silence),
    )
    return row is not None


def has_live_worker(session: Session, host: str, seconds: float) -> bool:
    """Whether a worker of this host has beaten within so many seconds."""
    row = session.one(
        """
        select 1 from orchestrator.workers
        where split_part(name, '@', 2) = %s and stopped_at is null
          and seen_at > clock_timestamp() - %s * interval '1 s'
        limit 1
        """,
        (host, seconds),
    )
    return row is not None


#: How long a worker may be silent and still count as live, as SQL.
LIVE = "stopped_at is null and seen_at > clock_timestamp() - %(lease)s * interval '1 s'"
