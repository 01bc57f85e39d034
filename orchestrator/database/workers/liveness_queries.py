"""Signs of a worker that heartbeats but does not work."""

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
    """Whether an attempt of these queues and tasks has been ready for `seconds` and was published
    within `silence`, but more than a second ago: an older message may have gone to another worker.

    `limits`: include attempts whose time limit must be enforced.
    """
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
    """Whether a worker of this host sent a heartbeat within `seconds`."""
    row = session.one(
        """
        select 1 from orchestrator.workers
        where split_part(name, '@', 2) = %s and stopped_at is null
          and last_heartbeat_at > clock_timestamp() - %s * interval '1 s'
        limit 1
        """,
        (host, seconds),
    )
    return row is not None


#: The condition for a live worker, as SQL: a heartbeat within the lease.
LIVE = "stopped_at is null and last_heartbeat_at > clock_timestamp() - %(lease)s * interval '1 s'"
