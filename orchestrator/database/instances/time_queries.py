"""The recorded times of an instance's steps, attempts and suspensions, for its time account."""

from __future__ import annotations

from datetime import datetime

from orchestrator.core.time_account import Span, TimedAttempt, TimedStep
from orchestrator.database.connection.json_parameters import readable
from orchestrator.database.connection.session import Session

#: Largest number of steps of an account: the newest.
MOST_STEPS = 5_000
#: Facts after which an instance is suspended, or not any more.
_CHANGES = tuple(
    f"workflow.{name}"
    for name in (
        *("suspended", "resumed", "cancelled", "terminated", "abandoned", "retried"),
        *("completed", "faulted"),
    )
)


def timed_steps(session: Session, instance: str) -> tuple[list[TimedStep], dict[int, str], bool]:
    """Return the steps that have begun, their references by number, and whether those are all."""
    rows = session.all(
        """
        select s.id, s.parent, s.kind, s.started_at, s.ended_at, s.reference
        from orchestrator.steps s
        where s.instance_id = %s and s.started_at is not null
        order by s.id desc limit %s
        """,
        (instance, MOST_STEPS + 1),
    )
    read = rows[:MOST_STEPS]
    attempts = _attempts(session, instance, [row[0] for row in read])
    steps = [
        TimedStep(id, parent, kind, started, ended, attempts.get(id, []))
        for id, parent, kind, started, ended, _ in reversed(read)
    ]
    return steps, {row[0]: row[5] for row in read}, len(read) == len(rows)


def _attempts(session: Session, instance: str, steps: list[int]) -> dict[int, list[TimedAttempt]]:
    found: dict[int, list[TimedAttempt]] = {}
    rows = session.all(
        """
        select a.step, a.created_at, a.claimed_at, a.ended_at from orchestrator.attempts a
        where a.instance_id = %s and a.step = any(%s)
        order by a.step, a.number
        """,
        (instance, steps),
    )
    for row in rows:
        found.setdefault(row[0], []).append(TimedAttempt(*row[1:]))
    return found


def suspensions(session: Session, instance: str, until: datetime) -> list[Span]:
    """Return when an instance was suspended; one that goes on lasts `until` then."""
    rows = session.all(
        f"""
        select h.at, f ->> 0 = 'workflow.suspended'
        from orchestrator.history h
        cross join lateral json_array_elements({readable("h.facts")}) f
        where h.instance_id = %s and h.facts::text like '%%"workflow.%%'
          and f ->> 0 = any(%s)
        order by h.sequence
        """,
        (instance, list(_CHANGES)),
    )
    spans: list[Span] = []
    since: datetime | None = None
    for at, begins in rows:
        if since is not None:
            spans.append((since, at))
        since = at if begins else None
    return spans if since is None else [*spans, (since, max(since, until))]
